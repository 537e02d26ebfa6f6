//! One error for programs that do not care which part of the library it comes from.

use std::{error::Error as StdError, fmt, io};

use crate::{
    agent::AgentError,
    client::{
        ClientError, ConnectError, Disconnected, FilesError, OpenError, SessionError,
        auth::IdentityError,
        forward::ForwardError,
        sftp::{SftpError, StatusCode},
        ssh_config::SshConfigError,
        transfer::{TransferError, TransferFailure},
    },
    files::{NoHome, PrivateFileError},
    names::AliasError,
    pairing::{CodeError, PairingError},
    proxy::BridgeError,
    settings::SettingsError,
    transport::{BindFailed, KeyError, TargetError},
};

/// What most functions of this library return to a program that uses [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong between a program and a host. [`Error::kind`] says what is to be done about it; the error
/// itself is its [source](StdError::source), where more is wanted.
///
/// ```no_run
/// # async fn run() -> irosh::Result<()> {
/// use irosh::ErrorKind;
///
/// match irosh::connect("alice@box").await {
///     Err(error) if error.kind() == ErrorKind::Unreachable => println!("it is not there: {error}"),
///     Err(error) => return Err(error),
///     Ok(host) => println!("{}", host.command("uptime").output().await?.stdout_lossy()),
/// }
/// # Ok(()) }
/// ```
pub struct Error {
    kind: ErrorKind,
    source: Box<dyn StdError + Send + Sync>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The host was not reached, or refused, or there is no ssh server behind it. Later it may be.
    Unreachable,
    /// The server's key is not the one that is expected. Nothing was sent to it.
    HostKey,
    /// No key, password or other proof was accepted.
    Login,
    /// The connection was lost on the way, or the server was silent for too long.
    Lost,
    /// The server sent what makes no sense.
    Protocol,
    /// A source does not exist, or the folder of a destination.
    NotFound,
    /// No right to read or write.
    PermissionDenied,
    /// A folder is where a file was meant, or the other way round; or it is neither.
    WrongKind,
    /// The destination's disk is full, or takes no file that large.
    DiskFull,
    /// What arrived is not what was sent, or the source changed on the way.
    Content,
    /// It was cancelled, or somebody who was asked did not want to.
    Cancelled,
    /// Anything else: what was asked for was wrong, or refused.
    Other,
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error itself.
    #[must_use]
    pub fn into_source(self) -> Box<dyn StdError + Send + Sync> {
        self.source
    }

    /// What to do about it, where that is known; one or more lines.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = self.source.to_string();
        text.split_once('\n').map(|(_, help)| help.to_owned())
    }
}

/// What went wrong, in one line. [`Error::help`] has the rest.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.source.to_string();
        f.write_str(text.lines().next().unwrap_or_default())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `fn main() -> irosh::Result<()>` prints.
        write!(f, "{}", self.source)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

macro_rules! from {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self { kind: ErrorKind::of(&error).unwrap_or(ErrorKind::Other), source: error.into() }
            }
        })*
    };
}

from!(
    AliasError,
    BindFailed,
    ClientError,
    CodeError,
    ConnectError,
    Disconnected,
    FilesError,
    ForwardError,
    IdentityError,
    KeyError,
    NoHome,
    OpenError,
    PairingError,
    PrivateFileError,
    SessionError,
    SettingsError,
    SftpError,
    SshConfigError,
    TargetError,
    TransferError,
    TransferFailure,
    io::Error,
);

impl ErrorKind {
    /// What kind of failure an error is, or one that caused it; `None` for what this library does not know.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(kind) = of_this(error) {
                return Some(kind);
            }
            next = error.source();
        }
        None
    }
}

fn of_this(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return Some(error.kind);
    }
    if let Some(error) = error.downcast_ref() {
        return Some(of_client(error));
    }
    if let Some(error) = error.downcast_ref() {
        return Some(of_ssh(error));
    }
    if let Some(TransferFailure { errors, .. }) = error.downcast_ref() {
        return errors.first().map(of_transfer);
    }
    if let Some(error) = error.downcast_ref() {
        return Some(of_transfer(error));
    }
    if let Some(error) = error.downcast_ref() {
        return Some(of_pairing(error));
    }
    if error.is::<BridgeError>() {
        return Some(ErrorKind::Unreachable);
    }
    if let Some(why) = error.downcast_ref() {
        return Some(of_disconnected(why));
    }
    if let Some(ForwardError::Disconnected(why)) = error.downcast_ref() {
        return Some(of_disconnected(why));
    }
    if let Some(SessionError::Disconnected(why) | SessionError::Open(OpenError::Disconnected(why))) =
        error.downcast_ref()
    {
        return Some(of_disconnected(why));
    }
    if let Some(OpenError::Disconnected(why)) = error.downcast_ref() {
        return Some(of_disconnected(why));
    }
    if let Some(error) = error.downcast_ref::<SftpError>() {
        return Some(match error.code() {
            Some(StatusCode::NoSuchFile) => ErrorKind::NotFound,
            Some(StatusCode::PermissionDenied) => ErrorKind::PermissionDenied,
            _ => of_sftp(error),
        });
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // Its source is that of the error in it.
        return error.get_ref().and_then(|inner| ErrorKind::of(inner));
    }
    match error.downcast_ref::<FilesError>()? {
        FilesError::Transfer(failure) => failure.errors.first().map(of_transfer),
        FilesError::Sftp(error) => Some(of_sftp(error)),
        FilesError::Silent(_) => Some(ErrorKind::Lost),
        FilesError::Open(OpenError::Disconnected(why))
        | FilesError::Subsystem(
            SessionError::Disconnected(why) | SessionError::Open(OpenError::Disconnected(why)),
        ) => Some(of_disconnected(why)),
        FilesError::Open(_) | FilesError::Subsystem(_) | FilesError::NotStarted(..) => None,
    }
}

