//! What ends a connection.

use super::limits::MAX_PACKET;
use crate::ssh_wire::Truncated;

/// What ends a connection: the stream of requests cannot be followed further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// A packet longer than [`MAX_PACKET`] was announced.
    #[error("the client announced a packet of {0} bytes, more than the {MAX_PACKET} that are allowed")]
    TooLong(u32),
    /// A field goes on after its packet has ended.
    #[error("a request ended in the middle of a field")]
    Truncated,
    /// More extended attributes than OpenSSH takes.
    #[error("a request has {0} extended attributes")]
    Attributes(u32),
    /// A request came before `INIT`.
    #[error("the client sent request {0} before it said which version it speaks")]
    BeforeInit(u8),
}

impl From<Truncated> for Fatal {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}
