//! Unix sockets of forwards (OpenSSH's PROTOCOL, section 2.4).

use std::{
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Connects to a socket.
pub(in crate::server) async fn connect(path: PathBuf) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// A listening socket, removed with it unless another has taken its name.
pub(super) struct SocketFile {
    pub(super) listener: UnixListener,
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Listens with the mode that `mask` leaves; `unlink` removes a socket that is in the way.
    pub(super) fn listen(path: &Path, mask: u32, unlink: bool) -> io::Result<Self> {
        if unlink && path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            std::fs::remove_file(path)?;
        }
        // Nobody can connect before it listens, and then it has its mode. (The umask is the whole process's: what
        // an SFTP thread makes at the same time would have that of the socket.)
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777 & !mask))?;
        let listener = socket.listen(128)?;
        Ok(Self { listener, path: path.to_owned(), identity: identity(path) })
    }
}

/// Which file a name stands for.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
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
                let file = SocketFile::listen(&path, mask, false).expect("listening");
                assert_eq!(mode(&path), 0o777 & !mask);
                drop(file);
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(making.join().expect("no panic"), None);
        });
    }
}
