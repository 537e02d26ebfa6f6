//! Packets: requests are framed, and fields are read off the front of an answer.

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

/// A field goes on after its packet has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truncated;

/// Reads fields off the front of a packet. Nothing is copied, and no length is believed that the packet
/// does not hold.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn uint32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn uint64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Truncated> {
        let length = self.uint32()? as usize;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Truncated)?;
        self.0 = rest;
        Ok(head)
    }
}

/// A request under construction. Its length and number are written when it is sent.
#[derive(Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Bytes before the first field: length, type and number.
    const HEAD: usize = 9;

    pub(super) fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(&[0, 0, 0, 0, kind, 0, 0, 0, 0]);
        Self(bytes)
    }

    pub(super) fn extended(name: &str) -> Self {
        Self::new(kind::EXTENDED).string(name.as_bytes())
    }

    pub(super) fn uint32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn uint64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn string(self, bytes: &[u8]) -> Self {
        let mut request = self.uint32(length_of(bytes.len()));
        request.0.extend_from_slice(bytes);
        request
    }

    /// Bytes of the packet so far, without the length in front.
    pub(super) fn length(&self) -> usize {
        self.0.len() - 4
    }

    /// The framed packet, but for the `payload` bytes of its last string, which follow on their own.
    pub(super) fn finish(mut self, id: u32, payload: usize) -> Vec<u8> {
        let length = length_of(self.length() + payload);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0[5..Self::HEAD].copy_from_slice(&id.to_be_bytes());
        self.0
    }
}

/// `INIT` for version 3, which has no number.
pub(super) const INIT: [u8; 9] = [0, 0, 0, 5, kind::INIT, 0, 0, 0, 3];

fn length_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
