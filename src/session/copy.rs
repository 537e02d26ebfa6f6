//! The one loop that moves a session's bytes.

use std::{
    fmt,
    future::Future,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::timeout;

use super::{Batch, leg::Lost};
use crate::protocol::CloseCode;

/// Where one direction's bytes come from.
pub trait Source: Send {
    /// Waits for bytes and adds them to the batch; adds none at end of file.
    ///
    /// Cancel-safe: bytes are in the batch or still in the source.
    ///
    /// # Errors
    ///
    /// An error is the end of this direction; bytes before it were delivered.
    fn read(&mut self, batch: &mut Batch) -> impl Future<Output = io::Result<()>> + Send;
}

/// Where one direction's bytes go.
pub trait Sink: Send {
    /// Writes the whole batch and leaves it empty. Not cancel-safe.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::BrokenPipe`] when nobody reads any more, else whatever is wrong.
    fn write(&mut self, batch: &mut Batch) -> impl Future<Output = io::Result<()>> + Send;

    /// Says that no byte follows, and waits until those before have gone out.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Resolves when nobody will read what is written, if that can be known without writing.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// What [`Self::write`] would fail with, but for [`io::ErrorKind::BrokenPipe`].
    fn gone(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// One side of a session.
#[derive(Debug)]
pub struct Side<R, W> {
    /// What it sends to the other side.
    pub source: R,
    /// What takes the other side's bytes.
    pub sink: W,
}

/// Bytes moved so far; read while the session runs.
#[derive(Debug, Default)]
pub struct Counters {
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Counters {
    /// Bytes that went from the client side to the server side.
    #[must_use]
    pub fn to_server(&self) -> u64 {
        self.to_server.load(Ordering::Relaxed)
    }

    /// Bytes that went from the server side to the client side.
    #[must_use]
    pub fn to_client(&self) -> u64 {
        self.to_client.load(Ordering::Relaxed)
    }
}

/// How a session ended and what it moved.
#[derive(Debug)]
pub struct Report {
    /// Bytes from the client side to the server side.
    pub to_server: u64,
    /// Bytes from the server side to the client side.
    pub to_client: u64,
    /// Why it ended.
    pub ended: Ended,
}

/// Why a session ended.
#[derive(Debug)]
pub enum Ended {
    /// The server side sent its last byte and the client side has it.
    ServerClosed,
    /// The client side stopped reading and has nothing more to send.
    ClientClosed,
    /// The connection between proxy and host was lost.
    Lost(Lost),
    /// The server side failed.
    ServerFailed(io::Error),
    /// The client side failed.
    ClientFailed(io::Error),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerClosed => f.write_str("the ssh server closed it"),
            Self::ClientClosed => f.write_str("the ssh client closed it"),
            Self::Lost(lost) => write!(f, "{lost}"),
            Self::ServerFailed(error) => write!(f, "the ssh server's side failed: {error}"),
            Self::ClientFailed(error) => write!(f, "the ssh client's side failed: {error}"),
        }
    }
}

/// How long the other direction may take to deliver what it already has, once nobody reads at the
/// client side any more or the leg is lost. A backend that is stuck must not keep a session alive.
const LINGER: Duration = Duration::from_secs(5);

/// Moves bytes both ways until the session is over.
///
/// Each direction ends on its own, and its end of file becomes a half-close on the other side. The
/// session is over when the server side has ended and the client side has all of it: ssh keeps its
/// end open until its proxy goes, so waiting for both ends of file would be for ever. When the
/// client side reads no more, or the leg under the session is lost, what has already arrived is
/// still delivered, for 5 s at most.
pub async fn relay<CR, CW, SR, SW>(client: Side<CR, CW>, server: Side<SR, SW>, counters: &Counters) -> Report
where
    CR: Source,
    CW: Sink,
    SR: Source,
    SW: Sink,
{
    let to_server = pump(client.source, server.sink, &counters.to_server);
    let to_client = pump(server.source, client.sink, &counters.to_client);
    tokio::pin!(to_server, to_client);

    let ended = tokio::select! {
        // The direction that decides is looked at first.
        biased;
        end = &mut to_client => match end {
            End::Lost(lost) => {
                let _ = timeout(LINGER, to_server).await;
                Ended::of_loss(lost)
            }
            End::ReaderGone => match timeout(LINGER, to_server).await {
                Ok(End::Lost(lost)) => Ended::of_loss(lost),
                _ => Ended::ClientClosed,
            },
            end => Ended::of_server(end),
        },
        end = &mut to_server => match end {
            End::Lost(lost) => match timeout(LINGER, to_client).await {
                // A host that refuses a session says so there and closes the connection.
                Ok(end @ End::SourceFailed(_)) => Ended::of_server(end),
                _ => Ended::of_loss(lost),
            },
            // The half-close has been passed on; what the server still says is delivered.
            _ => Ended::of_server(to_client.await),
        },
    };
    Report { to_server: counters.to_server(), to_client: counters.to_client(), ended }
}

/// How one direction ended.
enum End {
    /// Every byte arrived, and the end of file after it.
    Eof,
    /// Nobody reads at the sink.
    ReaderGone,
    /// The leg at one of its ends was lost.
    Lost(Lost),
    SourceFailed(io::Error),
    SinkFailed(io::Error),
}

async fn pump(mut source: impl Source, mut sink: impl Sink, moved: &AtomicU64) -> End {
    let mut batch = Batch::default();
    loop {
        tokio::select! {
            biased;
            read = source.read(&mut batch) => if let Err(error) = read {
                // What came before the error has been written; let it arrive.
                let _ = sink.finish().await;
                return End::of_source(error);
            },
            gone = sink.gone() => return gone.map_or_else(End::of_sink, |()| End::ReaderGone),
        }
        let bytes = batch.len() as u64;
        let written = match bytes {
            0 => sink.finish().await,
            _ => sink.write(&mut batch).await,
        };
        match written {
            Ok(()) if bytes == 0 => return End::Eof,
            Ok(()) => moved.fetch_add(bytes, Ordering::Relaxed),
            Err(error) => return End::of_sink(error),
        };
    }
}

impl End {
    fn of_source(error: io::Error) -> Self {
        Lost::of(error).map_or_else(Self::SourceFailed, Self::Lost)
    }

    fn of_sink(error: io::Error) -> Self {
        match Lost::of(error) {
            Ok(lost) => Self::Lost(lost),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::ReaderGone,
            Err(error) => Self::SinkFailed(error),
        }
    }
}

impl Ended {
    /// A client that has all that it waited for closes its connection as done.
    fn of_loss(lost: Lost) -> Self {
        match lost {
            Lost::Closed(CloseCode::Done) => Self::ClientClosed,
            lost => Self::Lost(lost),
        }
    }

    /// What the end of the direction from server to client means for the session.
    fn of_server(end: End) -> Self {
        match end {
            End::Eof => Self::ServerClosed,
            End::ReaderGone => Self::ClientClosed,
            End::Lost(lost) => Self::of_loss(lost),
            // A reset is how TCP says that the other end closed with bytes of ours unread.
            End::SourceFailed(error) if error.kind() == io::ErrorKind::ConnectionReset => Self::ServerClosed,
            End::SourceFailed(error) => Self::ServerFailed(error),
            End::SinkFailed(error) => Self::ClientFailed(error),
        }
    }
}

#[cfg(test)]
mod tests;
