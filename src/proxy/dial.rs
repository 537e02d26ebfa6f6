//! Dialling a host and opening sessions on the connection.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use iroh::{
    Endpoint, EndpointAddr, SecretKey, TransportAddr,
    endpoint::{
        ConnectError, ConnectWithOptsError, ConnectingError, Connection, ConnectionError, RecvStream,
        TransportErrorCode,
    },
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    protocol::{
        CloseCode, EXPORTER_LABEL, EXPORTER_LENGTH, Frame, Hello, LegHeader, LegReply, MAX_CONTROL_FRAME,
        MAX_LEG_FRAME, Refusal, SessionId, Welcome, proof_message,
    },
    session::{Batch, FrameReadError, LegSink, LegSource, Lost, Source, printable, read_frame},
    transport::{ALPN, BindFailed, Network, Relay, Target, bind_client},
};

/// How long a host may take to answer the first packet.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// How long a host may take to answer `Hello`, and its backend to be connected.
const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// How long an SSH server may take to say its first word, which no client has to wait for otherwise
/// (RFC 4253 section 4.2).
const FIRST_WORD: Duration = Duration::from_secs(60);

/// A host could not be reached. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindFailed),
    /// An endpoint id without addresses, and no name service that knows some.
    #[error("no address is known for {name}{}", if *.asked { "\nis `irosh host` running there, with a network? else use a ticket: run `irosh ticket` there" } else { "\nthe name service is turned off: use a ticket (run `irosh ticket` there), or set --dns" })]
    NameNotFound {
        /// The host.
        name: String,
        /// Whether a name service was asked.
        asked: bool,
    },
    /// Nothing answered.
    #[error(
        "{name} did not answer within {seconds} s\nis `irosh host` running there, and is there a network between? a new ticket may help: run `irosh ticket` there"
    )]
    NobodyHome {
        /// The host.
        name: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The only way to the host is a relay that does not answer.
    #[error(
        "the relay {url} does not answer, and no other way to {name} is known\ncheck the network, or use a ticket with a direct address"
    )]
    RelayUnreachable {
        /// The host.
        name: String,
        /// The relay.
        url: String,
    },
    /// The only way to the host is a relay, and relays are turned off.
    #[error(
        "{name} is only known by a relay, and relays are turned off\nset --relay default, or IROSH_RELAY"
    )]
    RelaysOff {
        /// The host.
        name: String,
    },
    /// Something else answered at the address.
    #[error(
        "what answers at the address of {name} does not hold its key\nthe ticket may be old: get a new one with `irosh ticket` on the host"
    )]
    WrongKey {
        /// The host.
        name: String,
    },
    /// The host turned the connection away before it heard who we are.
    #[error("{name} takes no more connections now\ntry again in a minute")]
    TurnedAway {
        /// The host.
        name: String,
    },
    /// The host speaks something else.
    #[error(
        "{name} does not speak irosh/1\nits irosh may be of another age: bring both sides to the same version"
    )]
    WrongProtocol {
        /// The host.
        name: String,
    },
    /// A target that is this very process's endpoint, or anything else that is not a network's fault.
    #[error("cannot connect to {name}: {reason}")]
    Other {
        /// The host.
        name: String,
        /// What the transport said.
        reason: String,
    },
}

/// A session could not be opened on a connection.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The host said no, and why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The host did not answer in time.
    #[error("the host did not answer within {} s\nits ssh server may hang: see the host's log", OPEN_DEADLINE.as_secs())]
    Deadline,
    /// The SSH server was connected and said nothing.
    #[error(
        "the host's ssh server {0} before its first word\non the host, look at its log: it may be short of something, or be no ssh server"
    )]
    Silent(&'static str),
    /// The host does not keep to the protocol.
    #[error("the host does not keep to irosh/1: {0}")]
    Protocol(String),
    /// The connection was lost.
    #[error("the connection was lost: {0}")]
    Lost(Lost),
}

/// Not as a source, since the message says it.
impl From<Lost> for SessionError {
    fn from(error: Lost) -> Self {
        Self::Lost(error)
    }
}

