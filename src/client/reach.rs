//! From a target to a connection: dialling the host, and SSH over a session there.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use russh::keys::PublicKey;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OnceCell, watch},
    time::timeout,
};

use crate::{
    agent::{AgentError, AgentNews, AgentSession, NetworkWords},
    client::{
        auth::ByKey,
        channel::OpenError,
        connect::{ConnectError, connect_over, first_session, identification},
        connection::Connection,
        event::{ConnectionEvent, EventSink},
        host_key::HostKeyPolicy,
        introduced::Introduced,
        metadata::HostMetadata,
        options::ClientOptions,
        phase::{Phase, Phases},
        session::Session,
        target::ResolvedTarget,
    },
    files::Paths,
    protocol::Welcome,
    proxy::{Credentials, DialError, Dialer, SessionError, SessionStream, State},
    transport::{BindFailed, Network},
};

/// Dials hosts. Any number of connections can be made with one; they go on when it is dropped. Clones
/// are the same client.
#[derive(Clone)]
#[must_use]
pub struct Client {
    way: Way,
    /// Where it is kept how logins went.
    paths: Option<Paths>,
}

/// How a client comes to a host.
#[derive(Clone)]
enum Way {
    /// From an endpoint of its own.
    Dial(Arc<Dialer>),
    /// By the user's agent, who may be done without.
    Agent(Arc<ByAgent>),
}

struct ByAgent {
    paths: Paths,
    program: PathBuf,
    words: NetworkWords,
    network: Network,
    credentials: Credentials,
    /// What dials where no agent hears.
    instead: OnceCell<Arc<Dialer>>,
}

/// A host could not be reached, or no session was opened there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The host was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The host said no, or nothing.
    #[error(transparent)]
    Host(#[from] Arc<SessionError>),
    /// It took longer than [`ClientOptions::connect_deadline`].
    #[error(
        "{name} did not answer within {} seconds\nis the host running there, and its ssh server with it?",
        .limit.as_secs_f32()
    )]
    Deadline {
        /// The host.
        name: String,
        /// The deadline.
        limit: Duration,
    },
    /// SSH, with the server behind the host.
    #[error(transparent)]
    Ssh(#[from] ConnectError),
    /// What the user's agent says.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// No endpoint could be bound to dial from.
    #[error(transparent)]
    Bind(#[from] BindFailed),
}

impl From<OpenError> for ClientError {
    fn from(error: OpenError) -> Self {
        Self::Ssh(error.into())
    }
}

impl Client {
    /// Binds an endpoint that dials as who has these credentials: a secret key alone will do.
    ///
    /// # Errors
    ///
    /// [`BindFailed`] when no socket could be opened.
    pub async fn bind(network: Network, credentials: impl Into<Credentials>) -> Result<Self, BindFailed> {
        Ok(Self { way: Way::Dial(Arc::new(Dialer::bind(network, credentials).await?)), paths: None })
    }

    /// Has the user's agent open the sessions, on connections that may be there already; it is started by running
    /// `program` (`irosh`) where it does not run. Where it cannot be had, hosts are dialled from here, with these credentials.
    ///
    /// The agent reads the user's own key and names, and `words` are what it is told of the network beside the user's
    /// settings; `network` is what they come to.
    pub fn by_agent(
        paths: &Paths,
        program: &Path,
        (words, network): (NetworkWords, Network),
        credentials: impl Into<Credentials>,
    ) -> Self {
        let (program, instead) = (program.to_owned(), OnceCell::new());
        let credentials = credentials.into();
        let agent = ByAgent { paths: paths.clone(), program, words, network, credentials, instead };
        Self { way: Way::Agent(Arc::new(agent)), paths: Some(paths.clone()) }
    }

    /// Has hosts end what this process leaves behind if it dies without a word, once another one that notes itself
    /// among the same files reaches them. Without it, they wait for as long as they keep sessions. It is also noted there
    /// where a key is all that a login takes, which saves a round trip the next time.
    pub fn noted(self, paths: &Paths) -> Self {
        let way = match self.way {
            Way::Dial(dialer) => Way::Dial(Arc::new(dialer.as_ref().clone().noted(paths))),
            // The agent does so itself.
            agent @ Way::Agent(_) => agent,
        };
        Self { way, paths: Some(paths.clone()) }
    }

    /// Connects to a host, logs in there and opens a session. Dropping the future ends the connection.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn connect(
        &self,
        target: &ResolvedTarget,
        options: ClientOptions,
    ) -> Result<Session, ClientError> {
        let (limit, phases) = (options.authentication_deadline, options.phases.begin());
        let connection = self.log_in(target, options, &phases).await?;
        let session = first_session(connection, limit, &phases).await?;
        phases.connected();
        Ok(session)
    }

    /// Connects to a host and logs in there, for forwards and files alone (`ssh -N`).
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn connect_without_session(
        &self,
        target: &ResolvedTarget,
        options: ClientOptions,
    ) -> Result<Connection, ClientError> {
        let phases = options.phases.begin();
        let connection = self.log_in(target, options, &phases).await?;
        phases.connected();
        Ok(connection)
    }

    async fn log_in(
        &self,
        target: &ResolvedTarget,
        mut options: ClientOptions,
        phases: &Phases,
    ) -> Result<Connection, ClientError> {
        let named = || target.login().map(<[u8]>::to_vec);
        let login = options.login.take().or_else(named).ok_or(ConnectError::NoLogin)?;
        if let (None, Some(paths)) = (&options.by_key, &self.paths) {
            options.by_key = ByKey::of(paths, target.target().addr().id, &login);
        }
        options.login = Some(login);
        phases.enter(Phase::Dialling);
        if let Way::Agent(agent) = &self.way {
            let ByAgent { paths, program, words, .. } = &**agent;
            let events = options.events.clone();
            let reached = || phases.enter(Phase::Admission);
            let told = move |news: AgentNews| events.tell(news.into());
            let opening = AgentSession::open(paths, program, words.clone(), target.name(), reached, told);
            match in_time(target, &mut options, opening).await? {
                Err(AgentError::NotHeard) => {}
                Err(error) => return Err(error.into()),
                Ok(mut stream) => {
                    announce(&mut options, &stream.host_keys);
                    let (name, software) = stream.host.clone();
                    options.host = Some(HostMetadata { id: target.target().addr().id, name, software });
                    let said = Introduced::say(&mut stream, &identification()).await;
                    let stream = Introduced::said(stream, said);
                    return connected(target, options, stream, (None, phases)).await;
                }
            }
        }
        let dialer = self.dialer().await?;
        let events = options.events.clone();
        let reaching = reach(&dialer, target, events, phases);
        let (stream, welcome) = in_time(target, &mut options, reaching).await??;
        announce(&mut options, &welcome.host_keys);
        let Welcome { host_name, software, .. } = &*welcome;
        let (id, name, software) = (target.target().addr().id, host_name.clone(), software.clone());
        options.host = Some(HostMetadata { id, name, software });
        connected(target, options, stream, (Some(dialer), phases)).await
    }

    /// What dials from here.
    async fn dialer(&self) -> Result<Arc<Dialer>, BindFailed> {
        match &self.way {
            Way::Dial(dialer) => Ok(Arc::clone(dialer)),
            Way::Agent(agent) => {
                let ByAgent { paths, network, credentials, instead, .. } = &**agent;
                let bind = async || {
                    Ok(Arc::new(Dialer::bind(network.clone(), credentials.clone()).await?.noted(paths)))
                };
                instead.get_or_try_init(bind).await.cloned()
            }
        }
    }

    /// Says goodbye to every host and cuts off the connections that are left: what they have not sent yet is
    /// lost. After [`Connection::disconnect`], all has arrived at the host. What an agent holds goes on.
    pub async fn close(&self) {
        match &self.way {
            Way::Dial(dialer) => dialer.close().await,
            Way::Agent(agent) => {
                if let Some(dialer) = agent.instead.get() {
                    dialer.close().await;
                }
            }
        }
    }
}

