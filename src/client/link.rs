//! The link to the server, which all that runs over a connection holds.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use russh::{ChannelId, Disconnect, client::Handle};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    client::{
        handler::{ClientHandler, OwnHandle},
        shared::Shared,
        state::Disconnected,
    },
    elastic::Rest,
    proxy::Dialer,
};

/// How long a goodbye may take while nothing moves.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long the peer may take to acknowledge what was sent, when nobody waits for that.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// A link; cheap to clone. The connection ends when the last of them is gone.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

/// A link, as long as somebody else holds it.
#[derive(Clone)]
pub(crate) struct WeakLink(Weak<Inner>);

struct Inner {
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

impl WeakLink {
    pub(crate) fn upgrade(&self) -> Option<Link> {
        self.0.upgrade().map(Link)
    }
}

impl Link {
    /// `own` is what the handler was made with.
    pub(crate) fn new(
        handle: Handle<ClientHandler>,
        own: &OwnHandle,
        shared: Arc<Shared>,
        environment: Vec<(Vec<u8>, Vec<u8>)>,
        under: Under,
    ) -> Self {
        let handle = Arc::new(handle);
        let _ = own.set(Arc::downgrade(&handle));
        Self(Arc::new(Inner { handle, shared, environment, under }))
    }

    pub(crate) fn downgrade(&self) -> WeakLink {
        WeakLink(Arc::downgrade(&self.0))
    }

    pub(crate) fn handle(&self) -> &Arc<Handle<ClientHandler>> {
        &self.0.handle
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Variables for every session.
    pub(crate) fn environment(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.0.environment
    }

    /// Why the connection is gone; `None` while it lives.
    pub(crate) fn disconnected(&self) -> Option<Disconnected> {
        self.shared().why().borrow().clone()
    }

    /// Waits until the connection is gone. Cancel safe.
    pub(crate) async fn wait_disconnected(&self) -> Disconnected {
        self.shared().wait_disconnected().await
    }

    /// Why the connection is gone, when it is, if not told yet.
    pub(crate) async fn why_gone(&self) -> Disconnected {
        let told = timeout(FAREWELL, self.wait_disconnected()).await;
        told.unwrap_or(Disconnected::Gone)
    }

    /// Says goodbye and waits until all is sent, for as long as it moves.
    pub(crate) async fn disconnect(&self) {
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
    pub(crate) async fn rekey(&self) {
        let _ = timeout(FAREWELL, self.handle().rekey_soon()).await;
    }

    pub(crate) async fn close_channel(&self, id: ChannelId) {
        let _ = timeout(FAREWELL, self.handle().close(id)).await;
    }

    /// Ends it at once unless disarmed.
    pub(crate) fn guard(&self) -> DropGuard {
        self.0.under.cut.clone().drop_guard()
    }
}
