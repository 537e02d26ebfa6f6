//! Listening at this side.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use tokio::net::{TcpListener, UnixListener};

use super::error::ForwardError;
use crate::forward_sockets::{SocketFile, listen_tcp};

/// Where a forward listens at this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On a port of the loopback addresses; 0 is any port.
    Loopback(u16),
    /// On this address alone.
    Address(SocketAddr),
    /// On a port of every address.
    Everywhere(u16),
    /// On a unix socket, which only this user may use.
    Socket {
        /// Its path.
        path: PathBuf,
        /// Whether a socket that is there is removed first (`StreamLocalBindUnlink`).
        unlink: bool,
    },
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loopback(port) => write!(f, "localhost:{port}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Everywhere(port) => write!(f, "*:{port}"),
            Self::Socket { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// What listens.
pub(super) enum Listening {
    Tcp(Vec<TcpListener>),
    Socket(UnixListener, SocketFile),
}

impl Listen {
    /// # Errors
    ///
    /// [`ForwardError::Listen`].
    pub(super) fn start(&self) -> Result<Listening, ForwardError> {
        let started = match self {
            Self::Loopback(port) => {
                listen_on([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], *port)
            }
            Self::Everywhere(port) => {
                listen_on([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()], *port)
            }
            Self::Address(address) => listen_tcp(*address).map(|listener| vec![listener]),
            Self::Socket { path, unlink } => {
                let file = SocketFile::listen(path, 0o600, *unlink);
                return file
                    .map(|(listener, file)| Listening::Socket(listener, file))
                    .map_err(|error| self.failed(error));
            }
        };
        started.map(Listening::Tcp).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> ForwardError {
        ForwardError::Listen { place: self.to_string(), error }
    }
}

/// Listens on every address where that can be done, all on one port, as ssh does. A port that is taken on
/// one of them is an error, or somebody else would get a part of the connections.
fn listen_on(addresses: [IpAddr; 2], port: u16) -> io::Result<Vec<TcpListener>> {
    /// Ports that are tried where any will do: one that is free on one address may be taken on another.
    const TRIES: usize = 16;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..if port == 0 { TRIES } else { 1 } {
        match listen_once(addresses, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            other => return other,
        }
    }
    Err(last)
}

fn listen_once(addresses: [IpAddr; 2], mut port: u16) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut failed = None;
    for address in addresses {
        match listen_tcp(SocketAddr::new(address, port)) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener as StdUnixListener};

    use super::*;

    #[tokio::test]
    async fn a_socket_is_for_its_user_alone_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listen = |unlink| Listen::Socket { path: path.clone(), unlink }.start();
        let first = listen(false).expect("listening");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        assert!(listen(false).is_err(), "taken");
        drop(first);
        assert!(!path.exists());
        // One that was left behind is in the way until it may be removed.
        drop(StdUnixListener::bind(&path).expect("bound"));
        assert!(listen(false).is_err());
        assert!(listen(true).is_ok());
        std::fs::write(&path, "precious").expect("written");
        assert!(listen(true).is_err() && path.is_file(), "a file is never removed");
    }

    #[tokio::test]
    async fn a_socket_that_took_the_place_of_another_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listen = || Listen::Socket { path: path.clone(), unlink: true }.start();
        let first = listen().expect("listening");
        let second = listen().expect("in its place");
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn loopback_is_both_addresses_with_one_port() {
        let Ok(Listening::Tcp(listeners)) = Listen::Loopback(0).start() else { panic!("listening") };
        let addresses: Vec<_> = listeners.iter().map(|one| one.local_addr().expect("bound")).collect();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(addresses.iter().all(|address| address.port() == addresses[0].port()));
        let again = Listen::Loopback(addresses[0].port()).start();
        assert!(matches!(again, Err(ForwardError::Listen { .. })));
    }
}
