//! Packets: fields are read off the front of a request, and replies are framed in the output.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::status::{Status, Stop};

use crate::ssh_wire::set_length;
pub(super) use crate::{
    sftp_packet::kind,
    ssh_wire::{Reader, Writer},
};

impl<'a> Reader<'a> {
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
        let id = self.id;
        self.uint32(0).byte(kind).uint32(id)
    }

    /// Ends the packet by writing its length in front.
    pub(super) fn end(&mut self) {
        if let Some(packet) = self.out.get_mut(self.start..) {
            set_length(packet, 0);
        }
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

impl Writer for &mut Reply<'_> {
    fn bytes(self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(bytes);
        self
    }
}
