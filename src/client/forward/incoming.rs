//! Connections that come from the server: of remote forwards, and for the agent.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use russh::{
    Channel, ChannelOpenFailure,
    client::{ChannelOpenHandle, Msg},
};

use super::{
    Place,
    place::{connect_socket, connect_tcp},
    relay::{self, Socket},
};
use crate::client::{channel::RawChannel, event::ConnectionEvent, shared::Shared};

/// What the server listens on for this side.
#[derive(Debug, Default)]
pub(crate) struct RemoteForwards(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By address and port. The port is 0 until the server has told the one that it has chosen.
    ports: HashMap<(String, u32), Place>,
    sockets: HashMap<String, Place>,
}

impl RemoteForwards {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was new.
    pub(super) fn add_port(&self, address: &str, port: u32, target: Place) -> bool {
        self.known().ports.insert((address.to_owned(), port), target).is_none()
    }

    pub(super) fn has_port(&self, address: &str, port: u32) -> bool {
        self.known().ports.contains_key(&(address.to_owned(), port))
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

    /// Whether it was new.
    pub(super) fn add_socket(&self, path: &str, target: Place) -> bool {
        let mut known = self.known();
        if known.sockets.contains_key(path) {
            return false;
        }
        known.sockets.insert(path.to_owned(), target);
        true
    }

    pub(super) fn remove_socket(&self, path: &str) {
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
    pub(crate) fn of_socket(&self, path: &str) -> Option<Incoming> {
        let target = self.known().sockets.get(path).cloned()?;
        Some(Incoming { name: path.to_owned(), target })
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
        tokio::spawn(async move {
            let error = match &self.target {
                Place::Tcp { host, port } => match connect_tcp(host, *port).await {
                    Ok(stream) => return accept(channel, reply, &shared, stream).await,
                    Err(error) => error,
                },
                Place::Socket(path) => match connect_socket(path).await {
                    Ok(stream) => return accept(channel, reply, &shared, stream).await,
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

async fn accept<S: Socket>(channel: Channel<Msg>, reply: ChannelOpenHandle, shared: &Shared, socket: S) {
    let Some(connection) = shared.connection() else {
        return reply.reject(ChannelOpenFailure::ConnectFailed).await;
    };
    // Its inbox is there before the server can send.
    let channel = Arc::new(RawChannel::new(channel, connection));
    reply.accept().await;
    relay::join(channel, socket, Bytes::new()).await;
}
