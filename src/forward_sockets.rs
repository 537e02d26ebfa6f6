//! The sockets of forwards, at the client and at the built-in server.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket},
    time::{sleep, timeout},
};

/// How long a host that does not answer keeps a channel waiting. The kernel would give it two minutes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;

/// Connects to a name or an address.
pub(crate) async fn connect_tcp(host: String, port: u16) -> io::Result<TcpStream> {
    let connecting = timeout(DEADLINE, TcpStream::connect((host.as_str(), port)));
    let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Listens on this address; on one of IPv6, for IPv6 alone.
pub(crate) fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A full descriptor table is left alone for a moment.
pub(crate) async fn pause(error: &io::Error) {
    tracing::warn!("cannot accept a forwarded connection: {error}");
    sleep(Duration::from_millis(100)).await;
}

/// The file of a listening socket, removed with this; a file of somebody else's there is left alone.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Its device and inode.
    id: (u64, u64),
    removed: AtomicBool,
}

impl SocketFile {
    /// Listens on a socket of this mode; `unlink` removes a socket that is in the way.
    ///
    /// Nobody can connect before it listens, and then it has its mode. (The umask is the whole process's: what others make
    /// at the same time would have that of the socket.)
    pub(crate) fn listen(path: &Path, mode: u32, unlink: bool) -> io::Result<(UnixListener, Self)> {
        if unlink && path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path)?;
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        let listening = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .and_then(|()| Ok((identity(path)?, socket.listen(BACKLOG)?)));
        let (id, listener) = listening.inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok((listener, Self { path: path.to_owned(), id, removed: AtomicBool::new(false) }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, once.
    pub(crate) fn remove(&self) {
        if !self.removed.swap(true, Ordering::Relaxed)
            && identity(&self.path).is_ok_and(|found| found == self.id)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("made").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_has_its_own_mode_and_nothing_else_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, made) = (folder.path().join("socket"), folder.path().join("made"));
        let done = AtomicBool::new(false);
        std::fs::create_dir(&made).expect("a folder");
        let usual = mode(&made);
        thread::scope(|scope| {
            let making = scope.spawn(|| {
                let mut unusual = None;
                while !done.load(Ordering::Relaxed) {
                    std::fs::remove_dir(&made).expect("removed");
                    std::fs::create_dir(&made).expect("a folder");
                    unusual = unusual.or_else(|| Some(mode(&made)).filter(|mode| *mode != usual));
                }
                unusual
            });
            for mask in [0o177, 0o111, 0].into_iter().cycle().take(3000) {
                let listening = SocketFile::listen(&path, 0o777 & !mask, false).expect("listening");
                assert_eq!(mode(&path), 0o777 & !mask);
                drop(listening);
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(making.join().expect("no panic"), None);
        });
    }
}
