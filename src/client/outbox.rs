//! What waits to be sent on a channel.
//!
//! A task of its own sends, as the server's window allows. So a caller who stops waiting has either
//! queued all of its bytes or none.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::client::channel::RawChannel;

/// Bytes queued from which on the next wait.
const LIMIT: usize = 1 << 20;

/// The sending end of a channel. When it is dropped, what is queued is sent, and
/// the input ends.
#[derive(Debug)]
pub(crate) struct Outbox(Arc<Queue>);

/// The channel takes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSent;

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    eof: bool,
    dropped: bool,
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
                if state.dropped {
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

    async fn send_all(&self, channel: &RawChannel) {
        let mut ended = false;
        loop {
            match self.next(ended).await {
                Next::Chunk(chunk) => {
                    let length = chunk.len();
                    tokio::select! {
                        sent = channel.sending.data_bytes(chunk) => if sent.is_err() {
                            return;
                        },
                        () = channel.inbox.unread().cancelled() => return,
                    }
                    self.sent(length);
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
        tokio::spawn(async move {
            tokio::select! {
                () = queue.send_all(&channel) => {}
                () = channel.inbox.closed().cancelled() => {}
            }
            queue.fail();
            // The channel closes when nobody holds it any more; a server that only reads no more may
            // still have something to say.
        });
        Self(ours)
    }

    /// Queues bytes, all or none. Cancel safe.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), NotSent> {
        let mut bytes = Some(bytes);
        poll_fn(|cx| self.poll_room(cx)).await?;
        if let Some(bytes) = bytes.take() {
            self.push(bytes);
        }
        Ok(())
    }

    /// Whether there is room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), NotSent>> {
        let mut state = self.0.state();
        if state.failed || state.eof {
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
        let mut state = self.0.state();
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

    /// Queues bytes where there is room.
    pub(crate) fn push(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.0.state();
        state.bytes += bytes.len();
        state.chunks.push_back(bytes);
        drop(state);
        self.0.more.notify_one();
    }

    /// Queues the end.
    pub(crate) fn end(&self) {
        self.0.state().eof = true;
        self.0.more.notify_one();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.state().dropped = true;
        self.0.more.notify_one();
    }
}
