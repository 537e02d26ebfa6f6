//! Packets: requests are framed, and fields are read off the front of an answer.

pub(super) use crate::sftp_packet::{Reader, Truncated, kind};

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
