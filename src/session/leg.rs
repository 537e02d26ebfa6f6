//! A leg: one QUIC stream that carries a part of a session.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use iroh::endpoint::{
    ConnectionError, ReadError, ReadExactError, RecvStream, SendStream, StoppedError, VarInt, WriteError,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Batch,
    copy::{Sink, Source},
};
use crate::{
    log::one_line,
    protocol::{CloseCode, FrameError, HEADER_LENGTH, frame_length},
};

/// Chunks taken off a stream at once: as many as packets of one burst.
const CHUNKS: usize = 64;

/// A leg, or the connection under it, ended before its session.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Lost {
    /// The peer closed the connection and said why.
    #[error("{0}")]
    Closed(CloseCode),
    /// Nothing was heard for the idle timeout.
    #[error("nothing was heard from the other side for {} s", IDLE_SECONDS)]
    TimedOut,
    /// Anything else.
    #[error("the connection failed: {0}")]
    Failed(String),
}

/// Seconds of silence after which a connection counts as lost: iroh's default.
const IDLE_SECONDS: u32 = 30;

impl Lost {
    /// Finds the loss within an error of a leg.
    pub(super) fn of(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::ApplicationClosed(close) => {
                match CloseCode::from_number(close.error_code.into_inner()) {
                    Some(code) => Self::Closed(code),
                    None => Self::Failed(one_line(&close.to_string())),
                }
            }
            other => Self::Failed(one_line(&other.to_string())),
        }
    }
}

fn code_of(code: VarInt) -> Lost {
    match CloseCode::from_number(code.into_inner()) {
        Some(code) => Lost::Closed(code),
        None => Lost::Failed(format!("the stream was reset with code {code}")),
    }
}

fn lost(lost: Lost) -> io::Error {
    io::Error::other(lost)
}

/// The receiving half of a leg.
#[derive(Debug)]
pub struct LegSource(RecvStream);

impl LegSource {
    /// A source over a stream whose header frame has been read.
    pub fn new(stream: RecvStream) -> Self {
        Self(stream)
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buf).map_err(not_read)
    }
}

impl Source for LegSource {
    async fn read(&mut self, batch: &mut Batch) -> io::Result<()> {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        match self.0.read_many_chunks(&mut chunks).await {
            Ok(count) => {
                chunks.into_iter().take(count.unwrap_or(0)).for_each(|chunk| batch.push(chunk));
                Ok(())
            }
            Err(error) => Err(not_read(error.into())),
        }
    }
}

impl Drop for LegSource {
    fn drop(&mut self) {
        let _ = self.0.stop(CloseCode::ReaderGone.into());
    }
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>;

/// The sending half of a leg.
pub struct LegSink {
    stream: SendStream,
    stopped: Stopped,
    finished: bool,
}

impl LegSink {
    /// A sink over a stream whose header frame has been written.
    pub fn new(stream: SendStream) -> Self {
        let stopped = Box::pin(stream.stopped());
        Self { stream, stopped, finished: false }
    }

    /// Writes as many bytes as there is credit for. Cancel-safe.
    pub(crate) async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).await.map_err(not_written)
    }
}

/// The reason of a reader's error, which says of a lost connection that it is lost and no more.
fn not_read(error: io::Error) -> io::Error {
    error.downcast().map_or_else(
        |other| other,
        |error| match error {
            ReadError::Reset(code) => lost(code_of(code)),
            ReadError::ConnectionLost(error) => lost(error.into()),
            error => lost(Lost::Failed(error.to_string())),
        },
    )
}

fn not_written(error: WriteError) -> io::Error {
    match error {
        WriteError::Stopped(_) => io::ErrorKind::BrokenPipe.into(),
        WriteError::ConnectionLost(error) => lost(error.into()),
        error => lost(Lost::Failed(error.to_string())),
    }
}

impl AsyncWrite for LegSink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, bytes)
            .map_err(|error| error.downcast().map_or_else(|other| other, not_written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    /// Waits until the peer has acknowledged every byte, as [`Sink::finish`] does.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            self.finished = true;
            let _ = self.stream.finish();
        }
        self.stopped.as_mut().poll(cx).map(finished)
    }
}

impl Sink for LegSink {
    async fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        match self.stream.write_all_chunks(batch.chunks_mut()).await {
            Ok(()) => {
                batch.clear();
                Ok(())
            }
            Err(error) => Err(not_written(error)),
        }
    }

    /// Waits until the peer has acknowledged every byte.
    async fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        let _ = self.stream.finish();
        finished(self.stream.stopped().await)
    }

    async fn gone(&mut self) -> io::Result<()> {
        let stopped = (&mut self.stopped).await;
        self.stopped = Box::pin(std::future::ready(stopped.clone()));
        match stopped {
            Err(StoppedError::ConnectionLost(error)) => Err(lost(error.into())),
            Err(error) => Err(lost(Lost::Failed(error.to_string()))),
            Ok(_) => Ok(()),
        }
    }
}

/// How a stream that was finished has ended.
fn finished(stopped: Result<Option<VarInt>, StoppedError>) -> io::Result<()> {
    match stopped {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        Err(StoppedError::ConnectionLost(error)) => match error.into() {
            // A client says this when it has all that it waited for.
            Lost::Closed(CloseCode::Done) => Ok(()),
            other => Err(lost(other)),
        },
        Err(error) => Err(lost(Lost::Failed(error.to_string()))),
    }
}

impl Drop for LegSink {
    fn drop(&mut self) {
        // A stream that is dropped counts as finished, which would make a cut-off session look whole.
        if !self.finished {
            let _ = self.stream.reset(CloseCode::Interrupted.into());
        }
    }
}

/// A frame could not be read off a stream.
#[derive(Debug, thiserror::Error)]
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

/// Reads one frame of at most `max` bytes, without its header. Not cancel-safe.
///
/// # Errors
///
/// [`FrameReadError`]; after one, the stream is of no further use.
pub async fn read_frame(stream: &mut RecvStream, max: usize) -> Result<Vec<u8>, FrameReadError> {
    let mut header = [0; HEADER_LENGTH];
    read_exact(stream, &mut header).await?;
    let mut frame = vec![0; frame_length(header, max)?];
    read_exact(stream, &mut frame).await?;
    Ok(frame)
}

async fn read_exact(stream: &mut RecvStream, buffer: &mut [u8]) -> Result<(), FrameReadError> {
    stream.read_exact(buffer).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(_) => FrameReadError::Ended,
        ReadExactError::ReadError(ReadError::ConnectionLost(error)) => Lost::from(error).into(),
        ReadExactError::ReadError(ReadError::Reset(code)) => code_of(code).into(),
        ReadExactError::ReadError(error) => Lost::Failed(error.to_string()).into(),
    })
}