fn of_client(error: &ClientError) -> ErrorKind {
    match error {
        ClientError::Dial(_)
        | ClientError::Host(_)
        | ClientError::Deadline { .. }
        | ClientError::Agent(AgentError::Host(_)) => ErrorKind::Unreachable,
        ClientError::Agent(_) | ClientError::Bind(_) => ErrorKind::Other,
        ClientError::Ssh(error) => of_ssh(error),
    }
}

fn of_ssh(error: &ConnectError) -> ErrorKind {
    match error {
        ConnectError::HostKeyMismatch(_) | ConnectError::HostKeyRefused(_) => ErrorKind::HostKey,
        // None was announced.
        ConnectError::NoHostKey => ErrorKind::Unreachable,
        ConnectError::Authentication(_)
        | ConnectError::WrongPassword { .. }
        | ConnectError::TooManyAttempts { .. }
        | ConnectError::PasswordChange(_) => ErrorKind::Login,
        ConnectError::Cancelled => ErrorKind::Cancelled,
        ConnectError::NotSsh | ConnectError::Handshake(_) | ConnectError::NoCommonAlgorithm { .. } => {
            ErrorKind::Protocol
        }
        ConnectError::Deadline { .. } => ErrorKind::Lost,
        ConnectError::Disconnected { why, .. } | ConnectError::Session(OpenError::Disconnected(why)) => {
            of_disconnected(why)
        }
        ConnectError::NoLogin | ConnectError::Session(_) => ErrorKind::Other,
    }
}

fn of_disconnected(why: &Disconnected) -> ErrorKind {
    match why {
        Disconnected::Protocol(_) => ErrorKind::Protocol,
        _ => ErrorKind::Lost,
    }
}

fn of_pairing(error: &PairingError) -> ErrorKind {
    match error {
        PairingError::NoWay { .. }
        | PairingError::NoNameplate
        | PairingError::Nobody { .. }
        | PairingError::Unreached(..)
        | PairingError::Expired
        | PairingError::Deadline
        | PairingError::NotAdmitted(_) => ErrorKind::Unreachable,
        PairingError::Wrong | PairingError::Guessed | PairingError::Dead | PairingError::BadProof => {
            ErrorKind::Login
        }
        PairingError::GivenUp | PairingError::Differs { .. } => ErrorKind::Cancelled,
        PairingError::Lost(_) => ErrorKind::Lost,
        PairingError::Version | PairingError::Protocol(_) => ErrorKind::Protocol,
        _ => ErrorKind::Other,
    }
}

fn of_transfer(error: &TransferError) -> ErrorKind {
    match error {
        TransferError::NoSuchFile { .. }
        | TransferError::NoParent { .. }
        | TransferError::NeedsFolder { .. } => ErrorKind::NotFound,
        TransferError::PermissionDenied { .. } => ErrorKind::PermissionDenied,
        TransferError::IsDirectory { .. }
        | TransferError::NotDirectory { .. }
        | TransferError::Special { .. }
        | TransferError::SpecialSource { .. }
        | TransferError::NeedsRecursive { .. } => ErrorKind::WrongKind,
        TransferError::DiskFull { .. } | TransferError::TooLarge { .. } => ErrorKind::DiskFull,
        TransferError::Checksum { .. } | TransferError::SourceChanged { .. } => ErrorKind::Content,
        TransferError::HostileName { .. }
        | TransferError::TooManyFolders { .. }
        | TransferError::Endless { .. } => ErrorKind::Protocol,
        TransferError::Remote(error) => of_sftp(error),
        TransferError::Cancelled => ErrorKind::Cancelled,
        _ => ErrorKind::Other,
    }
}

fn of_sftp(error: &SftpError) -> ErrorKind {
    match error {
        SftpError::Nonsense(_) => ErrorKind::Protocol,
        SftpError::Gone { .. } => ErrorKind::Lost,
        _ => ErrorKind::Other,
    }
}
