//! Making a connection: key exchange, the server's key, the login.

use std::{sync::Arc, time::Duration};

use russh::{Limits, SshId, client::Config};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{
        algorithms,
        auth::{self, LoginError},
        channel::OpenError,
        connection::Connection,
        forward::incoming::lend_agent,
        handler::{ClientHandler, HandlerError, OwnHandle},
        host_key::{HostKeyMismatch, HostKeyPolicy},
        inbox::WINDOW,
        link::{Link, Under},
        metadata::RemoteMetadata,
        options::ClientOptions,
        phase::{Phase, Phases},
        session::Session,
        shared::Shared,
        state::Disconnected,
    },
    elastic::elastic,
    log::one_line,
    proxy::Dialer,
};

/// The largest packet of a channel, in bytes: as large as russh takes.
const PACKET: u32 = 65_535;

/// OpenSSH's server says only to a name that begins like its own that a process reads no more
/// (`eow@openssh.com`).
const NAME: &str = concat!("SSH-2.0-OpenSSH_irosh_", env!("CARGO_PKG_VERSION"));

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server has shown another key than was announced.
    #[error(
        "the server has shown the key {}, but {} was announced: somebody may be in between, or its keys \
         were changed after the host was started\nrestart the host there, and look at its keys with \
         `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub`", .0.shown, .0.announced.join(" or ")
    )]
    HostKeyMismatch(HostKeyMismatch),
    /// Nobody has said who logs in: neither the target nor the options.
    #[error("nobody has said who logs in\nname the host as LOGIN@HOST, or give a login")]
    NoLogin,
    /// The program does not trust the key.
    #[error("the key of the server, {0}, is not trusted")]
    HostKeyRefused(String),
    /// No key was announced, or none of a type that this client knows.
    #[error(
        "no host key of the server is known that could be checked\nis the ssh server at the host running?"
    )]
    NoHostKey,
    /// Client and server have no algorithm in common.
    #[error("the server has no {kind} in common with this client: it offers {}", one_line(&.theirs.join(",")))]
    NoCommonAlgorithm {
        /// What kind of algorithm.
        kind: String,
        /// What the server offers.
        theirs: Vec<String>,
    },
    /// What is at the other end does not speak SSH 2.
    #[error("what answers is no ssh server")]
    NotSsh,
    /// The key exchange failed.
    #[error("the key exchange failed: {0}")]
    Handshake(String),
    /// The server did not accept any proof.
    #[error("{}", auth::refusal(.0))]
    Authentication(auth::Refused),
    /// The password, or the answers, were wrong, and nothing else is left to try.
    #[error("{}", auth::wrong_password(.login, .notes))]
    WrongPassword {
        /// Whose.
        login: String,
        /// The methods that the server still allows.
        remaining: Vec<auth::Method>,
        /// Why keys or files were not tried.
        notes: Vec<String>,
    },
    /// The server has had enough of wrong proofs.
    #[error(
        "the server has ended the login: too many authentication failures\nchoose the key with IdentityFile \
         and IdentitiesOnly, or have fewer keys in the agent"
    )]
    TooManyAttempts {
        /// What was tried.
        tried: Vec<String>,
    },
    /// The password is right, but the server wants another one first.
    #[error(
        "the server wants the password to be changed first: {}\nlog in there with ssh and change it",
        one_line(.0)
    )]
    PasswordChange(String),
    /// Who was asked does not want to log in any more.
    #[error("the login was cancelled")]
    Cancelled,
    /// The server was too slow.
    #[error("the server did not answer within {} seconds during {phase}", .limit.as_secs_f32())]
    Deadline {
        /// Where.
        phase: Phase,
        /// The deadline.
        limit: Duration,
    },
    /// The connection was lost.
    #[error("{why} (during {phase})")]
    Disconnected {
        /// Where.
        phase: Phase,
        /// How.
        why: Disconnected,
    },
    /// The login went well, but the server opens no session.
    #[error("no session: {0}")]
    Session(OpenError),
}

/// Not as a source, since the message says it.
impl From<OpenError> for ConnectError {
    fn from(error: OpenError) -> Self {
        Self::Session(error)
    }
}

impl From<LoginError> for ConnectError {
    fn from(error: LoginError) -> Self {
        let phase = Phase::Authentication;
        match error {
            LoginError::Refused(refused) => Self::Authentication(refused),
            LoginError::WrongPassword { login, remaining, notes } => {
                Self::WrongPassword { login, remaining, notes }
            }
            LoginError::TooManyAttempts { tried } => Self::TooManyAttempts { tried },
            LoginError::PasswordChange(prompt) => Self::PasswordChange(prompt),
            LoginError::Cancelled => Self::Cancelled,
            LoginError::Endless => Self::Handshake("the server does not stop asking".to_owned()),
            LoginError::Deadline(limit) => Self::Deadline { phase, limit },
            LoginError::Disconnected(why) => Self::Disconnected { phase, why },
        }
    }
}

/// Makes an SSH connection over a stream and opens its first session.
///
/// Dropping the future ends the connection.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn connect<S>(stream: S, options: ClientOptions) -> Result<Session, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (limit, phases) = (options.authentication_deadline, options.phases.begin());
    let connection = connect_over(stream, options, None, &phases).await?;
    let session = first_session(connection, limit, &phases).await?;
    phases.connected();
    Ok(session)
}

