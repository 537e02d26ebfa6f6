//! What the commands exit with.

use irosh::{
    agent::AgentError,
    client::{
        ClientError, ConnectError, Disconnected, FilesError, OpenError, SessionError,
        forward::ForwardError,
        sftp::SftpError,
        transfer::{TransferError, TransferFailure},
    },
    proxy::BridgeError,
};

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
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return Some(of_client(error));
        }
        if let Some(error) = cause.downcast_ref::<TransferFailure>() {
            return error.errors.first().map(of_transfer);
        }
        if cause.is::<BridgeError>() {
            return Some(Failure::Unreachable);
        }
        if cause.is::<Interrupted>() {
            return Some(Failure::Interrupted);
        }
        if let Some(why) = cause.downcast_ref::<Disconnected>() {
            return Some(of_disconnected(why));
        }
        if let Some(NotPlaced::Forward(ForwardError::Disconnected(why))) = cause.downcast_ref() {
            return Some(of_disconnected(why));
        }
        match cause.downcast_ref::<FilesError>()? {
            FilesError::Transfer(failure) => failure.errors.first().map(of_transfer),
            FilesError::Sftp(error) => Some(of_sftp(error)),
            FilesError::Silent(_) => Some(Failure::Lost),
            FilesError::Open(OpenError::Disconnected(why))
            | FilesError::Subsystem(
                SessionError::Disconnected(why) | SessionError::Open(OpenError::Disconnected(why)),
            ) => Some(of_disconnected(why)),
            FilesError::Open(_) | FilesError::Subsystem(_) | FilesError::NotStarted(..) => None,
        }
    });
    failure.unwrap_or(Failure::Other) as u8
}

fn of_client(error: &ClientError) -> Failure {
    match error {
        ClientError::Dial(_)
        | ClientError::Host(_)
        | ClientError::Deadline { .. }
        | ClientError::Agent(AgentError::Host(_)) => Failure::Unreachable,
        ClientError::Agent(_) | ClientError::Bind(_) => Failure::Other,
        ClientError::Ssh(error) => match error {
            ConnectError::HostKeyMismatch(_) | ConnectError::HostKeyRefused(_) => Failure::HostKey,
            // None was announced.
            ConnectError::NoHostKey => Failure::Unreachable,
            ConnectError::Authentication(_)
            | ConnectError::WrongPassword { .. }
            | ConnectError::TooManyAttempts { .. }
            | ConnectError::PasswordChange(_) => Failure::Login,
            ConnectError::Cancelled => Failure::Interrupted,
            ConnectError::NotSsh | ConnectError::Handshake(_) | ConnectError::NoCommonAlgorithm { .. } => {
                Failure::Protocol
            }
            ConnectError::Deadline { .. } => Failure::Lost,
            ConnectError::Disconnected { why, .. } | ConnectError::Session(OpenError::Disconnected(why)) => {
                of_disconnected(why)
            }
            ConnectError::Session(_) => Failure::Other,
        },
    }
}

fn of_disconnected(why: &Disconnected) -> Failure {
    match why {
        Disconnected::Protocol(_) => Failure::Protocol,
        _ => Failure::Lost,
    }
}

fn of_transfer(error: &TransferError) -> Failure {
    match error {
        TransferError::NoSuchFile { .. }
        | TransferError::NoParent { .. }
        | TransferError::NeedsFolder { .. } => Failure::NoSuchFile,
        TransferError::PermissionDenied { .. } => Failure::Permission,
        TransferError::IsDirectory { .. }
        | TransferError::NotDirectory { .. }
        | TransferError::Special { .. }
        | TransferError::SpecialSource { .. }
        | TransferError::NeedsRecursive { .. } => Failure::Kind,
        TransferError::DiskFull { .. } | TransferError::TooLarge { .. } => Failure::DiskFull,
        TransferError::Checksum { .. } | TransferError::SourceChanged { .. } => Failure::Content,
        TransferError::HostileName { .. }
        | TransferError::TooManyFolders { .. }
        | TransferError::Endless { .. } => Failure::Protocol,
        TransferError::Remote(error) => of_sftp(error),
        TransferError::Cancelled => Failure::Interrupted,
        _ => Failure::Other,
    }
}

fn of_sftp(error: &SftpError) -> Failure {
    match error {
        SftpError::Nonsense(_) => Failure::Protocol,
        SftpError::Gone { .. } => Failure::Lost,
        _ => Failure::Other,
    }
}

#[cfg(test)]
#[path = "exit_tests.rs"]
mod tests;
