//! A stream whose writes do not wait, under SSH.
//!
//! russh does not read while it writes: two ends that both send bulk would each wait for the other to
//! read. Here what is written goes to a queue that a task of its own sends on. The queue is as long as
//! the client's windows are wide; past [`LIMIT`], writes wait after all.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::Notify,
    task::JoinHandle,
};

/// Bytes from which on writes wait. A session's window is 2 MiB in OpenSSH.
const LIMIT: usize = 64 << 20;

/// The reading half as it is, the writing half through a queue.
pub(super) struct Elastic<R> {
    reader: R,
    queue: Arc<Queue>,
}

/// The other end of the queue.
pub(super) struct Drain {
    queue: Arc<Queue>,
    task: JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    bytes: BytesMut,
    ended: bool,
    failed: Option<io::ErrorKind>,
    waiting: Option<Waker>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.state().ended = true;
        self.more.notify_one();
    }

    /// The bytes that wait; `None` when there will be no more.
    async fn take(&self) -> Option<BytesMut> {
        loop {
            let more = self.more.notified();
            {
                let mut state = self.state();
                if !state.bytes.is_empty() {
                    if let Some(waker) = state.waiting.take() {
                        waker.wake();
                    }
                    return Some(std::mem::take(&mut state.bytes));
                }
                if state.ended {
                    return None;
                }
            }
            more.await;
        }
    }

    fn fail(&self, error: &io::Error) {
        let mut state = self.state();
        state.failed = Some(error.kind());
        state.bytes = BytesMut::new();
        if let Some(waker) = state.waiting.take() {
            waker.wake();
        }
    }
}

/// Puts a queue before a writer.
pub(super) fn elastic<R, W>(reader: R, mut writer: W) -> (Elastic<R>, Drain)
where
    W: AsyncWrite + Unpin + Send + 'static,
{
    let queue = Arc::new(Queue::default());
    let source = Arc::clone(&queue);
    let task = tokio::spawn(async move {
        let sending = async {
            while let Some(bytes) = source.take().await {
                writer.write_all(&bytes).await?;
                writer.flush().await?;
            }
            writer.shutdown().await
        };
        let result = sending.await;
        if let Err(error) = &result {
            source.fail(error);
        }
        result
    });
    (Elastic { reader, queue: Arc::clone(&queue) }, Drain { queue, task })
}

impl Drain {
    /// Adds last words, in the clear.
    pub(super) fn say(&self, words: &[u8]) {
        self.queue.state().bytes.extend_from_slice(words);
        self.queue.more.notify_one();
    }

    /// Sends what is left and closes the writer.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub(super) async fn finish(self) -> io::Result<()> {
        self.queue.end();
        self.task.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Elastic<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl<R: Unpin> AsyncWrite for Elastic<R> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.queue.state();
        if let Some(kind) = state.failed {
            return Poll::Ready(Err(kind.into()));
        }
        if state.bytes.len() >= LIMIT {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes.extend_from_slice(buf);
        drop(state);
        self.queue.more.notify_one();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.end();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_write_does_not_wait_for_the_reader_and_nothing_is_lost() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let (reader, writer) = tokio::io::split(ours);
        let (mut stream, drain) = elastic(reader, writer);
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        stream.write_all(&sent).await.expect("written at once");
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.expect("read");
            got
        });
        drain.say(b"bye");
        drain.finish().await.expect("drained");
        let got = reading.await.expect("joined");
        assert!(got.starts_with(&sent) && got.ends_with(b"bye") && got.len() == sent.len() + 3);
    }

    #[tokio::test]
    async fn a_writer_that_fails_is_known_to_the_next_write() {
        let (ours, theirs) = tokio::io::duplex(16);
        drop(theirs);
        let (reader, writer) = tokio::io::split(ours);
        let (mut stream, drain) = elastic(reader, writer);
        let _ = stream.write_all(b"x").await;
        assert!(drain.finish().await.is_err());
        assert_eq!(stream.write_all(b"y").await.map_err(|e| e.kind()), Err(io::ErrorKind::BrokenPipe));
    }
}
