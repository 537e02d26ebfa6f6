//! A session at a host as a stream of bytes, for an SSH client in this process.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::watch,
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    connection::HostConnection,
    dial::Dialer,
    session::{ClientSession, SessionStatus},
    session_error::SessionError,
};
use crate::{
    session::{LocalReader, LocalWriter},
    transport::Target,
};

/// Bytes on their way between the SSH client and the session, each way.
const BETWEEN: usize = 256 << 10;

/// The SSH client's end of a session. Dropped, it ends the session, once the host has what was written.
pub struct SessionStream {
    stream: DuplexStream,
    outcome: watch::Receiver<Option<Arc<SessionError>>>,
    /// Resolves when all that was written has been delivered, or the session is over.
    delivered: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl SessionStream {
    /// Opens a session, and has a task of its own carry it.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn open(
        dialer: &Dialer,
        target: &Target,
        host: HostConnection,
    ) -> Result<(Self, SessionStatus), Arc<SessionError>> {
        let (stream, theirs) = duplex(BETWEEN);
        let (reader, writer) = tokio::io::split(theirs);
        let local = (LocalReader::new(reader), LocalWriter::new(writer));
        let (session, status) = ClientSession::open(dialer, target, host, local).await?;
        let (tell, outcome) = watch::channel(None);
        let delivered = Box::pin(status.delivered().cancelled_owned());
        let over = status.delivered().drop_guard();
        tokio::spawn(async move {
            if let Err(error) = session.run().await {
                tell.send_replace(Some(error));
            }
            drop(over);
        });
        Ok((Self { stream, outcome, delivered }, status))
    }

    /// Waits until the host has opened the session.
    ///
    /// # Errors
    ///
    /// Why it has not.
    pub async fn opened(&self, status: &SessionStatus) -> Result<(), Arc<SessionError>> {
        let mut outcome = self.outcome.clone();
        tokio::select! {
            biased;
            failed = outcome.wait_for(Option::is_some) => match failed.as_deref() {
                Ok(Some(error)) => Err(Arc::clone(error)),
                // It is over already, which is seen by who reads.
                _ => Ok(()),
            },
            () = status.opened() => Ok(()),
        }
    }

    /// Why the session was cut off, if it was.
    fn failed(&self) -> Option<io::Error> {
        self.outcome.borrow().clone().map(io::Error::other)
    }
}

impl AsyncRead for SessionStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        match self.failed() {
            Some(error) if read.is_err() || buf.filled().len() == before => Poll::Ready(Err(error)),
            _ => Poll::Ready(read),
        }
    }
}

impl AsyncWrite for SessionStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(written.map_err(|error| self.failed().unwrap_or(error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Waits until the host's SSH server has every byte.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        ready!(self.delivered.as_mut().poll(cx));
        Poll::Ready(self.failed().map_or(Ok(()), Err))
    }
}
