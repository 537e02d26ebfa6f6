//! Forwards: ports and sockets at one side that lead to the other (RFC 4254 section 7, and section 2.4 of
//! OpenSSH's PROTOCOL).

mod bound;
mod dynamic;
mod error;
pub(crate) mod incoming;
mod listen;
mod local;
mod opening;
mod place;
mod relay;
mod remote;
mod socks;

use std::net::SocketAddr;

pub use bound::Bound;
pub use error::ForwardError;
pub use listen::Listen;
pub use place::Place;
pub use remote::RemoteListen;

use crate::client::connection::Connection;

/// A forward that is in place. It ends when this is dropped; connections that are open go on.
#[must_use = "it ends when it is dropped"]
#[derive(Debug)]
pub struct Forward {
    bound: Bound,
    end: End,
}

#[derive(Debug)]
enum End {
    /// The tasks that accept, which are stopped with it.
    Local(local::Accepters),
    Remote(remote::Registration),
}

impl Forward {
    /// Where it listens.
    #[must_use]
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Its port, where it has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.bound {
            Bound::Addresses(addresses) => addresses.first().map(SocketAddr::port),
            Bound::RemotePort { port, .. } => Some(*port),
            Bound::Socket(_) | Bound::RemoteSocket(_) => None,
        }
    }

    /// Ends it and waits until nothing listens there any more. Connections that are open go on. Cancel safe:
    /// it ends all the same.
    ///
    /// # Errors
    ///
    /// [`ForwardError`]; the server may not know it any more.
    pub async fn cancel(self) -> Result<(), ForwardError> {
        match self.end {
            End::Local(accepters) => {
                accepters.shutdown().await;
                Ok(())
            }
            End::Remote(registration) => registration.cancel().await,
        }
    }
}

impl Connection {
    /// Listens here and leads to a place that the server connects to (`-L`). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ForwardError`].
    pub async fn local_forward(&self, listen: &Listen, target: Place) -> Result<Forward, ForwardError> {
        let (bound, tasks) = local::start(self, listen, local::Kind::To(target))?;
        Ok(Forward { bound, end: End::Local(tasks) })
    }

    /// Listens here as a SOCKS proxy, versions 4, 4a and 5 (`-D`). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ForwardError`].
    pub async fn dynamic_forward(&self, listen: &Listen) -> Result<Forward, ForwardError> {
        let (bound, tasks) = local::start(self, listen, local::Kind::Socks)?;
        Ok(Forward { bound, end: End::Local(tasks) })
    }

    /// Has the server listen and leads to a place that this side connects to (`-R`). Cancel safe: the server
    /// is told to stop.
    ///
    /// # Errors
    ///
    /// [`ForwardError`].
    pub async fn remote_forward(&self, listen: RemoteListen, target: Place) -> Result<Forward, ForwardError> {
        let (bound, registration) = remote::start(self.link(), listen, target).await?;
        Ok(Forward { bound, end: End::Remote(registration) })
    }
}
