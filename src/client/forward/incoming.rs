//! Connections that come from the server: of remote forwards, and for the agent.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use russh::{
    Channel, ChannelOpenFailure,
    client::{ChannelOpenHandle, Msg},
};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

use super::{
    Place,
    place::{connect_socket, connect_tcp},
    relay::{self, Socket},
};
use crate::client::{
    channel::RawChannel,
    event::ConnectionEvent,
    shared::{Connecting, Shared},
};

/// What the server listens on for this side.
#[derive(Debug, Default)]
pub(crate) struct RemoteForwards {
    known: Mutex<Known>,
    /// One at a time with any port, or the first connection might go to the other's target.
    any_port: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// By address and port. The port is 0 until the server has told the one that it has chosen.
    ports: HashMap<(String, u32), Place>,
    sockets: HashMap<PathBuf, Place>,
}

impl RemoteForwards {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of one that leaves the port to the server, until its port is known.
    pub(super) async fn any_port(&self) -> AsyncMutexGuard<'_, ()> {
        self.any_port.lock().await
    }

    /// Whether it was new; another one stays as it is.
    pub(super) fn add_port(&self, address: &str, port: u32, target: Place) -> bool {
        match self.known().ports.entry((address.to_owned(), port)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(target);
                true
            }
        }
    }

    /// The server has chosen a port.
    pub(super) fn set_port(&self, address: &str, port: u32) {
        let mut known = self.known();
        if let Some(target) = known.ports.remove(&(address.to_owned(), 0)) {
            known.ports.insert((address.to_owned(), port), target);
        }
    }

    pub(super) fn remove_port(&self, address: &str, port: u32) {
        self.known().ports.remove(&(address.to_owned(), port));
    }

    /// As [`Self::add_port`].
    pub(super) fn add_socket(&self, path: &Path, target: Place) -> bool {
        let mut known = self.known();
        if known.sockets.contains_key(path) {
            return false;
        }
        known.sockets.insert(path.to_owned(), target);
        true
    }

    pub(super) fn remove_socket(&self, path: &Path) {
        self.known().sockets.remove(path);
    }

    /// Where a connection to a port of the server goes.
    pub(crate) fn of_port(&self, address: &str, port: u32) -> Option<Incoming> {
        let known = self.known();
        // The first connection may come before the port is known here.
        let target = (known.ports.get(&(address.to_owned(), port)))
            .or_else(|| known.ports.get(&(address.to_owned(), 0)))?;
        Some(Incoming { name: format!("{address}:{port}"), target: target.clone() })
    }

    /// Where a connection to a socket of the server goes.
    pub(crate) fn of_socket(&self, path: &Path) -> Option<Incoming> {
        let target = self.known().sockets.get(path).cloned()?;
        Some(Incoming { name: path.display().to_string(), target })
    }
}

/// A connection that comes from the server.
pub(crate) struct Incoming {
    name: String,
    target: Place,
}

impl Incoming {
    /// One to the agent.
    pub(crate) fn agent(socket: PathBuf) -> Self {
        Self { name: "the forwarded agent".to_owned(), target: Place::Socket(socket) }
    }

    /// Connects it, away from the connection's loop, and agrees to it or says why not.
    pub(crate) fn carry(self, channel: Channel<Msg>, reply: ChannelOpenHandle, shared: &Arc<Shared>) {
        let shared = Arc::clone(shared);
        let connecting = Connecting::new(&shared);
        tokio::spawn(async move {
            let error = match &self.target {
                Place::Tcp { host, port } => match connect_tcp(host, *port).await {
                    Ok(stream) => return accept(channel, reply, connecting, &shared, stream).await,
                    Err(error) => error,
                },
                Place::Socket(path) => match connect_socket(path).await {
                    Ok(stream) => return accept(channel, reply, connecting, &shared, stream).await,
                    Err(error) => error,
                },
            };
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            tracing::info!("forward from {} to {}: {error}", self.name, self.target);
            shared.events.tell(ConnectionEvent::ForwardFailed {
                forward: self.name,
                target: self.target.to_string(),
                error: error.to_string(),
            });
        });
    }
}

async fn accept<S: Socket>(
    channel: Channel<Msg>,
    reply: ChannelOpenHandle,
    connecting: Connecting,
    shared: &Shared,
    socket: S,
) {
    let Some(connection) = shared.connection() else {
        return reply.reject(ChannelOpenFailure::ConnectFailed).await;
    };
    // Its inbox is there before the server can send.
    let channel = Arc::new(RawChannel::new(channel, connection));
    drop(connecting);
    reply.accept().await;
    relay::join(channel, socket, Bytes::new()).await;
}
