//! The remote part of a file on its way.

use std::sync::Arc;

use super::{
    super::sftp::{Attributes, Handle, OpenFlags, Sftp, SftpError},
    umask::Umask,
};

/// What may be read and written by its owner alone.
const PRIVATE: u32 = 0o600;

/// A part that is removed unless it is kept. Removing is asked for without waiting for the answer.
pub(super) struct RemotePart {
    sftp: Sftp,
    pub(super) path: Arc<[u8]>,
    remove: bool,
}

/// The mode that a file gets in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// This one.
    Exactly(u32),
    /// This one, less the umask.
    New(u32),
}

impl RemotePart {
    /// Makes a new part. Gives the mode to set in the end, too.
    pub(super) async fn create(
        sftp: &Sftp,
        path: Arc<[u8]>,
        mode: Mode,
        umask: &Umask,
    ) -> Result<(Self, Handle, u32), SftpError> {
        let (initial, last) = match mode {
            Mode::Exactly(mode) => (PRIVATE, Some(mode)),
            Mode::New(mode) => match umask.of(mode) {
                Some(masked) => (PRIVATE, Some(masked)),
                None => (mode, None),
            },
        };
        // A link that was planted under this name is not followed: what is opened is new.
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let attributes = Attributes::mode(initial);
        let file = sftp.open(&path, flags, &attributes).await?;
        let part = Self { sftp: sftp.clone(), path, remove: true };
        if let Some(last) = last {
            return Ok((part, file, last));
        }
        let stat = sftp.begin_fstat(&file);
        let private = sftp.begin_fsetstat(&file, &Attributes::mode(PRIVATE));
        let granted = stat.attributes().await?.permissions.unwrap_or(initial) & 0o777;
        umask.learn(initial, granted);
        // On a file system without modes there is nothing to be done about it.
        if let Err(error) = private.done().await
            && error.is_fatal()
        {
            return Err(error);
        }
        Ok((part, file, granted & initial))
    }

    /// Opens a part that an earlier run left, under a new name: of two runs, one gets it.
    pub(super) async fn take_over(
        sftp: &Sftp,
        left: &[u8],
        path: Arc<[u8]>,
    ) -> Result<(Self, Handle), SftpError> {
        sftp.rename(left, &path).await?;
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let file = sftp.open(&path, flags, &Attributes::default()).await?;
        Ok((Self { sftp: sftp.clone(), path, remove: true }, file))
    }

    /// Cuts it to what is known to be there. By its name: where another run has taken it over, it is left
    /// alone.
    pub(super) async fn cut(&self, size: u64) -> Result<(), SftpError> {
        let size = Attributes { size: Some(size), ..Attributes::default() };
        self.sftp.setstat(&self.path, &size).await
    }

    /// Whether it is removed when this is dropped.
    pub(super) fn remove_on_drop(&mut self, remove: bool) {
        self.remove = remove;
    }

    /// Gives it its name. What had the name is replaced, at once where the server can do that.
    pub(super) async fn rename(mut self, name: &[u8], taken: bool) -> Result<(), SftpError> {
        match self.sftp.posix_rename(&self.path, name).await {
            Err(SftpError::Unsupported { .. }) => {
                if taken {
                    self.sftp.remove(name).await?;
                }
                self.sftp.rename(&self.path, name).await?;
            }
            other => other?,
        }
        self.remove = false;
        Ok(())
    }
}

impl Drop for RemotePart {
    fn drop(&mut self) {
        if self.remove {
            drop(self.sftp.begin_remove(&self.path));
        }
    }
}
