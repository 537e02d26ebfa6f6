//! Requests on paths: draft-ietf-secsh-filexfer-02 sections 6.5, 6.6, 6.8, 6.10 and 6.11.

use super::{
    answers::Expect,
    attributes::Attributes,
    error::SftpError,
    path::RemotePath,
    pending::{About, Pending},
    session::Sftp,
    wire::{Request, Writer, kind},
};

impl Sftp {
    /// The attributes of what a path leads to. Cancel safe, as all that only looks.
    ///
    /// # Errors
    /// [`SftpError`], as of all requests here.
    pub async fn stat(&self, path: impl RemotePath) -> Result<Attributes, SftpError> {
        self.begin_stat(path.as_remote()).await.attributes().await
    }

    /// Whether a path leads to something.
    ///
    /// # Errors
    /// [`SftpError`], as where nobody may look.
    pub async fn exists(&self, path: impl RemotePath) -> Result<bool, SftpError> {
        match self.stat(path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_no_such_file() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The attributes of a path itself, also when it is a symbolic link.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn lstat(&self, path: impl RemotePath) -> Result<Attributes, SftpError> {
        self.begin_lstat(path.as_remote()).await.attributes().await
    }

    /// Sets attributes of what a path leads to.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn setstat(&self, path: impl RemotePath, attributes: &Attributes) -> Result<(), SftpError> {
        self.begin_setstat(path.as_remote(), attributes).await.done().await
    }

    /// `lsetstat@openssh.com`: sets attributes of a path itself, also when it is a symbolic link.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn lsetstat(&self, path: impl RemotePath, attributes: &Attributes) -> Result<(), SftpError> {
        const NAME: &str = "lsetstat@openssh.com";
        self.offered(NAME)?;
        let path = path.as_remote();
        let request = Request::extended(NAME).string(path).attributes(attributes);
        self.ask(request, Expect::Status, "set the attributes of", path).await.done().await
    }

    /// Makes a folder with a mode, from which the server takes its umask.
    ///
    /// # Errors
    /// [`SftpError`]; that something of that name exists is `SSH_FX_FAILURE`.
    pub async fn mkdir(&self, path: impl RemotePath, attributes: &Attributes) -> Result<(), SftpError> {
        let path = path.as_remote();
        let request = Request::new(kind::MKDIR).string(path).attributes(attributes);
        self.ask(request, Expect::Status, "make the folder", path).await.done().await
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn rmdir(&self, path: impl RemotePath) -> Result<(), SftpError> {
        self.about_path(kind::RMDIR, path.as_remote(), Expect::Status, "remove the folder").await.done().await
    }

    /// Removes what is not a folder.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn remove(&self, path: impl RemotePath) -> Result<(), SftpError> {
        self.about_path(kind::REMOVE, path.as_remote(), Expect::Status, "remove").await.done().await
    }

    /// Renames. With OpenSSH's server it fails when the new name is taken; others replace it.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn rename(&self, from: impl RemotePath, to: impl RemotePath) -> Result<(), SftpError> {
        let (from, to) = (from.as_remote(), to.as_remote());
        nul(to)?;
        let request = Request::new(kind::RENAME).string(from).string(to);
        self.ask(request, Expect::Status, "rename", from).await.done().await
    }

    /// `posix-rename@openssh.com`: renames, and replaces what had the new name at once.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn posix_rename(&self, from: impl RemotePath, to: impl RemotePath) -> Result<(), SftpError> {
        const NAME: &str = "posix-rename@openssh.com";
        self.offered(NAME)?;
        let (from, to) = (from.as_remote(), to.as_remote());
        nul(to)?;
        let request = Request::extended(NAME).string(from).string(to);
        self.ask(request, Expect::Status, "rename", from).await.done().await
    }

    /// `hardlink@openssh.com`: gives a file a second name.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn hardlink(&self, file: impl RemotePath, name: impl RemotePath) -> Result<(), SftpError> {
        const NAME: &str = "hardlink@openssh.com";
        self.offered(NAME)?;
        let (file, name) = (file.as_remote(), name.as_remote());
        nul(file)?;
        let request = Request::extended(NAME).string(file).string(name);
        self.ask(request, Expect::Status, "link", name).await.done().await
    }

    /// Makes a symbolic link at `link` that leads to `target`.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn symlink(&self, target: impl RemotePath, link: impl RemotePath) -> Result<(), SftpError> {
        let (target, link) = (target.as_remote(), link.as_remote());
        nul(target)?;
        // OpenSSH has the arguments the other way round than the draft, and all others follow it: its
        // PROTOCOL, section 4.1.
        let request = Request::new(kind::SYMLINK).string(target).string(link);
        self.ask(request, Expect::Status, "link", link).await.done().await
    }

    /// Where a symbolic link leads, as it is written in it.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn readlink(&self, path: impl RemotePath) -> Result<Vec<u8>, SftpError> {
        self.begin_readlink(path.as_remote()).await.name().await
    }

    /// The absolute path without links, `.` and `..` that a path leads to. Its last part need not exist.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn realpath(&self, path: impl RemotePath) -> Result<Vec<u8>, SftpError> {
        self.begin_realpath(path.as_remote()).await.name().await
    }

    /// Asks for a file to be removed, without waiting for the answer and also while the program is
    /// dropping what it did.
    pub(crate) fn begin_remove(&self, path: &[u8]) -> Pending {
        let about = About { operation: "remove", path: path.into() };
        self.shared().send(Request::new(kind::REMOVE).string(path), None, Expect::Status, about, None)
    }

    /// As [`Sftp::stat`], asked for once this is done.
    pub(crate) async fn begin_stat(&self, path: &[u8]) -> Pending {
        self.about_path(kind::STAT, path, Expect::Attributes, "look at").await
    }

    /// As [`Sftp::lstat`], asked for once this is done.
    pub(crate) async fn begin_lstat(&self, path: &[u8]) -> Pending {
        self.about_path(kind::LSTAT, path, Expect::Attributes, "look at").await
    }

    /// As [`Sftp::realpath`], asked for once this is done.
    pub(crate) async fn begin_realpath(&self, path: &[u8]) -> Pending {
        self.about_path(kind::REALPATH, path, Expect::Names, "find").await
    }

    /// As [`Sftp::readlink`], asked for once this is done.
    pub(crate) async fn begin_readlink(&self, path: &[u8]) -> Pending {
        self.about_path(kind::READLINK, path, Expect::Names, "read the link").await
    }

    /// Asks for attributes to be set.
    pub(crate) async fn begin_setstat(&self, path: &[u8], attributes: &Attributes) -> Pending {
        let request = Request::new(kind::SETSTAT).string(path).attributes(attributes);
        self.ask(request, Expect::Status, "set the attributes of", path).await
    }

    async fn about_path(&self, kind: u8, path: &[u8], expect: Expect, operation: &'static str) -> Pending {
        self.ask(Request::new(kind).string(path), expect, operation, path).await
    }
}

/// Refuses a second path with a NUL; the first is looked at where it is sent.
fn nul(path: &[u8]) -> Result<(), SftpError> {
    if path.contains(&0) { Err(SftpError::BadPath { path: path.into() }) } else { Ok(()) }
}
