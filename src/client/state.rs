//! What a session is doing, and how it ended.

use std::{fmt, io, sync::Arc};

use crate::{log::one_line, proxy::SessionError};

/// What a session is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// The login is done and the channel is open; nothing runs on it yet.
    Authenticated,
    /// Something runs.
    Running(Running),
    /// The process has ended; there may still be output.
    Exited(Exit),
    /// The channel is closed, and how the process ended, if the server has told. Others of the same
    /// connection go on.
    Closed(Option<Exit>),
    /// The whole connection is gone.
    Disconnected(Disconnected),
}

/// What runs in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// The login shell.
    Shell,
    /// One command.
    Exec,
    /// A subsystem, such as `sftp`.
    Subsystem,
}

/// How a process ended (RFC 4254 section 6.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(u32),
    /// By a signal.
    Signal(ExitSignal),
}

/// The signal that ended a process (RFC 4254 section 6.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitSignal {
    /// Its name without `SIG`.
    pub name: String,
    /// Whether a core was dumped.
    pub core_dumped: bool,
    /// What the server says of it, possibly nothing.
    pub message: String,
}

impl Exit {
    /// Whether it is status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Status(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "killed by signal {}", one_line(&signal.name)),
        }
    }
}

/// Why a connection is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// This side has left.
    #[error("the connection was closed here")]
    ByUs,
    /// The server has said goodbye (RFC 4253 section 11.1).
    #[error("the server closed the connection: {}", one_line(message))]
    ByServer {
        /// The reason code.
        code: u32,
        /// What the server says.
        message: String,
    },
    /// The stream ended without a goodbye.
    #[error("the connection was lost: the other side is gone without a goodbye")]
    Gone,
    /// The stream failed.
    #[error("the connection was lost: {0}")]
    Lost(Arc<str>),
    /// The server has not answered to keepalives.
    #[error("the connection was lost: the server does not answer any more")]
    Silent,
    /// The server broke the protocol, or sent what this side cannot read.
    #[error("the server broke the ssh protocol: {0}")]
    Protocol(Arc<str>),
}

impl Disconnected {
    pub(crate) fn from_error(error: &russh::Error) -> Self {
        match error {
            russh::Error::Disconnect | russh::Error::HUP => Self::Gone,
            // russh leaves when nothing is left to log in with.
            russh::Error::NoAuthMethod => Self::ByUs,
            russh::Error::KeepaliveTimeout => Self::Silent,
            russh::Error::IO(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Gone,
            russh::Error::IO(error) => Self::Lost(why_lost(error).into()),
            other => Self::Protocol(other.to_string().into()),
        }
    }
}

/// Why a stream has failed. One of a session says itself that the connection was lost.
fn why_lost(error: &io::Error) -> String {
    let session = error.get_ref().and_then(|inner| inner.downcast_ref::<Arc<SessionError>>());
    match session.map(Arc::as_ref) {
        Some(SessionError::Lost(lost)) => lost.to_string(),
        Some(SessionError::Cut(code)) => code.to_string(),
        _ => error.to_string(),
    }
}
