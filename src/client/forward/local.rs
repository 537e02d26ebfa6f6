//! Forwards that begin at this side.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinSet,
};

use super::{
    bound::Bound,
    dynamic,
    error::ForwardError,
    listen::{Listen, Listening},
    opening::Opening,
    place::Place,
    relay::{self, Socket},
};
use crate::{
    client::connection::Connection,
    forward_sockets::{SocketFile, pause},
};

/// What a forward does with its connections.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Leads them there.
    To(Place),
    /// Asks each where to go.
    Socks,
}

/// A forward, for each of its connections.
#[derive(Debug, Clone)]
struct Accepting {
    opening: Opening,
    kind: Arc<Kind>,
}

/// What accepts connections, until this is dropped.
#[derive(Debug)]
pub(super) struct Accepters {
    /// Removed before the tasks end.
    file: Option<Arc<SocketFile>>,
    tasks: JoinSet<()>,
}

impl Accepters {
    /// Waits until nothing listens any more.
    pub(super) async fn shutdown(mut self) {
        if let Some(file) = &self.file {
            file.remove();
        }
        self.tasks.shutdown().await;
    }
}

impl Drop for Accepters {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// # Errors
///
/// [`ForwardError`].
pub(super) fn start(
    connection: &Connection,
    listen: &Listen,
    kind: Kind,
) -> Result<(Bound, Accepters), ForwardError> {
    if let Some(why) = connection.disconnected() {
        return Err(why.into());
    }
    let (mut tasks, mut kept) = (JoinSet::new(), None);
    let accepting = |name: String| Accepting {
        opening: Opening { connection: connection.clone(), name: name.into() },
        kind: Arc::new(kind.clone()),
    };
    let bound = match listen.start()? {
        Listening::Tcp(listeners) => {
            let mut addresses = Vec::new();
            for listener in listeners {
                let address = listener.local_addr();
                let address =
                    address.map_err(|error| ForwardError::Listen { place: listen.to_string(), error })?;
                addresses.push(address);
                tasks.spawn(accepting(address.to_string()).tcp(listener));
            }
            Bound::Addresses(addresses)
        }
        Listening::Socket(listener, file) => {
            let (path, file) = (file.path().to_owned(), Arc::new(file));
            tasks.spawn(accepting(path.display().to_string()).socket(listener, Arc::clone(&file)));
            kept = Some(file);
            Bound::Socket(path)
        }
    };
    Ok((bound, Accepters { file: kept, tasks }))
}

impl Accepting {
    async fn tcp(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.opening.connection.wait_disconnected() => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    let _ = stream.set_nodelay(true);
                    // On its own: a forward that ends takes no connection with it.
                    tokio::spawn(self.clone().carry(stream, Some(from)));
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn socket(self, listener: UnixListener, file: Arc<SocketFile>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.opening.connection.wait_disconnected() => return file.remove(),
            };
            match accepted {
                Ok((stream, _)) => drop(tokio::spawn(self.clone().carry(stream, None))),
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn carry<S: Socket>(self, socket: S, from: Option<SocketAddr>) {
        match &*self.kind {
            Kind::Socks => dynamic::carry(&self.opening, socket, from).await,
            Kind::To(place) => match self.opening.open(place.clone(), from).await {
                Ok(channel) => relay::join(channel, socket, Bytes::new()).await,
                Err(error) => {
                    self.opening.failed(&place.to_string(), &error.to_string());
                    socket.reset();
                }
            },
        }
    }
}
