//! Forwards that begin at the server (RFC 4254 section 7.1, OpenSSH's PROTOCOL section 2.4).

use std::{os::unix::ffi::OsStrExt, path::PathBuf};

use super::{bound::Bound, error::ForwardError, incoming::Inward, place::Place};
use crate::client::{incoming::Origin, link::Link};

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteListen {
    /// On a port; 0 lets the server choose.
    Port {
        /// `localhost` for loopback alone, empty or `*` for every address, if the server allows that.
        address: String,
        /// The port.
        port: u16,
    },
    /// On a unix socket.
    Socket(PathBuf),
}

impl RemoteListen {
    /// On a port of the server's loopback addresses; 0 lets the server choose.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        Self::Port { address: "localhost".to_owned(), port }
    }
}

/// A forward that the server knows. The server is told when this is dropped.
pub(super) struct Registration {
    link: Link,
    what: Option<Origin>,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registration").field(&self.what).finish()
    }
}

/// # Errors
///
/// [`ForwardError`].
pub(super) async fn start(
    link: &Link,
    listen: RemoteListen,
    target: Place,
) -> Result<(Bound, Registration), ForwardError> {
    let link = link.clone();
    // In a task of its own: if nobody waits any more, the server is told to stop.
    let asking = tokio::spawn(async move {
        match listen {
            RemoteListen::Port { address, port } => start_port(link, address, port, target).await,
            RemoteListen::Socket(path) => start_socket(link, path, target).await,
        }
    });
    asking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn start_port(
    link: Link,
    address: String,
    port: u16,
    target: Place,
) -> Result<(Bound, Registration), ForwardError> {
    let expected = &link.shared().incoming;
    let origin = Origin::port(&address, port.into());
    let turn = if port == 0 { Some(expected.any_port().await) } else { None };
    if !expected.add(origin.clone(), Inward::new(&link, target)) {
        return Err(ForwardError::Twice(origin.to_string()));
    }
    let chosen = match link.handle().tcpip_forward(address.clone(), port.into()).await {
        Ok(0) => u32::from(port),
        Ok(chosen) => chosen,
        Err(error) => {
            expected.remove(&origin);
            return Err(failed(&link, &error, &origin).await);
        }
    };
    if port == 0 {
        expected.set_port(&address, chosen);
    }
    drop(turn);
    let bound = Bound::RemotePort { address: address.clone(), port: u16::try_from(chosen).unwrap_or(0) };
    Ok((bound, Registration { link, what: Some(Origin::Port(address, chosen)) }))
}

async fn start_socket(
    link: Link,
    path: PathBuf,
    target: Place,
) -> Result<(Bound, Registration), ForwardError> {
    let (expected, origin) = (&link.shared().incoming, Origin::socket(&path));
    if !expected.add(origin.clone(), Inward::new(&link, target)) {
        return Err(ForwardError::Twice(origin.to_string()));
    }
    if let Err(error) = link.handle().streamlocal_forward(path.as_os_str().as_bytes()).await {
        expected.remove(&origin);
        return Err(failed(&link, &error, &origin).await);
    }
    Ok((Bound::RemoteSocket(path), Registration { link, what: Some(origin) }))
}

async fn failed(link: &Link, error: &russh::Error, origin: &Origin) -> ForwardError {
    match error {
        russh::Error::RequestDenied => ForwardError::Refused(origin.to_string()),
        _ => link.why_gone().await.into(),
    }
}

/// Has the server stop.
async fn cancel(link: &Link, origin: Origin) -> Result<(), ForwardError> {
    link.shared().incoming.remove(&origin);
    let cancelled = match &origin {
        Origin::Port(address, port) => link.handle().cancel_tcpip_forward(address, *port).await,
        Origin::Socket(path) => link.handle().cancel_streamlocal_forward(path.as_os_str().as_bytes()).await,
        // The server listens on nothing for that.
        Origin::Agent => Ok(()),
    };
    match cancelled {
        Ok(()) => Ok(()),
        Err(error) => Err(failed(link, &error, &origin).await),
    }
}

impl Registration {
    pub(super) async fn cancel(mut self) -> Result<(), ForwardError> {
        let (Some(what), link) = (self.what.take(), self.link.clone()) else { return Ok(()) };
        // In a task of its own: the server is told even if nobody waits any more.
        let cancelling = tokio::spawn(async move { cancel(&link, what).await });
        cancelling.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (Some(what), link) = (self.what.take(), self.link.clone()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = cancel(&link, what).await;
            });
        }
    }
}
