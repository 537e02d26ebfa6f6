//! An open channel, whatever is on it.

use std::{
    fmt,
    future::poll_fn,
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use russh::{
    Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf,
    client::{Handle, Msg},
};
use tokio::{
    sync::{Mutex, oneshot},
    time::timeout,
};

use crate::client::{
    handler::ClientHandler,
    inbox::{Inbox, Item, WINDOW},
    link::Link,
    state::Disconnected,
};

/// Bytes used after which the server may send as many again.
const CREDIT: u32 = WINDOW / 4;

/// How long a program may take to read what it was sent before its channel was closed.
const LINGER: Duration = Duration::from_secs(10);

/// A channel could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server does not want to: too many sessions, or not allowed.
    #[error("the server refuses: administratively prohibited")]
    Prohibited,
    /// What the channel was to reach cannot be reached.
    #[error("the server refuses: connect failed")]
    ConnectFailed,
    /// The server does not know this kind of channel.
    #[error("the server refuses: it does not know this kind of channel")]
    UnknownType,
    /// The server has no room.
    #[error("the server refuses: it has no resources left")]
    ResourceShortage,
    /// The connection is gone.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
}

/// What a channel is for.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Session,
    Tcp { host: String, port: u16, originator: (String, u16) },
    Socket { path: PathBuf },
}

impl Wanted {
    async fn ask(self, handle: &Handle<ClientHandler>) -> Result<Channel<Msg>, russh::Error> {
        match self {
            Self::Session => handle.channel_open_session().await,
            Self::Tcp { host, port, originator: (from, from_port) } => {
                handle.channel_open_direct_tcpip(host, port.into(), from, from_port.into()).await
            }
            Self::Socket { path } => {
                handle.channel_open_direct_streamlocal(path.into_os_string().into_vec()).await
            }
        }
    }
}

/// A channel, which is closed when this is dropped.
pub(crate) struct RawChannel {
    pub(crate) id: ChannelId,
    pub(crate) sending: ChannelWriteHalf<Msg>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) link: Link,
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
    /// Opens a channel in a task of its own: whoever stops waiting leaves no channel behind, and whoever
    /// does not look holds up nobody. A server that never answers does not keep the connection.
    pub(crate) async fn open(link: &Link, wanted: Wanted) -> Result<Arc<Self>, OpenError> {
        let (handle, weak) = (Arc::clone(link.handle()), link.downgrade());
        let opening = tokio::spawn(async move {
            let channel = wanted.ask(&handle).await?;
            let link = weak.upgrade().ok_or(russh::Error::Disconnect)?;
            Ok(Arc::new(Self::new(channel, link)))
        });
        match opening.await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(match reason {
                ChannelOpenFailure::ConnectFailed => OpenError::ConnectFailed,
                ChannelOpenFailure::UnknownChannelType => OpenError::UnknownType,
                ChannelOpenFailure::ResourceShortage => OpenError::ResourceShortage,
                _ => OpenError::Prohibited,
            }),
            Ok(Err(_)) | Err(_) => Err(link.why_gone().await.into()),
        }
    }

    pub(crate) fn new(channel: Channel<Msg>, link: Link) -> Self {
        let (_, sending) = channel.split();
        let id = sending.id();
        let inbox = link.shared().inboxes.get_or_add(id);
        if let Some(why) = link.disconnected() {
            inbox.disconnect(why);
        }
        Self { id, sending, inbox, link, used: AtomicU32::new(0), turn: Mutex::default() }
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
        let link = self.link.clone();
        // In a task, since this cannot wait; there are never more than a few a channel.
        tokio::spawn(async move {
            let _ = link.handle().adjust_window(id, used).await;
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
            let _ = channel.link.handle().channel_request(channel.id, name, true, data).await;
        });
        let _ = sending.await;
        told
    }

    /// Sends a request that has no reply.
    pub(crate) async fn tell(&self, name: &'static str, data: Vec<u8>) -> bool {
        !self.inbox.closed().is_cancelled()
            && self.link.handle().channel_request(self.id, name, false, data).await.is_ok()
    }
}

impl Drop for RawChannel {
    fn drop(&mut self) {
        let (id, link, inbox) = (self.id, self.link.clone(), Arc::clone(&self.inbox));
        if inbox.closed().is_cancelled() {
            return link.shared().inboxes.forget(id);
        }
        inbox.close();
        match tokio::runtime::Handle::try_current() {
            // A server whose connection ends throws away what its programs have not read yet; so the
            // connection is held until it has closed the channel as well.
            Ok(runtime) => drop(runtime.spawn(async move {
                link.close_channel(id).await;
                let _ = timeout(LINGER, inbox.gone().cancelled()).await;
                link.shared().inboxes.forget(id);
            })),
            Err(_) => link.shared().inboxes.forget(id),
        }
    }
}
