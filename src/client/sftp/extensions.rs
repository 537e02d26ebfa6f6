//! OpenSSH's extensions that are about more than a path or a file: its PROTOCOL, section 4.

use super::{
    answers::Expect,
    error::{Nonsense, SftpError},
    handle::Handle,
    path::RemotePath,
    session::Sftp,
    wire::{Reader, Request, Truncated, Writer, kind},
};

/// What is known of a file system: OpenSSH's PROTOCOL, section 4.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSystem {
    /// Bytes of a block to read and write.
    pub block_size: u64,
    /// Bytes of the blocks that are counted below.
    pub fragment_size: u64,
    /// Blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks that users may have.
    pub blocks_available: u64,
    /// Files.
    pub files: u64,
    /// Files that can still be made.
    pub files_free: u64,
    /// Files that users can still make.
    pub files_available: u64,
    /// Its number.
    pub id: u64,
    /// 1: read only, 2: no setuid.
    pub flags: u64,
    /// Bytes of the longest name.
    pub name_max: u64,
}

impl FileSystem {
    /// Whether a user cannot write another block, or make another file.
    #[must_use]
    pub fn is_full(&self) -> bool {
        // A file system may not count its files.
        self.blocks_available == 0 || (self.files > 0 && self.files_available == 0)
    }

    fn read(body: &[u8]) -> Result<Self, Truncated> {
        let mut body = Reader(body);
        let mut next = || body.uint64();
        Ok(Self {
            block_size: next()?,
            fragment_size: next()?,
            blocks: next()?,
            blocks_free: next()?,
            blocks_available: next()?,
            files: next()?,
            files_free: next()?,
            files_available: next()?,
            id: next()?,
            flags: next()?,
            name_max: next()?,
        })
    }
}

impl Sftp {
    /// `statvfs@openssh.com`: the file system a path is on. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn statvfs(&self, path: impl RemotePath) -> Result<FileSystem, SftpError> {
        const NAME: &str = "statvfs@openssh.com";
        self.offered(NAME)?;
        let path = path.as_remote();
        let request = Request::extended(NAME).string(path);
        let pending = self.ask(request, Expect::Extended, "look at the disk of", path).await;
        file_system(&pending.extended().await?)
    }

    /// `fstatvfs@openssh.com`: the file system an open file is on. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn fstatvfs(&self, file: &Handle) -> Result<FileSystem, SftpError> {
        const NAME: &str = "fstatvfs@openssh.com";
        self.offered(NAME)?;
        let request = Request::extended(NAME).string(file.raw());
        let about = file.about("look at the disk of");
        file_system(&self.shared().ask(request, Expect::Extended, about).await.extended().await?)
    }

    /// `home-directory`: the home of a user, or of the one who is logged in when the name is empty. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn home_directory(&self, user: impl AsRef<[u8]>) -> Result<Vec<u8>, SftpError> {
        const NAME: &str = "home-directory";
        self.offered(NAME)?;
        let user = user.as_ref();
        let request = Request::extended(NAME).string(user);
        self.ask(request, Expect::Names, "find the home of", user).await.name().await
    }

    /// `expand-path@openssh.com`: as [`Sftp::realpath`], and `~` and `~user` are understood. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn expand_path(&self, path: impl RemotePath) -> Result<Vec<u8>, SftpError> {
        const NAME: &str = "expand-path@openssh.com";
        self.offered(NAME)?;
        let path = path.as_remote();
        let request = Request::extended(NAME).string(path);
        self.ask(request, Expect::Names, "find", path).await.name().await
    }
}

fn file_system(body: &[u8]) -> Result<FileSystem, SftpError> {
    FileSystem::read(body).map_err(|Truncated| Nonsense::Truncated(kind::EXTENDED_REPLY).into())
}
