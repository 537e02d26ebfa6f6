//! Unix sockets of forwards (OpenSSH's PROTOCOL, section 2.4).

use std::{
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener as StdUnixListener,
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

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
        let before = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(mask));
        let bound = StdUnixListener::bind(path);
        rustix::process::umask(before);
        let bound = bound?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777 & !mask))?;
        bound.set_nonblocking(true)?;
        let listener = UnixListener::from_std(bound)?;
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