impl From<FrameReadError> for SessionError {
    fn from(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Lost(lost) => Self::Lost(lost),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// Dials hosts from one endpoint.
#[derive(Debug, Clone)]
pub struct Dialer {
    endpoint: Endpoint,
    network: Network,
    identity: SecretKey,
}

impl Dialer {
    /// Binds an endpoint to dial from, as `identity`.
    ///
    /// # Errors
    ///
    /// [`BindFailed`] when no socket could be opened.
    pub async fn bind(network: Network, identity: SecretKey) -> Result<Self, BindFailed> {
        let endpoint = bind_client(&network).await?;
        Ok(Self { endpoint, network, identity })
    }

    /// The endpoint, for closing it.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects to a host and says who we are, without waiting for its answer.
    ///
    /// A host that is busy is tried again until the deadline.
    ///
    /// # Errors
    ///
    /// [`DialError`] within 15 s.
    pub async fn dial(&self, target: &Target) -> Result<HostConnection, DialError> {
        let name = target.short_name();
        let relay_only = target.addr().ip_addrs().next().is_none();
        if self.network.relay == Relay::None && relay_only && target.addr().relay_urls().next().is_some() {
            return Err(DialError::RelaysOff { name });
        }
        let deadline = Instant::now() + CONNECT_DEADLINE;
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match timeout_at(deadline, self.endpoint.connect(target.addr().clone(), ALPN)).await {
                Ok(Ok(connection)) => {
                    return Ok(HostConnection::greet(connection, &self.identity, target).await);
                }
                Ok(Err(error)) => self.explain(target, &error).await,
                Err(_) => self.nobody_home(target).await,
            };
            let busy = matches!(error, DialError::TurnedAway { .. });
            if !busy || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn explain(&self, target: &Target, error: &ConnectError) -> DialError {
        let name = target.short_name();
        let connection = match error {
            ConnectError::Connect { source: ConnectWithOptsError::NoAddress { .. }, .. } => {
                let asked = self.network.dns != crate::transport::NameService::None;
                return DialError::NameNotFound { name, asked };
            }
            ConnectError::Connection { source, .. }
            | ConnectError::Connecting { source: ConnectingError::ConnectionError { source, .. }, .. } => {
                source
            }
            other => {
                return DialError::Other { name, reason: printable(&other.to_string()) };
            }
        };
        match connection {
            ConnectionError::TimedOut => self.nobody_home(target).await,
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
            {
                DialError::TurnedAway { name }
            }
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL) =>
            {
                DialError::WrongProtocol { name }
            }
            ConnectionError::TransportError(error)
                if error.code == TransportErrorCode::crypto(UNKNOWN_CA) =>
            {
                DialError::WrongKey { name }
            }
            other => DialError::Other { name, reason: printable(&other.to_string()) },
        }
    }

    /// Nothing answered: says whether that is the relay's doing.
    async fn nobody_home(&self, target: &Target) -> DialError {
        let name = target.short_name();
        if let Some(url) = only_relay(target.addr())
            && !answers(&url).await
        {
            return DialError::RelayUnreachable { name, url: url.to_string() };
        }
        DialError::NobodyHome { name, seconds: CONNECT_DEADLINE.as_secs() }
    }
}

/// TLS alerts (RFC 8446 section 6.2): how a wrong key and a wrong protocol show.
const UNKNOWN_CA: u8 = 48;
const NO_APPLICATION_PROTOCOL: u8 = 120;

fn only_relay(addr: &EndpointAddr) -> Option<iroh::RelayUrl> {
    let mut addrs = addr.addrs.iter();
    match (addrs.next(), addrs.next()) {
        (Some(TransportAddr::Relay(url)), None) => Some(url.clone()),
        _ => None,
    }
}

async fn answers(url: &iroh::RelayUrl) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let connect = TcpStream::connect((host.trim_matches(['[', ']']), port));
    matches!(timeout(Duration::from_secs(2), connect).await, Ok(Ok(_)))
}

/// A connection to a host; clones share it.
#[derive(Debug, Clone)]
pub struct HostConnection {
    connection: Connection,
    welcome: watch::Receiver<Option<Result<Arc<Welcome>, Arc<SessionError>>>>,
}

impl HostConnection {
    /// Sends `Hello` on the control stream, whose answer a task of its own waits for.
    async fn greet(connection: Connection, identity: &SecretKey, target: &Target) -> Self {
        let hello = hello(&connection, identity, target);
        let (answer, welcome) = watch::channel(None);
        let talking = connection.clone();
        // Opening and writing take no round trip: the host has given credit for both.
        let opened = match connection.open_bi().await {
            Ok((mut send, recv)) => {
                send.write_all(&Frame::Hello(hello).encode()).await.is_ok().then_some((send, recv))
            }
            Err(_) => None,
        };
        tokio::spawn(async move {
            // The sending half is held: its end would be the end of the connection to the host.
            let Some((_send, mut recv)) = opened else {
                answer.send_replace(Some(Err(Arc::new(lost(&talking).await.into()))));
                return;
            };
            let first = read_control(&mut recv).await.and_then(|frame| match frame {
                Frame::Welcome(welcome) => Ok(Arc::new(welcome)),
                Frame::Refused(refusal) => Err(refusal.into()),
                other => Err(SessionError::Protocol(other.unexpected().to_string())),
            });
            answer.send_replace(Some(first.map_err(Arc::new)));
            while let Ok(frame) = read_control(&mut recv).await {
                if let Frame::GoAway(refusal) = frame {
                    tracing::debug!("the host goes away: {refusal}");
                }
            }
        });
        Self { connection, welcome }
    }

