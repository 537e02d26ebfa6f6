//! A leg: one QUIC stream that carries a part of a session.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::ready,
};

use bytes::Bytes;
use iroh::endpoint::{
    ConnectionError, ReadError, ReadExactError, RecvStream, SendStream, StoppedError, TransportErrorCode,
    VarInt, WeakConnectionHandle, WriteError,
};
use tokio::sync::mpsc;

use super::machine::LegNumber;
use crate::{
    log::one_line,
    protocol::{
        CloseCode, Frame, FrameError, HEADER_LENGTH, Position, Refusal, frame_length, is_passed_over,
    },
};

/// Chunks taken off a stream at once: as many as packets of one burst.
const CHUNKS: usize = 64;

/// A leg, or the connection under it, ended before its session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The peer closed the connection and said why.
    #[error("{0}")]
    Closed(CloseCode),
    /// Nothing was heard for the idle timeout.
    #[error("nothing was heard from the other side for {} s", IDLE_SECONDS)]
    TimedOut,
    /// Nothing that was sent was acknowledged any more.
    #[error("nothing that was sent was acknowledged any more")]
    Silent,
    /// The other side does not know the connection: its process is another one by now (RFC 9000 section 10.3).
    #[error("the other side does not know the connection any more")]
    Forgotten,
    /// Anything else.
    #[error("the connection failed: {0}")]
    Failed(String),
}

/// Seconds of silence after which a connection counts as lost: iroh's default.
const IDLE_SECONDS: u32 = 30;

/// Why a session has a leg no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LegEnd {
    /// The leg, or the connection under it.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The host did not take it, and says why.
    #[error("{0}")]
    Refused(Refusal),
    /// The host let a deadline pass.
    #[error("no answer in time")]
    Deadline,
    /// The other side does not keep to the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl LegEnd {
    /// Whether the session may go on on another leg.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            // Who says why does not mean the network.
            Self::Lost(Lost::Closed(code)) => *code == CloseCode::Detached,
            Self::Lost(_) | Self::Deadline => true,
            Self::Refused(_) | Self::Protocol(_) => false,
        }
    }
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::Reset => Self::Forgotten,
            ConnectionError::ApplicationClosed(close) => {
                match CloseCode::from_number(close.error_code.into_inner()) {
                    Some(code) => Self::Closed(code),
                    None => Self::Failed(one_line(&close.to_string())),
                }
            }
            // What it says before the handshake is over is nobody's to read (RFC 9000 section 10.2.3).
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::APPLICATION_ERROR =>
            {
                Self::Closed(CloseCode::Done)
            }
            other => Self::Failed(one_line(&other.to_string())),
        }
    }
}

