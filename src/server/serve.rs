//! Serving SSH on one stream, and whether a configuration can be served with.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use russh::{SshId, server::Config as RusshConfig};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    algorithms,
    auth::{Authentication, Authenticator, PasswordFile},
    channel::inbox::WINDOW,
    config::{Config, SshdConfig},
    connection::Connection,
    key_options::KeyOptions,
    keys::{HostKeyError, HostKeys},
    origin::Origin,
    pace::{keepalive, limits, most_rejections},
};
use crate::elastic::elastic;

/// The largest packet of a channel, in bytes: as large as russh takes.
const PACKET: u32 = 65_535;

/// The name that clients are told. OpenSSH's client says only to a name that begins like its own that
/// nobody reads any more (`ssh host yes | head`); to any other server, it would go on for ever.
const NAME: &str = concat!("OpenSSH_irosh_", env!("CARGO_PKG_VERSION"));

/// How long the last words may take, and the end of the login after them.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a server needs besides its configuration.
#[derive(Default)]
pub struct ServeOptions {
    /// The configuration.
    pub config: Arc<SshdConfig>,
    /// The server's own host key, made on first use; for where HostKey names none.
    pub host_key: PathBuf,
    /// Who may log in besides those whose keys the files name, such as a [`PasswordFile`]; without it, nobody.
    pub authenticator: Option<Box<dyn Authenticator>>,
    /// Logins that need no further proof: whoever started the server knows that it is them.
    pub vouched_logins: Vec<String>,
    /// What the client may do, whatever it logs in by; everything that is configured where there is nothing.
    pub restrictions: Option<KeyOptions>,
    /// Where the client comes from, if it came over TCP.
    pub origin: Option<Origin>,
    /// Cancelled by the server once somebody has logged in.
    pub logged_in: CancellationToken,
    /// Leaves the memory of this process open to who may open its files.
    ///
    /// Unless set, the whole process is shut on Linux before anything else happens (`PR_SET_DUMPABLE`, as
    /// OpenSSH's sftp-server does it): a client of sftp has this process's own right to `/proc/self/mem`,
    /// and could read the host key there and change the program. It also means that only root can debug
    /// the process, that it leaves no core, and that of its folder in `/proc` most belongs to root. A
    /// program that cannot have that and serves no strangers sets this.
    pub leave_memory_open: bool,
}

/// A connection ended otherwise than by its client's goodbye.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A host key.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// Nobody logged in within LoginGraceTime.
    #[error("nobody logged in within {} seconds", .0.as_secs())]
    Grace(Duration),
    /// The client broke the protocol, or went away.
    #[error("the connection failed")]
    Protocol(#[from] russh::Error),
}

/// Serves SSH on one stream until its client leaves.
///
/// When this returns, and also when its future is dropped, nothing reads or writes the stream any more and the
/// authenticator is gone. What a client started goes on as it does with sshd: without a terminal or pipes.
///
/// Where the process runs as root, it becomes the user who logs in, and stays that user afterwards: call
/// this once a process then.
///
/// # Errors
///
/// [`ServeError`].
pub async fn serve<R, W>(reader: R, writer: W, options: ServeOptions) -> Result<(), ServeError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    if !options.leave_memory_open {
        crate::memory::keep_closed();
    }
    let config = options.config.server();
    let host_keys = HostKeys::load(&config, &options.host_key)?;
    let authenticator = options.authenticator.unwrap_or_else(|| Box::new(PasswordFile::default()));
    let authentication =
        Authentication::new(options.config, options.vouched_logins, authenticator, options.origin)
            .restricted(options.restrictions);
    let russh = Arc::new(russh_config(&config, host_keys, &authentication));
    let entered = options.logged_in;
    let (farewell, mut left) = oneshot::channel();
    let connection = Connection::new(authentication, entered.clone(), farewell);
    let cut = CancellationToken::new();
    let (stream, drain) = elastic(reader, writer, cut.clone());
    let _cut = cut.drop_guard();

    // Whoever started this process may have told the kernel to forget children that end. A handler
    // changes that, before there is a child.
    let _children = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child());
    let session = tokio::spawn(russh::server::serve_stream(russh, stream, connection));
    let mut session = AbortOnDropHandle::new(session);
    let grace = async {
        let limit = config.login_grace_time;
        if limit.is_zero() || timeout(limit, entered.cancelled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
        limit
    };
    let served = tokio::select! {
        served = &mut session => served.unwrap_or(Err(russh::Error::RecvError)).map_err(ServeError::from),
        limit = grace => {
            session.abort();
            let _ = (&mut session).await;
            Err(ServeError::Grace(limit))
        }
    };
    if let Err(ServeError::Protocol(russh::Error::Version)) = &served {
        drain.say(b"Invalid SSH identification string.\r\n");
    }
    let _ = timeout(FAREWELL, drain.finish()).await;
    if let Ok(mut authenticator) = left.try_recv() {
        let _ = timeout(FAREWELL, authenticator.end()).await;
    }
    match served {
        // A client that simply goes is how most connections end.
        Err(ServeError::Protocol(error)) if entered.is_cancelled() && is_departure(&error) => Ok(()),
        other => other,
    }
}

fn is_departure(error: &russh::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        russh::Error::Disconnect | russh::Error::HUP => true,
        russh::Error::IO(error) => matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof),
        _ => false,
    }
}

/// Whether there is an algorithm of each kind.
///
/// # Errors
///
/// The keyword that leaves none.
pub fn check_algorithms(config: &Config) -> Result<(), NoAlgorithm> {
    let preferred = algorithms::preferred(config);
    let lists = [
        ("Ciphers", preferred.cipher.is_empty()),
        ("MACs", preferred.mac.is_empty()),
        // Two of these are names of extensions.
        ("KexAlgorithms", preferred.kex.len() <= 2),
        ("HostKeyAlgorithms", preferred.key.is_empty()),
    ];
    match lists.iter().find(|(_, empty)| *empty) {
        Some((keyword, _)) => Err(NoAlgorithm(keyword)),
        None => Ok(()),
    }
}

/// A list of algorithms leaves none that this server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} leaves no algorithm that this server has")]
pub struct NoAlgorithm(&'static str);

/// Whether the host keys can be used; `own` as in [`ServeOptions::host_key`].
///
/// # Errors
///
/// [`HostKeyError`].
pub fn check_host_keys(config: &Config, own: &std::path::Path) -> Result<(), HostKeyError> {
    HostKeys::load(config, own).map(drop)
}

/// The configuration, a line a keyword, as `sshd -T` prints it.
#[must_use]
pub fn print_config(config: &Config) -> String {
    config.print(&algorithms::OFFERS)
}

fn russh_config(config: &Config, host_keys: HostKeys, authentication: &Authentication) -> RusshConfig {
    let addendum = config.version_addendum.trim();
    let space = if addendum.is_empty() { "" } else { " " };
    RusshConfig {
        server_id: SshId::Standard(format!("SSH-2.0-{NAME}{space}{addendum}").into()),
        methods: authentication.first_methods(),
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: None,
        keys: host_keys.keys,
        certificates: host_keys.certificates,
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        // Nothing is taken from russh's own queues: see `channel::inbox`.
        channel_buffer_size: 16,
        event_buffer_size: 64,
        limits: limits(config),
        preferred: algorithms::preferred(config),
        server_sig_algs: algorithms::signatures(&config.pubkey_accepted_algorithms),
        max_auth_attempts: most_rejections(config),
        inactivity_timeout: None,
        keepalive_interval: keepalive(config).0,
        keepalive_max: keepalive(config).1,
        nodelay: false,
        manual_window: true,
        manual_close: true,
    }
}
