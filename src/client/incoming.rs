//! Channels that the server opens, and who takes them.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use russh::{
    Channel,
    client::{ChannelOpenHandle, Msg},
};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

/// Takes the channels that the server opens for one thing that it was asked for.
pub(crate) trait Incoming: Send + Sync {
    /// Agrees to a channel or says why not. Called in the connection's own loop, so it must not wait.
    fn accept(
        self: Arc<Self>,
        from: Origin,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        connecting: Connecting,
    );
}

/// What the server opens a channel for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A connection to a port on which it listens for this side, with the address as it was asked for. The port is 0
    /// until the server has told the one that it has chosen.
    Port(String, u32),
    /// The same, to a socket.
    Socket(PathBuf),
    /// Somebody there asks the agent that is lent.
    Agent,
}

impl Origin {
    pub(crate) fn port(address: &str, port: u32) -> Self {
        Self::Port(address.to_owned(), port)
    }

    pub(crate) fn socket(path: &Path) -> Self {
        Self::Socket(path.to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address, port) => write!(f, "{address}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Agent => f.write_str("the forwarded agent"),
        }
    }
}

/// All that the server was asked for.
#[derive(Default)]
pub(crate) struct Expected {
    known: Mutex<HashMap<Origin, Arc<dyn Incoming>>>,
    /// One at a time with any port, or the first connection might go to the other's target.
    any_port: AsyncMutex<()>,
    connecting: Arc<AtomicUsize>,
}

impl Expected {
    fn known(&self) -> MutexGuard<'_, HashMap<Origin, Arc<dyn Incoming>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of one that leaves the port to the server, until its port is known.
    pub(crate) async fn any_port(&self) -> AsyncMutexGuard<'_, ()> {
        self.any_port.lock().await
    }

    /// Whether it was new; another one stays as it is.
    pub(crate) fn add(&self, origin: Origin, incoming: Arc<dyn Incoming>) -> bool {
        let mut known = self.known();
        let new = !known.contains_key(&origin);
        if new {
            known.insert(origin, incoming);
        }
        new
    }

    /// The server has chosen a port.
    pub(crate) fn set_port(&self, address: &str, port: u32) {
        let mut known = self.known();
        if let Some(incoming) = known.remove(&Origin::port(address, 0)) {
            known.insert(Origin::port(address, port), incoming);
        }
    }

    pub(crate) fn remove(&self, origin: &Origin) {
        self.known().remove(origin);
    }

    /// Who takes a channel, if anybody does.
    pub(crate) fn get(&self, origin: &Origin) -> Option<Arc<dyn Incoming>> {
        let known = self.known();
        let found = known.get(origin).or_else(|| match origin {
            // The first connection may come before the port is known here.
            Origin::Port(address, _) => known.get(&Origin::port(address, 0)),
            Origin::Socket(_) | Origin::Agent => None,
        });
        found.cloned()
    }

    /// How many are being connected.
    pub(crate) fn connecting(&self) -> usize {
        self.connecting.load(Ordering::Relaxed)
    }

    /// Counts one more, while what is returned lives.
    pub(crate) fn connect(&self) -> Connecting {
        self.connecting.fetch_add(1, Ordering::Relaxed);
        Connecting(Arc::clone(&self.connecting))
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").finish_non_exhaustive()
    }
}

/// One channel of the server that is being connected, while this lives.
pub(crate) struct Connecting(Arc<AtomicUsize>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
