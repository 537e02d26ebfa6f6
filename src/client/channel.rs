//! An open channel, whatever is on it.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use russh::{Channel, ChannelId, ChannelWriteHalf, client::Msg};
use tokio::{
    sync::{Mutex, oneshot},
    time::timeout,
};

use crate::client::{
    connection::Connection,
    inbox::{Inbox, Item, WINDOW},
};

/// Bytes used after which the server may send as many again.
const CREDIT: u32 = WINDOW / 4;

/// How long a program may take to read what it was sent before its channel was closed.
const LINGER: Duration = Duration::from_secs(10);

/// A channel, which is closed when this is dropped.
pub(crate) struct RawChannel {
    pub(crate) id: ChannelId,
    pub(crate) sending: ChannelWriteHalf<Msg>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) connection: Connection,
    used: AtomicU32,
    /// Replies come in the order of their requests.
    turn: Mutex<()>,
}

impl fmt::Debug for RawChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawChannel").field("id", &self.id).finish_non_exhaustive()
    }
}

impl RawChannel {
    pub(crate) fn new(channel: Channel<Msg>, connection: Connection) -> Self {
        let (_, sending) = channel.split();
        let id = sending.id();
        let inbox = connection.shared().inboxes.get_or_add(id);
        if let Some(why) = connection.disconnected() {
            inbox.disconnect(why);
        }
        Self { id, sending, inbox, connection, used: AtomicU32::new(0), turn: Mutex::default() }
    }

    /// The next item; `None` when the channel is closed. What was taken before counts as used now.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.give_back();
        let next = self.inbox.poll_next(cx);
        if let Poll::Ready(Some(Item::Data(data, _))) = &next {
            self.used.fetch_add(u32::try_from(data.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
        next
    }

    /// As [`Self::poll_next`], the data of one stream alone; `None` when no more of it comes.
    pub(crate) fn poll_data(&self, stderr: bool, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.give_back();
        let next = self.inbox.poll_data(stderr, cx);
        if let Poll::Ready(Some(data)) = &next {
            self.used.fetch_add(u32::try_from(data.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
        next
    }

    /// Takes what comes from here on and throws it away, as long as somebody holds the channel.
    pub(crate) fn throw_away(self: &Arc<Self>) {
        self.take_all(Self::poll_next);
    }

    /// As [`Self::throw_away`], one stream alone.
    pub(crate) fn throw_away_data(self: &Arc<Self>, stderr: bool) {
        self.take_all(move |channel, cx| channel.poll_data(stderr, cx));
    }

    fn take_all<T>(
        self: &Arc<Self>,
        mut poll: impl FnMut(&Self, &mut Context<'_>) -> Poll<Option<T>> + Send + 'static,
    ) {
        if self.inbox.closed().is_cancelled() {
            return;
        }
        let channel = Arc::downgrade(self);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(poll_fn(move |cx| {
                let Some(channel) = channel.upgrade() else { return Poll::Ready(()) };
                loop {
                    match poll(&channel, cx) {
                        Poll::Ready(Some(_)) => {}
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }));
        }
    }

    /// Lets the server send as much as was used.
    fn give_back(&self) {
        if self.used.load(Ordering::Relaxed) < CREDIT || self.inbox.closed().is_cancelled() {
            return;
        }
        let (id, used) = (self.id, self.used.swap(0, Ordering::Relaxed));
        let connection = self.connection.clone();
        // In a task, since this cannot wait; there are never more than a few a channel.
        tokio::spawn(async move {
            let _ = connection.handle().adjust_window(id, used).await;
        });
    }

    /// Sends a request; what is sent from here on comes after it. Its reply comes there, if there is one. A
    /// caller who does not wait for it does not confuse the replies of later requests.
    pub(crate) async fn request(
        self: &Arc<Self>,
        name: &'static str,
        data: Vec<u8>,
    ) -> oneshot::Receiver<bool> {
        let (tell, told) = oneshot::channel();
        let channel = Arc::clone(self);
        let sending = tokio::spawn(async move {
            let _turn = channel.turn.lock().await;
            channel.inbox.expect_reply(tell);
            let _ = channel.connection.handle().channel_request(channel.id, name, true, data).await;
        });
        let _ = sending.await;
        told
    }

    /// Sends a request that has no reply.
    pub(crate) async fn tell(&self, name: &'static str, data: Vec<u8>) -> bool {
        !self.inbox.closed().is_cancelled()
            && self.connection.handle().channel_request(self.id, name, false, data).await.is_ok()
    }
}

impl Drop for RawChannel {
    fn drop(&mut self) {
        let (id, connection, inbox) = (self.id, self.connection.clone(), Arc::clone(&self.inbox));
        if inbox.closed().is_cancelled() {
            return connection.shared().inboxes.forget(id);
        }
        inbox.close();
        match tokio::runtime::Handle::try_current() {
            // A server whose connection ends throws away what its programs have not read yet; so the
            // connection is held until it has closed the channel as well.
            Ok(runtime) => drop(runtime.spawn(async move {
                connection.close_channel(id).await;
                let _ = timeout(LINGER, inbox.gone().cancelled()).await;
                connection.shared().inboxes.forget(id);
            })),
            Err(_) => connection.shared().inboxes.forget(id),
        }
    }
}
