//! What a client has sent on a channel and nobody has used yet.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::idle::LastUse;

/// The window of each channel, in bytes: the most that an [`Inbox`] holds.
pub(in crate::server) const WINDOW: u32 = 4 << 20;

/// A queue for the data of one channel.
///
/// The session's loop never waits for it: the client cannot send more than the window, which is
/// opened again by what is used and not by what arrives. So a channel whose reader stands still holds
/// up nobody but itself.
#[derive(Debug, Default)]
pub(in crate::server) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
    closed: CancellationToken,
    unread: CancellationToken,
    last_use: LastUse,
}

#[derive(Debug, Default)]
struct State {
    data: BytesMut,
    ended: bool,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::server) fn push(&self, data: &[u8]) {
        self.state().data.extend_from_slice(data);
        self.last_use.is_now();
        self.changed.notify_one();
    }

    /// No more data will come: the client's EOF.
    pub(in crate::server) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_one();
    }

    /// The client will use nothing more that it is sent.
    pub(in crate::server) fn stop_reading(&self) {
        self.unread.cancel();
    }

    /// The client has closed the channel, or is gone: nothing that is sent arrives any more. What it has
    /// sent before still counts.
    pub(in crate::server) fn close(&self) {
        self.unread.cancel();
        self.closed.cancel();
        self.end();
    }

    /// Something was sent on the channel that this is the inbox of.
    pub(super) fn has_sent(&self) {
        self.last_use.is_now();
    }

    /// Told when the client has closed the channel, or is gone.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Told when the client will use nothing more that it is sent.
    pub(super) fn unread(&self) -> &CancellationToken {
        &self.unread
    }

    /// Waits until nothing has gone through the channel for so long.
    pub(super) async fn idle_for(&self, limit: Option<Duration>) {
        self.last_use.idle_for(limit).await;
    }

    /// All that has come; `None` at the end.
    pub(super) async fn take(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state();
                if !state.data.is_empty() {
                    return Some(state.data.split().freeze());
                }
                if state.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_packets_come_out_as_one_and_the_end_after_them() {
        let inbox = Inbox::default();
        inbox.push(b"one ");
        inbox.push(b"two");
        inbox.end();
        assert_eq!(inbox.take().await.as_deref(), Some(&b"one two"[..]));
        assert_eq!(inbox.take().await, None);
    }
}
