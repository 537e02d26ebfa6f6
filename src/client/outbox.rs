//! What waits to be sent on a channel.
//!
//! A task of its own sends, as the server's window allows. So a caller who stops waiting has either
//! queued all of its bytes or none.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::client::channel::RawChannel;

/// Bytes queued from which on the next wait.
const LIMIT: usize = 1 << 20;

/// Bytes given to the connection at once.
const PIECE: usize = 256 << 10;

/// How long what nobody holds any more waits for the server to take a piece.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sending end of a channel. When it is dropped, what is queued is sent, as long as the server takes
/// it, and the input ends.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Arc<Queue>,
    /// That of the channel: what is queued from then on goes nowhere.
    closed: CancellationToken,
}

/// The channel takes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSent;

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    more: Notify,
    dropped: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    eof: bool,
    failed: bool,
    waiting: Vec<Waker>,
}

enum Next {
    Chunk(Bytes),
    Eof,
    Dropped,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self, after_eof: bool) -> Next {
        loop {
            let more = self.more.notified();
            {
                let mut state = self.state();
                if let Some(chunk) = state.chunks.pop_front() {
                    return Next::Chunk(chunk);
                }
                if state.eof && !after_eof {
                    return Next::Eof;
                }
                if self.dropped.is_cancelled() {
                    return Next::Dropped;
                }
            }
            more.await;
        }
    }

    fn sent(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.waiting.drain(..).for_each(Waker::wake);
    }

    fn fail(&self) {
        let mut state = self.state();
        state.failed = true;
        state.chunks.clear();
        state.bytes = 0;
        state.waiting.drain(..).for_each(Waker::wake);
    }

    /// Nobody holds it, and for a while nothing has moved.
    async fn given_up(&self) {
        self.dropped.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    }

    async fn send_all(&self, channel: &RawChannel) {
        let mut ended = false;
        loop {
            match self.next(ended).await {
                Next::Chunk(mut chunk) => {
                    while !chunk.is_empty() {
                        let piece = chunk.split_to(chunk.len().min(PIECE));
                        let length = piece.len();
                        tokio::select! {
                            sent = channel.sending.data_bytes(piece) => if sent.is_err() {
                                return;
                            },
                            () = channel.inbox.unread().cancelled() => return,
                            () = self.given_up() => return,
                        }
                        self.sent(length);
                    }
                }
                Next::Eof => {
                    ended = true;
                    let _ = channel.sending.eof().await;
                }
                Next::Dropped => {
                    if !ended {
                        let _ = channel.sending.eof().await;
                    }
                    return;
                }
            }
        }
    }
}

impl Outbox {
    pub(crate) fn new(channel: Arc<RawChannel>) -> Self {
        let queue = Arc::new(Queue::default());
        let ours = Arc::clone(&queue);
        let closed = channel.inbox.closed().clone();
        tokio::spawn(async move {
            tokio::select! {
                () = queue.send_all(&channel) => {}
                () = channel.inbox.closed().cancelled() => {}
            }
            queue.fail();
            // The channel closes when nobody holds it any more; a server that only reads no more may
            // still have something to say.
        });
        Self { queue: ours, closed }
    }

    /// Queues bytes, all or none. Cancel safe.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), NotSent> {
        let mut bytes = Some(bytes);
        poll_fn(|cx| self.poll_room(cx)).await?;
        match bytes.take() {
            Some(bytes) => self.push(bytes),
            None => Ok(()),
        }
    }

    /// Whether there is room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), NotSent>> {
        let mut state = self.queue.state();
        if state.failed || state.eof || self.closed.is_cancelled() {
            return Poll::Ready(Err(NotSent));
        }
        if state.bytes < LIMIT {
            return Poll::Ready(Ok(()));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether all has been given to the connection.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<Result<(), NotSent>> {
        let mut state = self.queue.state();
        if state.failed {
            return Poll::Ready(Err(NotSent));
        }
        if state.bytes == 0 {
            return Poll::Ready(Ok(()));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Queues bytes where there is room, unless the end is queued by now.
    pub(crate) fn push(&self, bytes: Bytes) -> Result<(), NotSent> {
        let mut state = self.queue.state();
        if state.failed || state.eof || self.closed.is_cancelled() {
            return Err(NotSent);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        state.bytes += bytes.len();
        state.chunks.push_back(bytes);
        drop(state);
        self.queue.more.notify_one();
        Ok(())
    }

    /// Queues the end.
    pub(crate) fn end(&self) {
        self.queue.state().eof = true;
        self.queue.more.notify_one();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.queue.dropped.cancel();
        self.queue.more.notify_one();
    }
}