    /// The host's answer to who we are.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: a refusal's sentence is the host's.
    pub async fn welcome(&self) -> Result<Arc<Welcome>, Arc<SessionError>> {
        let mut welcome = self.welcome.clone();
        let answer = timeout(OPEN_DEADLINE, welcome.wait_for(Option::is_some)).await;
        match answer {
            Ok(Ok(answer)) => answer.clone().unwrap_or_else(|| Err(Arc::new(SessionError::Deadline))),
            _ => Err(Arc::new(SessionError::Deadline)),
        }
    }

    /// Opens a session without waiting: bytes may be written at once.
    ///
    /// # Errors
    ///
    /// [`Lost`] when the connection is.
    pub async fn open(&self) -> Result<(PendingSession, LegSink), Lost> {
        let (mut send, recv) = self.connection.open_bi().await?;
        let header = LegHeader::Open(SessionId::generate()).encode();
        if send.write_all(&header).await.is_err() {
            return Err(lost(&self.connection).await);
        }
        let host = self.clone();
        let opening = Box::pin(async move { host.opened(recv).await });
        Ok((PendingSession { opening: Some(opening), leg: None, heard: false }, LegSink::new(send)))
    }

    /// Waits for the host's answers: first about us, then about the session.
    async fn opened(self, mut recv: RecvStream) -> Result<LegSource, Arc<SessionError>> {
        self.welcome().await?;
        let reply = match timeout(OPEN_DEADLINE, read_frame(&mut recv, MAX_LEG_FRAME)).await {
            Ok(frame) => LegReply::decode(&frame.map_err(SessionError::from)?),
            Err(_) => return Err(Arc::new(SessionError::Deadline)),
        };
        match reply {
            Ok(LegReply::Opened) => Ok(LegSource::new(recv)),
            Ok(LegReply::Refused(refusal)) => Err(Arc::new(refusal.into())),
            Ok(LegReply::Resumed { .. }) => {
                Err(Arc::new(SessionError::Protocol("a new session was resumed".into())))
            }
            Err(error) => Err(Arc::new(SessionError::Protocol(error.to_string()))),
        }
    }

    /// Closes the connection and every session on it.
    pub fn close(&self, code: CloseCode) {
        self.connection.close(code.into(), b"");
    }

    /// The QUIC connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<LegSource, Arc<SessionError>>> + Send>>;

/// The receiving half of a session that the host has not answered yet.
///
/// The first read waits for the answer; a refusal is an error that holds a [`SessionError`].
pub struct PendingSession {
    opening: Option<Opening>,
    leg: Option<LegSource>,
    /// Whether the server has said anything yet.
    heard: bool,
}

impl PendingSession {
    /// Has something done before the first byte is read.
    #[must_use]
    pub fn after(mut self, first: impl Future<Output = ()> + Send + 'static) -> Self {
        self.opening = self
            .opening
            .map(|opening| -> Opening { Box::pin(async move { tokio::join!(opening, first).0 }) });
        self
    }
}

impl PendingSession {
    /// Waits until the host has opened the session, which it says right before the server's first word.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn opened(&mut self) -> Result<(), Arc<SessionError>> {
        if let Some(opening) = &mut self.opening {
            let opened = opening.await;
            self.opening = None;
            self.leg = Some(opened?);
        }
        Ok(())
    }
}

/// For those who read by bytes, such as an SSH client. The first word has no deadline here.
impl AsyncRead for PendingSession {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(opening) = &mut this.opening {
            let opened = std::task::ready!(opening.as_mut().poll(cx));
            this.opening = None;
            this.leg = Some(opened.map_err(io::Error::other)?);
        }
        match &mut this.leg {
            Some(leg) => leg.poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Source for PendingSession {
    async fn read(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.opened().await.map_err(io::Error::other)?;
        let silent = |how| io::Error::other(Arc::new(SessionError::Silent(how)));
        match &mut self.leg {
            Some(leg) if self.heard => leg.read(batch).await,
            Some(leg) => {
                timeout(FIRST_WORD, leg.read(batch))
                    .await
                    .map_err(|_| silent("said nothing for a minute"))??;
                self.heard = true;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn hello(connection: &Connection, identity: &SecretKey, target: &Target) -> Hello {
    let public = *identity.public().as_bytes();
    let mut exported = [0; EXPORTER_LENGTH];
    // Fails only for lengths that TLS has no room for; the host would refuse the proof.
    let _ = connection.export_keying_material(&mut exported, EXPORTER_LABEL, &public);
    let proof = identity.sign(&proof_message(&exported)).to_bytes();
    Hello::new(public, proof, target.secret().cloned())
}

async fn read_control(recv: &mut RecvStream) -> Result<Frame, SessionError> {
    let frame = read_frame(recv, MAX_CONTROL_FRAME).await?;
    Frame::decode(&frame).map_err(|error| SessionError::Protocol(error.to_string()))
}

async fn lost(connection: &Connection) -> Lost {
    connection.closed().await.into()
}
