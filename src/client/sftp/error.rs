//! What a request can fail with.

use std::{fmt, io, sync::Arc};

use super::shown::Shown;

/// Why a request failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SftpError {
    /// The server refused. The code is what a program decides by; the message is the server's.
    Status {
        /// What was asked for, as a verb: `open`, `read`, `make the folder`.
        operation: &'static str,
        /// The path that was asked about.
        path: Arc<[u8]>,
        /// The server's code.
        code: StatusCode,
        /// The server's words; empty when it had none.
        message: Arc<str>,
    },
    /// The server does not offer an extension.
    Unsupported {
        /// The extension's name on the wire.
        extension: &'static str,
    },
    /// A path that cannot be sent: it contains a NUL or does not fit in a packet.
    BadPath {
        /// The path.
        path: Arc<[u8]>,
    },
    /// The server said what it must not say. The connection is given up.
    Nonsense(Nonsense),
    /// The connection has ended.
    Gone {
        /// The error of the stream; none when it simply ended.
        source: Option<Arc<io::Error>>,
    },
}

impl SftpError {
    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<StatusCode> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The path that was asked about, of a refusal and of a path that cannot be sent.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        match self {
            Self::Status { path, .. } | Self::BadPath { path } => Some(path),
            Self::Unsupported { .. } | Self::Nonsense(_) | Self::Gone { .. } => None,
        }
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_no_such_file(&self) -> bool {
        self.code() == Some(StatusCode::NoSuchFile)
    }

    /// Whether no later request can succeed either.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Nonsense(_) | Self::Gone { .. })
    }
}

impl fmt::Display for SftpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { operation, path, code, message } => {
                write!(f, "cannot {operation} {}: {code}", Shown(path))?;
                if message.is_empty() || message.eq_ignore_ascii_case(&code.to_string()) {
                    return Ok(());
                }
                write!(f, " ({})", Shown(message.as_bytes()))
            }
            Self::Unsupported { extension } => write!(f, "the server does not offer {extension}"),
            Self::BadPath { path } => write!(f, "{} is no path that can be sent", Shown(path)),
            Self::Nonsense(nonsense) => nonsense.fmt(f),
            Self::Gone { source: None } => f.write_str("the connection to the file server has ended"),
            Self::Gone { source: Some(error) } => {
                write!(f, "the connection to the file server was lost: {error}")
            }
        }
    }
}

/// Without a source: the message says all of it.
impl std::error::Error for SftpError {}

impl From<Nonsense> for SftpError {
    fn from(nonsense: Nonsense) -> Self {
        Self::Nonsense(nonsense)
    }
}

/// What a server said that it must not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Nonsense {
    /// The stream does not begin with a packet: mostly a shell's start-up file that prints something.
    #[error(
        "received message too long {length}\nensure the remote shell produces no output for \
         non-interactive sessions; it began with `{}`",
        Shown(text)
    )]
    NotSftp {
        /// The first four bytes, read as a length.
        length: u32,
        /// What came first, cut short.
        text: Arc<[u8]>,
    },
    /// A packet is longer than any packet may be, or empty.
    #[error("the file server announced a packet of {0} bytes")]
    Length(u32),
    /// A field goes on after its packet has ended.
    #[error("a packet of the file server (type {0}) ends in the middle of a field")]
    Truncated(u8),
    /// An answer to no request.
    #[error("the file server answered request {0}, which was not made")]
    UnknownId(u32),
    /// An answer of a type that the request does not have.
    #[error("the file server answered a request with a packet of type {0}")]
    WrongType(u8),
    /// More bytes than were asked for, or none.
    #[error("the file server answered a read of {asked} bytes with {got}")]
    DataLength {
        /// Bytes asked for.
        asked: u32,
        /// Bytes answered.
        got: usize,
    },
    /// A version that is not 3.
    #[error("the file server speaks version {0} of the protocol, and not version 3")]
    Version(u32),
    /// An answer with another number of names than there must be.
    #[error("the file server answered with {0} names instead of one")]
    Names(usize),
    /// A folder without an end.
    #[error("the file server lists more than {0} entries in a folder")]
    EndlessFolder(usize),
}

/// Status codes of draft-ietf-secsh-filexfer-02 section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusCode {
    /// `SSH_FX_EOF`.
    EndOfFile,
    /// `SSH_FX_NO_SUCH_FILE`.
    NoSuchFile,
    /// `SSH_FX_PERMISSION_DENIED`.
    PermissionDenied,
    /// `SSH_FX_FAILURE`: any reason that has no code.
    Failure,
    /// `SSH_FX_BAD_MESSAGE`.
    BadMessage,
    /// `SSH_FX_NO_CONNECTION`.
    NoConnection,
    /// `SSH_FX_CONNECTION_LOST`.
    ConnectionLost,
    /// `SSH_FX_OP_UNSUPPORTED`.
    Unsupported,
    /// A code of a later version, or `SSH_FX_OK` where there must be an answer.
    Other(u32),
}

impl StatusCode {
    /// Nothing for `SSH_FX_OK`.
    pub(super) fn from_wire(code: u32) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::EndOfFile,
            2 => Self::NoSuchFile,
            3 => Self::PermissionDenied,
            4 => Self::Failure,
            5 => Self::BadMessage,
            6 => Self::NoConnection,
            7 => Self::ConnectionLost,
            8 => Self::Unsupported,
            other => Self::Other(other),
        })
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfFile => "end of file",
            Self::NoSuchFile => "no such file",
            Self::PermissionDenied => "permission denied",
            Self::Failure => "failure",
            Self::BadMessage => "bad message",
            Self::NoConnection => "no connection",
            Self::ConnectionLost => "connection lost",
            Self::Unsupported => "operation unsupported",
            Self::Other(code) => return write!(f, "status {code}"),
        })
    }
}
