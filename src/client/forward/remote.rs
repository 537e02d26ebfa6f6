//! Forwards that begin at the server (RFC 4254 section 7.1, OpenSSH's PROTOCOL section 2.4).

use std::{os::unix::ffi::OsStrExt, path::PathBuf};

use super::{Bound, ForwardError, Place};
use crate::client::connection::Connection;

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
#[derive(Debug)]
pub(super) struct Registration {
    connection: Connection,
    what: Option<What>,
}

#[derive(Debug, Clone)]
enum What {
    Port(String, u32),
    Socket(PathBuf),
}

/// # Errors
///
/// [`ForwardError`].
pub(super) async fn start(
    connection: &Connection,
    listen: RemoteListen,
    target: Place,
) -> Result<(Bound, Registration), ForwardError> {
    let connection = connection.clone();
    // In a task of its own: if nobody waits any more, the server is told to stop.
    let asking = tokio::spawn(async move {
        match listen {
            RemoteListen::Port { address, port } => start_port(connection, address, port, target).await,
            RemoteListen::Socket(path) => start_socket(connection, path, target).await,
        }
    });
    asking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn start_port(
    connection: Connection,
    address: String,
    port: u16,
    target: Place,
) -> Result<(Bound, Registration), ForwardError> {
    let forwards = &connection.shared().remote_forwards;
    let name = format!("{address}:{port}");
    let turn = if port == 0 { Some(forwards.any_port().await) } else { None };
    if !forwards.add_port(&address, port.into(), target) {
        return Err(ForwardError::Twice(name));
    }
    let chosen = match connection.handle().tcpip_forward(address.clone(), port.into()).await {
        Ok(0) => u32::from(port),
        Ok(chosen) => chosen,
        Err(error) => {
            forwards.remove_port(&address, port.into());
            return Err(failed(&connection, &error, name).await);
        }
    };
    if port == 0 {
        forwards.set_port(&address, chosen);
    }
    drop(turn);
    let bound = Bound::RemotePort { address: address.clone(), port: u16::try_from(chosen).unwrap_or(0) };
    Ok((bound, Registration { connection, what: Some(What::Port(address, chosen)) }))
}

async fn start_socket(
    connection: Connection,
    path: PathBuf,
    target: Place,
) -> Result<(Bound, Registration), ForwardError> {
    if !connection.shared().remote_forwards.add_socket(&path, target) {
        return Err(ForwardError::Twice(path.display().to_string()));
    }
    if let Err(error) = connection.handle().streamlocal_forward(path.as_os_str().as_bytes()).await {
        connection.shared().remote_forwards.remove_socket(&path);
        return Err(failed(&connection, &error, path.display().to_string()).await);
    }
    let bound = Bound::RemoteSocket(path.clone());
    Ok((bound, Registration { connection, what: Some(What::Socket(path)) }))
}

async fn failed(connection: &Connection, error: &russh::Error, name: String) -> ForwardError {
    match error {
        russh::Error::RequestDenied => ForwardError::Refused(name),
        _ => connection.why_gone().await.into(),
    }
}

impl What {
    async fn cancel(self, connection: &Connection) -> Result<(), ForwardError> {
        let (name, cancelled) = match self {
            Self::Port(address, port) => {
                connection.shared().remote_forwards.remove_port(&address, port);
                let name = format!("{address}:{port}");
                (name, connection.handle().cancel_tcpip_forward(address, port).await)
            }
            Self::Socket(path) => {
                connection.shared().remote_forwards.remove_socket(&path);
                let cancelled =
                    connection.handle().cancel_streamlocal_forward(path.as_os_str().as_bytes()).await;
                (path.display().to_string(), cancelled)
            }
        };
        match cancelled {
            Ok(()) => Ok(()),
            Err(error) => Err(failed(connection, &error, name).await),
        }
    }
}

impl Registration {
    pub(super) async fn cancel(mut self) -> Result<(), ForwardError> {
        let (Some(what), connection) = (self.what.take(), self.connection.clone()) else { return Ok(()) };
        // In a task of its own: the server is told even if nobody waits any more.
        let cancelling = tokio::spawn(async move { what.cancel(&connection).await });
        cancelling.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (Some(what), connection) = (self.what.take(), self.connection.clone()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = what.cancel(&connection).await;
            });
        }
    }
}