impl From<ReadError> for Lost {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => reset_with(code),
            ReadError::ConnectionLost(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<WriteError> for Lost {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => reset_with(code),
            WriteError::ConnectionLost(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}

fn reset_with(code: VarInt) -> Lost {
    match CloseCode::from_number(code.into_inner()) {
        Some(code) => Lost::Closed(code),
        None => Lost::Failed(format!("the stream was reset with code {code}")),
    }
}

/// SSH's bytes and the session's window, or why there will be none.
type Opening = Result<(RecvStream, u32), LegEnd>;

/// What a leg brings, once the other side has taken it.
pub enum Receiving {
    /// Resolves before SSH's first byte, with what the other side has said that the session's window is; or with the
    /// reason why there will be none.
    Waiting(Pin<Box<dyn Future<Output = Opening> + Send>>),
    /// SSH's bytes.
    Open(RecvStream),
    /// The other side's end of file was seen.
    Ended,
}

/// A leg for a session.
pub struct NewLeg {
    /// Which of the session's legs.
    pub number: LegNumber,
    /// Where the other side is.
    pub position: Position,
    /// Whether the other side is to be told first where this one is.
    pub answer: bool,
    /// What this side sends on it.
    pub send: SendStream,
    /// What the other side sends.
    pub recv: Receiving,
    /// The control stream beside it.
    pub control: mpsc::Sender<Frame>,
    /// What all three are on.
    pub connection: WeakConnectionHandle,
}

impl NewLeg {
    /// Does not take it.
    pub(super) fn refuse(&mut self, code: CloseCode) {
        // One that is dropped counts as finished, which is an end of file.
        let _ = self.send.reset(code.into());
    }
}

/// The leg that a session has.
pub(super) struct Leg {
    pub(super) number: LegNumber,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) control: mpsc::Sender<Frame>,
}

/// The half on which this side sends.
pub(super) struct Outgoing {
    stream: SendStream,
    chunks: Vec<Bytes>,
    /// Chunks before this one are on their way.
    next: usize,
    finished: bool,
}

/// The half on which the other side sends.
pub(super) struct Incoming {
    receiving: Receiving,
    stopped: Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>,
    connection: WeakConnectionHandle,
}

/// What a leg has brought.
pub(super) enum Arrived {
    /// These chunks.
    Chunks(Vec<Bytes>),
    /// The other side has taken the session, and given it this window.
    Opened(u32),
    /// The other side's end of file.
    End,
}

impl Leg {
    /// A leg of which the other side hears `first`.
    pub(super) fn new(leg: NewLeg, first: Option<Bytes>) -> Self {
        let NewLeg { number, send, recv, control, connection, .. } = leg;
        let stopped = Box::pin(send.stopped());
        let outgoing =
            Outgoing { stream: send, chunks: first.into_iter().collect(), next: 0, finished: false };
        Self { number, outgoing, incoming: Incoming { receiving: recv, stopped, connection }, control }
    }
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.chunks.len()
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// Hands over what there is credit for. Cancel-safe.
    pub(super) async fn write(&mut self) -> Result<(), Lost> {
        let mut left = &mut self.chunks[self.next..];
        self.stream.write_many_chunks(&mut left).await?;
        let left = left.len();
        self.next = self.chunks.len() - left;
        if left == 0 {
            self.chunks.clear();
            self.next = 0;
        }
        Ok(())
    }

    /// Says that no byte follows.
    pub(super) fn finish(&mut self) {
        self.finished = true;
        let _ = self.stream.finish();
    }
}

impl Incoming {
    /// Takes what has arrived off the stream. Cancel-safe.
    pub(super) async fn read(&mut self) -> Result<Arrived, LegEnd> {
        match &mut self.receiving {
            Receiving::Waiting(opening) => {
                let (stream, window) = opening.await?;
                self.receiving = Receiving::Open(stream);
                Ok(Arrived::Opened(window))
            }
            Receiving::Open(stream) => match take(stream).await.map_err(Lost::from)? {
                Some(chunks) => Ok(Arrived::Chunks(chunks)),
                None => {
                    self.receiving = Receiving::Ended;
                    Ok(Arrived::End)
                }
            },
            // Nothing comes any more, but the connection may be lost.
            Receiving::Ended => match (&mut self.stopped).await {
                Err(StoppedError::ConnectionLost(error)) => Err(Lost::from(error).into()),
                stopped => {
                    // All was acknowledged, or is not wanted.
                    let code = stopped.ok().flatten();
                    let closed = self.connection.closed();
                    self.stopped = Box::pin(async move {
                        let why = closed.await.map_or(ConnectionError::LocallyClosed, |closed| closed.reason);
                        Err(StoppedError::ConnectionLost(why))
                    });
                    match code {
                        Some(code) => Err(reset_with(code).into()),
                        None => Box::pin(self.read()).await,
                    }
                }
            },
        }
    }
}

/// Takes what is there off a stream. Cancel-safe.
///
/// The room for it is on the stack meanwhile: it is more than a session that waits is to hold.
async fn take(stream: &mut RecvStream) -> Result<Option<Vec<Bytes>>, ReadError> {
    poll_fn(|context| {
        let mut room = [const { Bytes::new() }; CHUNKS];
        let count = {
            let reading = pin!(stream.read_many_chunks(&mut room));
            ready!(reading.poll(context))?
        };
        Ok(count.map(|count| room.into_iter().take(count).collect())).into()
    })
    .await
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // A stream that is dropped counts as finished, which would make a leg that was lost look whole.
        if !self.finished {
            let _ = self.stream.reset(CloseCode::Detached.into());
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Receiving::Open(stream) = &mut self.receiving {
            let _ = stream.stop(CloseCode::Detached.into());
        }
    }
}

/// A frame could not be read off a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameReadError {
    /// The stream ended first.
    #[error("the stream ended within a frame")]
    Ended,
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection was lost.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl From<FrameReadError> for LegEnd {
    fn from(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Lost(lost) => Self::Lost(lost),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// Reads one frame of at most `max` bytes, without its header; those of a later version are passed over. Not
/// cancel-safe.
///
/// # Errors
///
/// [`FrameReadError`]; after one, the stream is of no further use.
pub async fn read_frame(stream: &mut RecvStream, max: usize) -> Result<Vec<u8>, FrameReadError> {
    loop {
        let mut header = [0; HEADER_LENGTH];
        read_exact(stream, &mut header).await?;
        let mut frame = vec![0; frame_length(header, max)?];
        read_exact(stream, &mut frame).await?;
        if !is_passed_over(&frame) {
            return Ok(frame);
        }
    }
}

async fn read_exact(stream: &mut RecvStream, buffer: &mut [u8]) -> Result<(), FrameReadError> {
    stream.read_exact(buffer).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(_) => FrameReadError::Ended,
        ReadExactError::ReadError(error) => Lost::from(error).into(),
    })
}
