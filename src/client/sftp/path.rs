//! What can be given as a path on a server.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A path on a server: bytes as the server has them, a text, or a path as this machine writes it.
///
/// ```no_run
/// # async fn run(sftp: irosh::client::sftp::Sftp) -> irosh::Result<()> {
/// sftp.stat("notes.txt").await?;
/// sftp.stat(std::path::Path::new("folder").join("notes.txt")).await?;
/// sftp.stat(b"n\xf6tes.txt").await?;
/// # Ok(()) }
/// ```
pub trait RemotePath {
    /// Its bytes.
    fn as_remote(&self) -> &[u8];
}

impl RemotePath for [u8] {
    fn as_remote(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> RemotePath for [u8; N] {
    fn as_remote(&self) -> &[u8] {
        self
    }
}

impl RemotePath for Vec<u8> {
    fn as_remote(&self) -> &[u8] {
        self
    }
}

impl RemotePath for str {
    fn as_remote(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl RemotePath for String {
    fn as_remote(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl RemotePath for OsStr {
    fn as_remote(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl RemotePath for OsString {
    fn as_remote(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl RemotePath for Path {
    fn as_remote(&self) -> &[u8] {
        self.as_os_str().as_bytes()
    }
}

impl RemotePath for PathBuf {
    fn as_remote(&self) -> &[u8] {
        self.as_os_str().as_bytes()
    }
}

impl<P: RemotePath + ?Sized> RemotePath for &P {
    fn as_remote(&self) -> &[u8] {
        (**self).as_remote()
    }
}

impl<P: RemotePath + ?Sized> RemotePath for Arc<P> {
    fn as_remote(&self) -> &[u8] {
        (**self).as_remote()
    }
}
