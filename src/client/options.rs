//! What a connection is made with.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::client::{
    auth::{Authenticator, ByKey, NoCredentials, Template},
    event::{ConnectionEvent, EventSink},
    host_key::HostKeyPolicy,
    metadata::HostMetadata,
    phase::{Phase, PhaseSink},
};

/// How a client connects: the default, changed part by part. The default has nothing to log in with, the login that the
/// target was named with, and a server that is known by the keys that its host announces. A clone of it serves to connect
/// once more.
#[derive(Clone)]
#[must_use]
pub struct ClientOptions {
    pub(crate) login: Option<Vec<u8>>,
    pub(crate) authenticator: Box<dyn Template>,
    pub(crate) by_key: Option<ByKey>,
    pub(crate) host_keys: HostKeyPolicy,
    pub(crate) connect_deadline: Option<Duration>,
    pub(crate) handshake_deadline: Duration,
    pub(crate) authentication_deadline: Duration,
    pub(crate) keepalive_interval: Option<Duration>,
    pub(crate) keepalive_count: usize,
    pub(crate) environment: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) rekey_bytes: usize,
    pub(crate) rekey_interval: Option<Duration>,
    pub(crate) agent: Option<PathBuf>,
    pub(crate) events: EventSink,
    pub(crate) phases: PhaseSink,
    /// What is known of the host, for the connection to tell.
    pub(crate) host: Option<HostMetadata>,
}

/// The most bytes between two key exchanges: what AES allows for safely.
const REKEY_BYTES: usize = 1 << 30;

impl ClientOptions {
    /// The default for this login.
    pub fn new(login: impl AsRef<[u8]>) -> Self {
        Self { login: Some(login.as_ref().to_vec()), ..Self::default() }
    }

    /// How the server's key is checked, if not by what its host announces.
    pub fn host_keys(mut self, policy: HostKeyPolicy) -> Self {
        self.host_keys = policy;
        self
    }

    /// How the user logs in.
    pub fn authenticator(mut self, authenticator: impl Authenticator + Clone + 'static) -> Self {
        self.authenticator = Box::new(authenticator);
        self
    }

    /// A file, not there at first, in which it is noted that a key was all that this login took at this server: the
    /// next time a key is offered in the same breath as the question what the server takes, which saves a round trip.
    /// A [`Client`](super::Client) that is [noted](super::Client::noted) has one for each host and login.
    pub fn noted_in(mut self, file: impl Into<PathBuf>) -> Self {
        self.by_key = Some(ByKey::at(file.into()));
        self
    }

    /// How long it may take until the host is reached and its server's key is known (`ConnectTimeout`); the
    /// login does not count. Without one, each step has a deadline of its own.
    pub fn connect_deadline(mut self, deadline: Option<Duration>) -> Self {
        self.connect_deadline = deadline;
        self
    }

    /// How long the server may take until its key is known. 30 seconds otherwise.
    pub fn handshake_deadline(mut self, deadline: Duration) -> Self {
        self.handshake_deadline = deadline;
        self
    }

    /// How long the server may take for each step of the login, and then to open the first session; the time
    /// that people and agents take does not count. 60 seconds otherwise.
    pub fn authentication_deadline(mut self, deadline: Duration) -> Self {
        self.authentication_deadline = deadline;
        self
    }

    /// After how long a silence the server is asked for a sign of life, and how many questions may go
    /// unanswered; `None` never asks. 15 seconds and 3 otherwise.
    pub fn keepalive(mut self, interval: Option<Duration>, count: usize) -> Self {
        self.keepalive_interval = interval.filter(|interval| !interval.is_zero());
        self.keepalive_count = count.max(1);
        self
    }

    /// A variable for every session; a server takes only those that its AcceptEnv allows.
    pub fn variable(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Keys are changed after so many bytes each way, 1 GiB at the most.
    pub fn rekey_bytes(mut self, bytes: usize) -> Self {
        self.rekey_bytes = bytes.clamp(64 << 10, REKEY_BYTES);
        self
    }

    /// Keys are changed after so long; never by time otherwise.
    pub fn rekey_interval(mut self, interval: Option<Duration>) -> Self {
        self.rekey_interval = interval.filter(|interval| !interval.is_zero());
        self
    }

    /// Lends the SSH agent that listens on this socket to every session (`ForwardAgent`).
    pub fn forward_agent(mut self, socket: Option<PathBuf>) -> Self {
        self.agent = socket;
        self
    }

    /// Told what happens besides: banners, forwarded connections that fail. Called in the connection's
    /// own task, so it must not block.
    pub fn on_event(mut self, tell: impl Fn(ConnectionEvent) + Send + Sync + 'static) -> Self {
        self.events = EventSink(Some(Arc::new(tell)));
        self
    }

    /// Told each step of connecting as it begins; the last is [`Phase::Connected`] or [`Phase::Failed`].
    ///
    /// ```no_run
    /// # async fn run(client: irosh::client::Client, target: irosh::client::ResolvedTarget) -> irosh::Result<()> {
    /// use irosh::client::ClientOptions;
    ///
    /// let (tell, mut phases) = tokio::sync::mpsc::unbounded_channel();
    /// tokio::spawn(async move {
    ///     while let Some(phase) = phases.recv().await {
    ///         println!("{phase}"); // the search for the host, the admission by the host, the key exchange …
    ///     }
    /// });
    /// let session = client.connect(&target, ClientOptions::default().phases(tell)).await?;
    /// # Ok(()) }
    /// ```
    pub fn phases(mut self, tell: mpsc::UnboundedSender<Phase>) -> Self {
        self.phases = PhaseSink(Some(tell));
        self
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            login: None,
            authenticator: Box::new(NoCredentials),
            by_key: None,
            host_keys: HostKeyPolicy::Host,
            connect_deadline: None,
            handshake_deadline: Duration::from_secs(30),
            authentication_deadline: Duration::from_secs(60),
            keepalive_interval: Some(Duration::from_secs(15)),
            keepalive_count: 3,
            environment: Vec::new(),
            rekey_bytes: REKEY_BYTES,
            rekey_interval: None,
            agent: None,
            events: EventSink::default(),
            phases: PhaseSink::default(),
            host: None,
        }
    }
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("login", &self.login.as_ref().map(|login| login.escape_ascii().to_string()))
            .finish_non_exhaustive()
    }
}
