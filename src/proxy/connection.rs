//! A connection to a host: who we are, and the sessions on it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use iroh::{
    Endpoint, EndpointId,
    endpoint::{Connection, RecvStream, SendStream},
};
use tokio::{
    sync::{OwnedMutexGuard, SetOnce, mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    apart::Fresh,
    greeter::{Greeter, Used},
    relayed::why_relayed,
    session_error::{OPEN_DEADLINE, SessionError},
    ssh_agent::CannotProve,
};
use crate::{
    protocol::{
        Acknowledged, CloseCode, Closed, Frame, LegHeader, LegReply, MAX_CONTROL_FRAME, MAX_LEG_FRAME,
        Position, SessionId, Welcome,
    },
    session::{Delivered, LegEnd, LegNumber, Lost, NewLeg, Receiving, Word, read_frame},
    transport::{Network, PathStatus, Target, is_direct, path_of, pulse},
};

/// Frames that may wait to be sent on a control stream.
const CONTROL: usize = 64;

/// How long somebody may take to touch or confirm a key. Most hosts do not wait as long.
const PROOF_DEADLINE: Duration = Duration::from_secs(120);

/// How long the answer to a proof is waited for before another one is made of the same key: it may be needless then.
const NEXT_PROOF: Duration = Duration::from_secs(2);

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
        said = timeout(PROOF_DEADLINE, who.hello(connection, target)) => {
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

async fn read_control(recv: &mut RecvStream) -> Result<Frame, SessionError> {
    let frame = read_frame(recv, MAX_CONTROL_FRAME).await?;
    Frame::decode(&frame).map_err(|error| SessionError::Protocol(error.to_string()))
}

async fn lost(connection: &Connection) -> Lost {
    connection.closed().await.into()
}
