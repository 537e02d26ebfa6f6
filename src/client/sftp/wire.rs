//! Requests, whose fields are written one after another.

use crate::ssh_wire::{packet, set_length};
pub(super) use crate::{
    sftp_packet::kind,
    ssh_wire::{Reader, Truncated, Writer},
};

/// A request under construction. Its length and number are written when it is sent.
#[derive(Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Where its number is, behind length and type.
    const NUMBER: std::ops::Range<usize> = 5..9;

    pub(super) fn new(kind: u8) -> Self {
        Self(packet(kind).uint32(0))
    }

    pub(super) fn extended(name: &str) -> Self {
        Self::new(kind::EXTENDED).string(name.as_bytes())
    }

    /// Bytes of the packet so far, without the length in front.
    pub(super) fn length(&self) -> usize {
        self.0.len() - 4
    }

    /// The framed packet, but for the `payload` bytes of its last string, which follow on their own.
    pub(super) fn finish(mut self, id: u32, payload: usize) -> Vec<u8> {
        set_length(&mut self.0, payload);
        self.0[Self::NUMBER].copy_from_slice(&id.to_be_bytes());
        self.0
    }
}

impl Writer for Request {
    fn bytes(self, bytes: &[u8]) -> Self {
        Self(self.0.bytes(bytes))
    }
}

/// `INIT` for version 3, which has no number.
pub(super) const INIT: [u8; 9] = [0, 0, 0, 5, kind::INIT, 0, 0, 0, 3];
