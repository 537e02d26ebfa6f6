//! Listening at this side.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener as StdUnixListener,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::error::ForwardError;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

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
            Self::Address(address) => bind_tcp(*address).map(|listener| vec![listener]),
            Self::Socket { path, unlink } => {
                let file = SocketFile::listen(path, *unlink);
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
        match bind_tcp(SocketAddr::new(address, port)) {
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

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The file of a listening socket, removed with this; a file of somebody else's there is left alone.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Its device and inode.
    id: (u64, u64),
    removed: AtomicBool,
}

impl SocketFile {
    /// Nobody can connect before the mode is 0600, since only then it listens.
    fn listen(path: &Path, unlink: bool) -> io::Result<(UnixListener, Self)> {
        if unlink && path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path)?;
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let descriptor = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&descriptor, &SocketAddrUnix::new(path)?)?;
        let listening = || {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            listen(&descriptor, BACKLOG.cast_signed())?;
            let listener = UnixListener::from_std(StdUnixListener::from(descriptor.try_clone()?))?;
            Ok((listener, identity(path)?))
        };
        match listening() {
            Ok((listener, id)) => {
                Ok((listener, Self { path: path.to_owned(), id, removed: AtomicBool::new(false) }))
            }
            Err(error) => {
                let _ = std::fs::remove_file(path);
                Err(error)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, once.
    pub(super) fn remove(&self) {
        if !self.removed.swap(true, Ordering::Relaxed)
            && identity(&self.path).is_ok_and(|found| found == self.id)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
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
