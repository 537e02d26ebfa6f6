//! Packets: fields are read off the front of a request, and replies are framed in the output.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::{
    server::Fatal,
    status::{Status, Stop},
};

/// Packet types of draft-ietf-secsh-filexfer-02 section 3.
pub(super) mod kind {
    pub(in super::super) const INIT: u8 = 1;
    pub(in super::super) const VERSION: u8 = 2;
    pub(in super::super) const OPEN: u8 = 3;
    pub(in super::super) const CLOSE: u8 = 4;
    pub(in super::super) const READ: u8 = 5;
    pub(in super::super) const WRITE: u8 = 6;
    pub(in super::super) const LSTAT: u8 = 7;
    pub(in super::super) const FSTAT: u8 = 8;
    pub(in super::super) const SETSTAT: u8 = 9;
    pub(in super::super) const FSETSTAT: u8 = 10;
    pub(in super::super) const OPENDIR: u8 = 11;
    pub(in super::super) const READDIR: u8 = 12;
    pub(in super::super) const REMOVE: u8 = 13;
    pub(in super::super) const MKDIR: u8 = 14;
    pub(in super::super) const RMDIR: u8 = 15;
    pub(in super::super) const REALPATH: u8 = 16;
    pub(in super::super) const STAT: u8 = 17;
    pub(in super::super) const RENAME: u8 = 18;
    pub(in super::super) const READLINK: u8 = 19;
    pub(in super::super) const SYMLINK: u8 = 20;
    pub(in super::super) const STATUS: u8 = 101;
    pub(in super::super) const HANDLE: u8 = 102;
    pub(in super::super) const DATA: u8 = 103;
    pub(in super::super) const NAME: u8 = 104;
    pub(in super::super) const ATTRS: u8 = 105;
    pub(in super::super) const EXTENDED: u8 = 200;
    pub(in super::super) const EXTENDED_REPLY: u8 = 201;
}

/// Reads fields off the front of a request. Nothing is copied, and no length is believed that the
/// packet does not hold.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fatal> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Fatal::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fatal> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn uint32(&mut self) -> Result<u32, Fatal> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn uint64(&mut self) -> Result<u64, Fatal> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Fatal> {
        let length = self.uint32()? as usize;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Fatal::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// A path, or a name. As in OpenSSH one NUL may end it; any other is refused, there by ending the
    /// connection, here by a status.
    pub(super) fn text(&mut self) -> Result<&'a [u8], Stop> {
        let bytes = self.string()?;
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        if bytes.contains(&0) {
            return Err(Status::BadMessage.into());
        }
        Ok(bytes)
    }

    pub(super) fn path(&mut self) -> Result<&'a Path, Stop> {
        self.text().map(|bytes| Path::new(OsStr::from_bytes(bytes)))
    }
}

/// A reply to one request, framed at the end of the output.
pub(super) struct Reply<'a> {
    /// The output. What stands in it before the reply is not touched.
    pub(super) out: &'a mut Vec<u8>,
    start: usize,
    id: u32,
}

impl<'a> Reply<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, id: u32) -> Self {
        let start = out.len();
        Self { out, start, id }
    }

    /// Starts a packet, and drops what was begun of another.
    pub(super) fn begin(&mut self, kind: u8) -> &mut Self {
        self.out.truncate(self.start);
        self.out.extend_from_slice(&[0, 0, 0, 0, kind]);
        self.uint32(self.id)
    }

    pub(super) fn uint32(&mut self, value: u32) -> &mut Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn uint64(&mut self, value: u64) -> &mut Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn string(&mut self, bytes: &[u8]) -> &mut Self {
        self.uint32(length_of(bytes.len())).out.extend_from_slice(bytes);
        self
    }

    /// Ends the packet by writing its length in front.
    pub(super) fn end(&mut self) {
        let length = length_of(self.length());
        self.patch(self.start, length);
    }

    /// Bytes of the packet so far, without the length in front.
    pub(super) fn length(&self) -> usize {
        self.out.len().saturating_sub(self.start + 4)
    }

    /// Overwrites four bytes of the output.
    pub(super) fn patch(&mut self, at: usize, value: u32) {
        if let Some(field) = self.out.get_mut(at..at + 4) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// A `NAME` of one path, which stands for the long name too and has no attributes.
    pub(super) fn name(&mut self, path: &[u8]) {
        self.begin(kind::NAME).uint32(1).string(path).string(path).uint32(0).end();
    }
}

fn length_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
