//! One SSH connection, which carries any number of channels.

use std::{
    fmt,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use russh::{
    Channel, ChannelId, ChannelOpenFailure, Disconnect,
    client::{Handle, Msg},
};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    client::{
        channel::RawChannel, handler::ClientHandler, metadata::RemoteMetadata, session::Session,
        shared::Shared, state::Disconnected, stream::ChannelStream,
    },
    elastic::Rest,
    proxy::Dialer,
};

/// How long a goodbye may take while nothing moves.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long the peer may take to acknowledge what was sent, when nobody waits for that.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// A handle to a connection; cheap to clone. The connection ends when the last of its handles, sessions,
/// streams and forwards is gone.
#[must_use = "it ends with its last handle"]
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

pub(crate) struct Inner {
    /// Shared with what waits for the server, and holds up the end of nothing.
    handle: Arc<Handle<ClientHandler>>,
    shared: Arc<Shared>,
    environment: Vec<(Vec<u8>, Vec<u8>)>,
    under: Under,
}

/// What carries a connection.
pub(crate) struct Under {
    pub(crate) cut: CancellationToken,
    pub(crate) rest: Rest,
    /// What dialled it, which ends every stream with it.
    pub(crate) dialer: Option<Arc<Dialer>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Under { cut, rest, dialer } = &mut self.under;
        let (cut, rest, dialer) = (cut.clone(), rest.clone(), dialer.take());
        match tokio::runtime::Handle::try_current() {
            // What was said last may still be on its way.
            Ok(runtime) => drop(runtime.spawn(async move {
                rest.sent(FAREWELL, ACKNOWLEDGEMENT).await;
                cut.cancel();
                if let Some(dialer) = dialer.and_then(Arc::into_inner) {
                    dialer.close().await;
                }
            })),
            Err(_) => cut.cancel(),
        }
    }
}

impl From<Arc<Inner>> for Connection {
    fn from(inner: Arc<Inner>) -> Self {
        Self(inner)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

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

impl Connection {
    pub(crate) fn new(
        handle: Handle<ClientHandler>,
        shared: Arc<Shared>,
        environment: Vec<(Vec<u8>, Vec<u8>)>,
        under: Under,
    ) -> Self {
        let handle = Arc::new(handle);
        let inner = Arc::new(Inner { handle, shared: Arc::clone(&shared), environment, under });
        shared.set_connection(Arc::downgrade(&inner));
        Self(inner)
    }

    /// Opens one more session. Cancel safe: a session that nobody waits for is closed.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_session(&self) -> Result<Session, OpenError> {
        Ok(Session::new(self.open(Wanted::Session).await?))
    }

    /// Connects to a host as the server sees it, as `ssh -W` does (RFC 4254 section 7.2). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_direct(&self, host: &str, port: u16) -> Result<ChannelStream, OpenError> {
        let originator = ("127.0.0.1".to_owned(), 0);
        let wanted = Wanted::Tcp { host: host.to_owned(), port, originator };
        Ok(ChannelStream::new(self.open(wanted).await?))
    }

    /// Connects to a unix socket of the server (OpenSSH's PROTOCOL, section 2.4). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_socket(&self, path: impl AsRef<Path>) -> Result<ChannelStream, OpenError> {
        let wanted = Wanted::Socket { path: path.as_ref().to_owned() };
        Ok(ChannelStream::new(self.open(wanted).await?))
    }

    /// What is known of the server.
    #[must_use]
    pub fn remote_metadata(&self) -> RemoteMetadata {
        self.shared().metadata()
    }

    /// Why the connection is gone; `None` while it lives.
    #[must_use]
    pub fn disconnected(&self) -> Option<Disconnected> {
        self.shared().why().borrow().clone()
    }

    /// Waits until the connection is gone. Cancel safe.
    pub async fn wait_disconnected(&self) -> Disconnected {
        let mut why = self.shared().why().subscribe();
        let gone = why.wait_for(Option::is_some).await;
        gone.ok().and_then(|why| why.clone()).unwrap_or(Disconnected::Gone)
    }

    /// Says goodbye (SSH_DISCONNECT_BY_APPLICATION), closes every channel and waits until all of that is
    /// sent, for as long as it moves. Not cancel safe: the goodbye may not have been said.
    pub async fn disconnect(&self) {
        self.shared().leave();
        let goodbye = async {
            if self.handle().disconnect(Disconnect::ByApplication, "disconnected by user", "").await.is_ok() {
                self.wait_disconnected().await;
            }
        };
        let _ = timeout(FAREWELL, goodbye).await;
        if self.disconnected().is_none() || !self.0.under.rest.clone().sent(FAREWELL, FAREWELL).await {
            self.0.under.cut.cancel();
        }
        self.wait_disconnected().await;
    }

    /// Changes the keys now.
    pub async fn rekey(&self) {
        let _ = timeout(FAREWELL, self.handle().rekey_soon()).await;
    }

    /// Ends it at once unless disarmed.
    pub(crate) fn guard(&self) -> DropGuard {
        self.0.under.cut.clone().drop_guard()
    }

    /// Opens a channel in a task of its own: whoever stops waiting leaves no channel behind, and whoever
    /// does not look holds up nobody. A server that never answers does not keep the connection.
    pub(crate) async fn open(&self, wanted: Wanted) -> Result<Arc<RawChannel>, OpenError> {
        let (handle, inner) = (Arc::clone(&self.0.handle), Arc::downgrade(&self.0));
        let opening = tokio::spawn(async move {
            let channel = wanted.ask(&handle).await?;
            let connection = inner.upgrade().ok_or(russh::Error::Disconnect)?;
            Ok(Arc::new(RawChannel::new(channel, connection.into())))
        });
        match opening.await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(match reason {
                ChannelOpenFailure::ConnectFailed => OpenError::ConnectFailed,
                ChannelOpenFailure::UnknownChannelType => OpenError::UnknownType,
                ChannelOpenFailure::ResourceShortage => OpenError::ResourceShortage,
                _ => OpenError::Prohibited,
            }),
            Ok(Err(_)) | Err(_) => Err(self.why_gone().await.into()),
        }
    }

    /// Why the connection is gone, when it is, if not told yet.
    pub(crate) async fn why_gone(&self) -> Disconnected {
        let told = timeout(FAREWELL, self.wait_disconnected()).await;
        told.unwrap_or(Disconnected::Gone)
    }

    pub(crate) async fn close_channel(&self, id: ChannelId) {
        let _ = timeout(FAREWELL, self.handle().close(id)).await;
    }

    pub(crate) fn handle(&self) -> &Handle<ClientHandler> {
        &self.0.handle
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn environment(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.0.environment
    }
}
