//! What the commands exit with.

use irosh::ErrorKind;

use super::{Interrupted, forwards::NotPlaced};

/// What a transfer or a forward that failed exits with. `shell` and `exec` exit with 255 instead, as ssh
/// does, since all others are the remote command's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Failure {
    /// Anything else.
    Other = 1,
    /// The host was not reached, or refused, or there is no ssh server behind it.
    Unreachable = 3,
    /// The server's key is not the one that the host announced.
    HostKey = 4,
    /// No key, password or other proof was accepted.
    Login = 5,
    /// The connection was lost on the way.
    Lost = 6,
    /// The server sent what makes no sense.
    Protocol = 7,
    /// A source does not exist, or the folder of a destination.
    NoSuchFile = 8,
    /// No right to read or write.
    Permission = 9,
    /// A folder is where a file was meant, or the other way round; or a source is neither.
    Kind = 10,
    /// The destination's disk is full, or takes no file that large.
    DiskFull = 11,
    /// What arrived is not what was sent, or the source changed on the way.
    Content = 12,
    /// It was interrupted.
    Interrupted = 130,
}

/// The table of them, for the long help of what copies.
pub(super) const OF_COPIES: &str = "Exit status:
    0  done; what was left out of a folder is told
    1  failed in another way
    2  the command line is wrong
    3  the host was not reached, or refused, or has no ssh server
    4  the server's key is not the one that the host announced
    5  the login was refused
    6  the connection was lost on the way
    7  the server sent what makes no sense
    8  no such file, or no folder for the destination
    9  permission denied
   10  a folder is where a file was meant, or the other way round; a pipe or device was named
   11  the destination's disk is full, or takes no file that large
   12  what arrived is not what was sent, or the source changed on the way
  130  interrupted";

/// The same, of `forward`, which ends well when it is interrupted.
pub(super) const OF_FORWARD: &str = "Exit status:
    0  interrupted
    1  failed in another way, such as a port that is taken
    2  the command line is wrong
    3  the host was not reached, or refused, or has no ssh server
    4  the server's key is not the one that the host announced
    5  the login was refused
    6  the connection was lost on the way
    7  the server sent what makes no sense
  130  interrupted before everything was forwarded";

/// Those of `shell` and `exec`.
pub(super) const OF_SESSIONS: &str = "Exit status:
    0  what ran there ended well; any other status is its own, but for
  128  and the number of the signal that ended it
  255  anything else failed, or the command line is wrong";

/// What a command exits with after this error.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    let failure = error.chain().find_map(|cause| {
        if cause.is::<Interrupted>() {
            return Some(Failure::Interrupted);
        }
        if let Some(NotPlaced::Forward(error)) = cause.downcast_ref() {
            return ErrorKind::of(error).map(Failure::from);
        }
        ErrorKind::of(cause).map(Failure::from)
    });
    failure.unwrap_or(Failure::Other) as u8
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unreachable => Self::Unreachable,
            ErrorKind::HostKey => Self::HostKey,
            ErrorKind::Login => Self::Login,
            ErrorKind::Lost => Self::Lost,
            ErrorKind::Protocol => Self::Protocol,
            ErrorKind::NotFound => Self::NoSuchFile,
            ErrorKind::PermissionDenied => Self::Permission,
            ErrorKind::WrongKind => Self::Kind,
            ErrorKind::DiskFull => Self::DiskFull,
            ErrorKind::Content => Self::Content,
            ErrorKind::Cancelled => Self::Interrupted,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
#[path = "exit_tests.rs"]
mod tests;