/// Opens the first session. If the returned future is dropped, the connection ends.
pub(crate) async fn first_session(
    connection: Connection,
    limit: Duration,
    phases: &Phases,
) -> Result<Session, ConnectError> {
    phases.enter(Phase::Session);
    let guard = connection.link().guard();
    let opened = timeout(limit, connection.open_session()).await;
    let session = opened.map_err(|_| ConnectError::Deadline { phase: Phase::Session, limit })??;
    guard.disarm();
    Ok(session)
}

/// Makes an SSH connection over a stream, for forwards alone (`ssh -N`).
///
/// Dropping the future ends the connection.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn connect_without_session<S>(stream: S, options: ClientOptions) -> Result<Connection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let phases = options.phases.begin();
    let connection = connect_over(stream, options, None, &phases).await?;
    phases.connected();
    Ok(connection)
}

/// As [`connect_without_session`], over a stream of this dialer, which the connection then holds.
pub(crate) async fn connect_over<S>(
    stream: S,
    options: ClientOptions,
    dialer: Option<Arc<Dialer>>,
    phases: &Phases,
) -> Result<Connection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    phases.enter(Phase::Handshake);
    let algorithms = options.host_keys.algorithms();
    if algorithms.is_empty() {
        return Err(ConnectError::NoHostKey);
    }
    let login = options.login.as_deref().ok_or(ConnectError::NoLogin)?;
    let config = Arc::new(russh_config(&options, algorithms));
    let metadata = RemoteMetadata {
        login: String::from_utf8_lossy(login).into_owned(),
        host: options.host,
        ..RemoteMetadata::default()
    };
    let shared = Arc::new(Shared::new(metadata, options.events));
    let pinned = matches!(options.host_keys, HostKeyPolicy::Pinned(_));
    let own = OwnHandle::default();
    let handler = ClientHandler::new(Arc::clone(&shared), options.host_keys, Arc::clone(&own));
    let (reader, writer) = tokio::io::split(stream);

    let cut = CancellationToken::new();
    // Nothing is left behind where the future is dropped.
    let guard = cut.clone().drop_guard();
    let limit = options.handshake_deadline;
    let (stream, drain) = elastic(reader, writer, cut.clone());
    let rest = drain.detach();
    let shaking = russh::client::connect_stream(config, stream, handler);
    let mut handle = match timeout(limit, shaking).await {
        Ok(Ok(handle)) => handle,
        Ok(Err(error)) => return Err(handshake_error(error, &shared, pinned)),
        Err(_) => return Err(ConnectError::Deadline { phase: Phase::Handshake, limit }),
    };
    phases.enter(Phase::Authentication);
    let login = auth::Login {
        name: login,
        deadline: options.authentication_deadline,
        authenticator: options.authenticator,
        by_key: options.by_key,
        shared: &shared,
    };
    login.run(&mut handle).await?;
    guard.disarm();
    let link = Link::new(handle, &own, shared, options.environment, Under { cut, rest, dialer });
    if let Some(socket) = options.agent {
        lend_agent(&link, socket);
    }
    Ok(link.into())
}

/// What russh says first on every connection of [`russh_config`], with the end of its line.
pub(crate) fn identification() -> Vec<u8> {
    format!("{NAME}\r\n").into_bytes()
}

fn russh_config(options: &ClientOptions, host_keys: Vec<russh::keys::Algorithm>) -> Config {
    Config {
        client_id: SshId::Standard(NAME.into()),
        limits: Limits {
            rekey_write_limit: options.rekey_bytes,
            rekey_read_limit: options.rekey_bytes,
            rekey_time_limit: options.rekey_interval.unwrap_or(Duration::from_secs(100 * 365 * 86_400)),
        },
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        // Nothing is taken from russh's own queues: see `inbox`.
        channel_buffer_size: 16,
        preferred: algorithms::preferred(host_keys),
        inactivity_timeout: None,
        keepalive_interval: options.keepalive_interval,
        keepalive_max: options.keepalive_count,
        manual_window: true,
        ..Config::default()
    }
}

fn handshake_error(error: HandlerError, shared: &Shared, pinned: bool) -> ConnectError {
    let phase = Phase::Handshake;
    match error {
        HandlerError::HostKey(mismatch) if pinned => ConnectError::HostKeyMismatch(mismatch),
        HandlerError::HostKey(mismatch) => ConnectError::HostKeyRefused(mismatch.shown),
        HandlerError::Ssh(russh::Error::NoCommonAlgo { kind, theirs, .. }) => {
            ConnectError::NoCommonAlgorithm { kind: format!("{kind:?}").to_lowercase(), theirs }
        }
        HandlerError::Ssh(russh::Error::Version) => ConnectError::NotSsh,
        HandlerError::Ssh(error) => {
            let said = shared.why().borrow().clone().filter(|why| *why != Disconnected::Gone);
            let why = said.unwrap_or_else(|| Disconnected::from_error(&error));
            match why {
                Disconnected::Protocol(text) => ConnectError::Handshake(text.to_string()),
                why => ConnectError::Disconnected { phase, why },
            }
        }
    }
}
