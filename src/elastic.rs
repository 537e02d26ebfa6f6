//! A stream whose writes do not wait, under SSH.
//!
//! russh does not read while it writes: two ends that both send bulk would each wait for the other to
//! read. Here what is written goes to a queue that a task of its own sends on. The queue is as long as
//! the peer's windows are wide; past [`LIMIT`], writes wait after all.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes from which on writes wait. A session's window is 2 MiB in OpenSSH.
const LIMIT: usize = 64 << 20;

/// The reading half as it is, the writing half through a queue.
pub(crate) struct Elastic<R> {
    reader: R,
    queue: Arc<Queue>,
    cut: CancellationToken,
    cutting: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Follows what a stream that was let go of still sends: told each time something moves, and whether all is
/// written and the writer is being closed.
#[derive(Clone)]
pub(crate) struct Rest(watch::Receiver<bool>);

impl Rest {
    /// Waits until all is sent and the writer is closed, or it has failed. False if nothing has moved for
    /// `patience`, or closing took longer than `closing`.
    pub(crate) async fn sent(mut self, patience: Duration, closing: Duration) -> bool {
        loop {
            let limit = if *self.0.borrow_and_update() { closing } else { patience };
            match timeout(limit, self.0.changed()).await {
                Ok(Ok(())) => {}
                // The task has ended.
                Ok(Err(_)) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// The other end of the queue.
pub(crate) struct Drain {
    queue: Arc<Queue>,
    task: JoinHandle<io::Result<()>>,
    progress: watch::Receiver<bool>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    bytes: BytesMut,
    /// Bytes that were taken to be written and are not yet.
    taken: usize,
    ended: bool,
    ends_when_dropped: bool,
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
                    state.taken = state.bytes.len();
                    return Some(std::mem::take(&mut state.bytes));
                }
                if state.ended {
                    return None;
                }
            }
            more.await;
        }
    }

    /// So many of the bytes that were taken are written.
    fn written(&self, count: usize) {
        let mut state = self.state();
        state.taken -= count;
        if state.held() < LIMIT
            && let Some(waker) = state.waiting.take()
        {
            waker.wake();
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

impl State {
    fn held(&self) -> usize {
        self.bytes.len() + self.taken
    }
}

/// Puts a queue before a writer. Once `cut` is cancelled, nothing is read or written any more and both
/// ends of the stream are let go: russh waits for ever for a peer that stops in a key exchange.
pub(crate) fn elastic<R, W>(reader: R, mut writer: W, cut: CancellationToken) -> (Elastic<R>, Drain)
where
    W: AsyncWrite + Unpin + Send + 'static,
{
    let queue = Arc::new(Queue::default());
    let source = Arc::clone(&queue);
    let stopped = cut.clone();
    let (tell, progress) = watch::channel(false);
    let task = tokio::spawn(async move {
        let sending = async {
            while let Some(mut bytes) = source.take().await {
                while bytes.has_remaining() {
                    let count = writer.write_buf(&mut bytes).await?;
                    if count == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    source.written(count);
                    tell.send_modify(|_| ());
                }
                writer.flush().await?;
            }
            tell.send_replace(true);
            writer.shutdown().await
        };
        let result = tokio::select! {
            sent = sending => sent,
            () = stopped.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        if let Err(error) = &result {
            source.fail(error);
        }
        drop(tell);
        result
    });
    let cutting = Box::pin(cut.clone().cancelled_owned());
    (Elastic { reader, queue: Arc::clone(&queue), cut, cutting }, Drain { queue, task, progress })
}

impl Drain {
    /// Leaves it to the stream: when that is dropped, what is left is sent and the writer is closed.
    pub(crate) fn detach(self) -> Rest {
        self.queue.state().ends_when_dropped = true;
        Rest(self.progress)
    }

    /// Adds last words, in the clear.
    pub(crate) fn say(&self, words: &[u8]) {
        self.queue.state().bytes.extend_from_slice(words);
        self.queue.more.notify_one();
    }

    /// Sends what is left and closes the writer.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub(crate) async fn finish(self) -> io::Result<()> {
        self.queue.end();
        self.task.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

impl<R> Drop for Elastic<R> {
    fn drop(&mut self) {
        if self.queue.state().ends_when_dropped {
            self.queue.end();
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Elastic<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.is_cancelled() || self.cutting.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl<R: Unpin> AsyncWrite for Elastic<R> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.queue.state();
        if let Some(kind) = state.failed {
            return Poll::Ready(Err(kind.into()));
        }
        if state.held() >= LIMIT {
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
        let (mut stream, drain) = elastic(reader, writer, CancellationToken::new());
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
    async fn what_is_being_written_counts_until_it_is() {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let (reader, writer) = tokio::io::split(ours);
        let (mut stream, drain) = elastic(reader, writer, CancellationToken::new());
        let block = vec![7; LIMIT / 4];
        let mut held = 0;
        // The task takes all of it away at once, and writes little of it.
        while let Ok(written) = timeout(Duration::from_millis(50), stream.write_all(&block)).await {
            written.expect("queued");
            held += block.len();
            tokio::task::yield_now().await;
        }
        assert!(held <= LIMIT + 2 * block.len(), "{held} bytes are held");
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.expect("read");
            got.len()
        });
        stream.write_all(&block).await.expect("there is room again");
        drop(stream);
        drain.finish().await.expect("drained");
        assert!(reading.await.expect("joined") >= held + block.len());
    }

    #[tokio::test]
    async fn a_writer_that_fails_is_known_to_the_next_write() {
        let (ours, theirs) = tokio::io::duplex(16);
        drop(theirs);
        let (reader, writer) = tokio::io::split(ours);
        let (mut stream, drain) = elastic(reader, writer, CancellationToken::new());
        let _ = stream.write_all(b"x").await;
        assert!(drain.finish().await.is_err());
        assert_eq!(stream.write_all(b"y").await.map_err(|e| e.kind()), Err(io::ErrorKind::BrokenPipe));
    }

    #[tokio::test]
    async fn a_detached_stream_sends_all_when_it_is_dropped() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let (reader, writer) = tokio::io::split(ours);
        let (mut stream, drain) = elastic(reader, writer, CancellationToken::new());
        drain.detach();
        stream.write_all(&[7; 1000]).await.expect("queued");
        drop(stream);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("read");
        assert_eq!(got, [7; 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_is_waited_for_while_it_moves_and_no_longer() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let (reader, writer) = tokio::io::split(ours);
        let (mut stream, drain) = elastic(reader, writer, CancellationToken::new());
        let rest = drain.detach();
        stream.write_all(&[7; 1000]).await.expect("queued");
        drop(stream);
        let patience = Duration::from_secs(5);
        assert!(!rest.clone().sent(patience, patience).await, "nobody reads");
        let slow = tokio::spawn(async move {
            let mut got = [0; 10];
            while theirs.read_exact(&mut got).await.is_ok() {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        });
        assert!(rest.sent(patience, patience).await);
        slow.await.expect("all came");
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_lets_go_of_both_ends() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let (reader, writer) = tokio::io::split(ours);
        let cut = CancellationToken::new();
        let (mut stream, drain) = elastic(reader, writer, cut.clone());
        drain.detach();
        stream.write_all(&[0; 1000]).await.expect("queued");
        let reading = tokio::spawn(async move { stream.read_u8().await });
        cut.cancel();
        assert!(reading.await.expect("joined").is_err());
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("the end");
    }
}