/// Waits until a host is reached, as long as [`ClientOptions::connect_deadline`] says; what is left of that is for the
/// key exchange.
async fn in_time<T>(
    target: &ResolvedTarget,
    options: &mut ClientOptions,
    reaching: impl Future<Output = T>,
) -> Result<T, ClientError> {
    let Some(limit) = options.connect_deadline else { return Ok(reaching.await) };
    let begun = Instant::now();
    let reached = timeout(limit, reaching).await.map_err(|_| too_slow(target, limit))?;
    options.handshake_deadline = limit.saturating_sub(begun.elapsed());
    Ok(reached)
}

/// Speaks SSH with the server behind the host.
async fn connected<S>(
    target: &ResolvedTarget,
    options: ClientOptions,
    stream: S,
    (dialer, phases): (Option<Arc<Dialer>>, &Phases),
) -> Result<Connection, ClientError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limit = options.connect_deadline;
    let connected = connect_over(stream, options, dialer, phases).await;
    connected.map_err(|error| match (error, limit) {
        (ConnectError::Deadline { phase: Phase::Handshake, .. }, Some(limit)) => too_slow(target, limit),
        (error, _) => error.into(),
    })
}

fn too_slow(target: &ResolvedTarget, limit: Duration) -> ClientError {
    ClientError::Deadline { name: target.target().short_name(), limit }
}

/// Has the server known by the keys that its host announces, where that is wanted.
fn announce(options: &mut ClientOptions, keys: &[Vec<u8>]) {
    if matches!(&options.host_keys, HostKeyPolicy::Host) {
        let keys = keys.iter().filter_map(|key| PublicKey::from_bytes(key).ok());
        options.host_keys = HostKeyPolicy::Pinned(keys.collect());
    }
}

/// Opens a session at a host, which says its name and its server's keys. The server is greeted meanwhile.
async fn reach(
    dialer: &Dialer,
    target: &ResolvedTarget,
    events: EventSink,
    phases: &Phases,
) -> Result<(Introduced<SessionStream>, Arc<Welcome>), ClientError> {
    let host = dialer.dial_noting(target.target(), || phases.enter(Phase::Admission)).await?;
    let (mut stream, status) = SessionStream::open(dialer, target.target(), host).await?;
    tokio::spawn(tell_of_outages(status.state(), events));
    let said = Introduced::say(&mut stream, &identification()).await;
    stream.opened(&status).await?;
    // The host that has taken it: it may have started anew meanwhile.
    let welcome = status.host().welcome().await?;
    Ok((Introduced::said(stream, said), welcome))
}

impl From<AgentNews> for ConnectionEvent {
    fn from(news: AgentNews) -> Self {
        match news {
            AgentNews::Detached(reason) => Self::Detached { reason },
            AgentNews::Attached(after) => Self::Attached { after },
        }
    }
}

/// Tells a program when its session waits for its host, and when it goes on, for as long as it lives.
async fn tell_of_outages(mut state: watch::Receiver<State>, events: EventSink) {
    let mut since = None;
    while state.changed().await.is_ok() {
        match &*state.borrow_and_update() {
            State::Detached { why, since: lost } if since.is_none() => {
                since = Some(*lost);
                events.tell(ConnectionEvent::Detached { reason: why.to_string() });
            }
            State::Attached => {
                if let Some(since) = since.take() {
                    events.tell(ConnectionEvent::Attached { after: since.elapsed() });
                }
            }
            State::Opening | State::Detached { .. } => {}
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
