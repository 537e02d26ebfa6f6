//! What takes from an inbox.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use russh::{ChannelId, server::Handle};
use tokio_util::sync::CancellationToken;

use super::{
    inbox::{Inbox, WINDOW},
    inboxes::Inboxes,
};

/// Bytes used after which the client may send as many again.
const CREDIT: u32 = WINDOW / 4;

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
        self.inbox.closed().clone()
    }

    /// Told when the client will use nothing more that it is sent.
    pub(in crate::server) fn unread(&self) -> CancellationToken {
        self.inbox.unread().clone()
    }

    /// Waits until nothing has gone through the channel for so long.
    pub(in crate::server) fn idle_for(&self, limit: Option<Duration>) -> impl Future<Output = ()> + use<> {
        let inbox = Arc::clone(&self.inbox);
        async move { inbox.idle_for(limit).await }
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
