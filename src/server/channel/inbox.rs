//! What a client has sent on a channel and nobody has used yet.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use russh::{ChannelId, server::Handle};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::idle::LastUse;
use crate::server::inboxes::Inboxes;

/// The window of each channel, in bytes: the most that an [`Inbox`] holds.
pub(in crate::server) const WINDOW: u32 = 4 << 20;

/// Bytes used after which the client may send as many again.
const CREDIT: u32 = WINDOW / 4;

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

    /// All that has come; `None` at the end.
    async fn take(&self) -> Option<Bytes> {
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

/// Takes from an inbox and lets the client send more as it does.
pub(in crate::server) struct Outlet {
    inbox: Arc<Inbox>,
    inboxes: Inboxes,
    id: ChannelId,
    session: Handle,
    used: u32,
}

impl Outlet {
    /// Takes from the inbox of a channel, which is forgotten with the outlet.
    pub(in crate::server) fn new(inboxes: Inboxes, id: ChannelId, session: Handle) -> Self {
        Self { inbox: inboxes.get_or_add(id), inboxes, id, session, used: 0 }
    }

    /// The next data; `None` at the end. Cancel safe.
    pub(in crate::server) async fn next(&mut self) -> Option<Bytes> {
        self.inbox.take().await
    }

    /// Told when the client has closed the channel, or is gone.
    pub(in crate::server) fn closed(&self) -> CancellationToken {
        self.inbox.closed.clone()
    }

    /// Told when the client will use nothing more that it is sent.
    pub(in crate::server) fn unread(&self) -> CancellationToken {
        self.inbox.unread.clone()
    }

    /// Waits until nothing has gone through the channel for so long.
    pub(super) fn idle_for(&self, limit: Option<Duration>) -> impl Future<Output = ()> + use<> {
        let inbox = Arc::clone(&self.inbox);
        async move { inbox.last_use.idle_for(limit).await }
    }

    /// So many bytes have been used.
    pub(in crate::server) async fn used(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.used >= CREDIT {
            let _ = self.session.adjust_window(self.id, self.used).await;
            self.used = 0;
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.inboxes.forget(self.id);
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
