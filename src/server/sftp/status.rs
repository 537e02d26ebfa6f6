//! What a request ends in when it has no other answer.

use std::io;

use nix::errno::Errno;

use super::fatal::Fatal;
use crate::ssh_wire::Truncated;

/// Status codes of draft-ietf-secsh-filexfer-02 section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    EndOfFile = 1,
    NoSuchFile = 2,
    PermissionDenied = 3,
    Failure = 4,
    BadMessage = 5,
    Unsupported = 8,
}

impl Status {
    /// OpenSSH's words for a code.
    fn message(self) -> &'static str {
        match self {
            Self::Ok => "Success",
            Self::EndOfFile => "End of file",
            Self::NoSuchFile => "No such file",
            Self::PermissionDenied => "Permission denied",
            Self::Failure => "Failure",
            Self::BadMessage => "Bad message",
            Self::Unsupported => "Operation unsupported",
        }
    }
}

impl From<&io::Error> for Status {
    /// OpenSSH's `errno_to_portable`.
    fn from(error: &io::Error) -> Self {
        let Some(number) = error.raw_os_error() else {
            // What std refuses before it asks the kernel: a NUL in a path.
            return if error.kind() == io::ErrorKind::InvalidInput {
                Self::BadMessage
            } else {
                Self::Failure
            };
        };
        match Errno::from_raw(number) {
            Errno::ENOENT | Errno::ENOTDIR | Errno::EBADF | Errno::ELOOP => Self::NoSuchFile,
            Errno::EPERM | Errno::EACCES | Errno::EFAULT => Self::PermissionDenied,
            Errno::ENAMETOOLONG | Errno::EINVAL => Self::BadMessage,
            Errno::ENOSYS => Self::Unsupported,
            _ => Self::Failure,
        }
    }
}

/// Why a request was stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is answered with this status and message.
    Status(Status, &'static str),
    /// The connection ends.
    Fatal(Fatal),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status, status.message())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        let status = Status::from(&error);
        // OpenSSH says `Failure` here too. A person who runs out of room is told so by clients that
        // show the message.
        let message = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC) => "No space left on device",
            Some(Errno::EDQUOT) => "Disk quota exceeded",
            Some(Errno::EFBIG) => "File too large",
            _ => status.message(),
        };
        Self::Status(status, message)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

impl From<Truncated> for Stop {
    fn from(truncated: Truncated) -> Self {
        Self::Fatal(truncated.into())
    }
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}
