//! The remote part of a file on its way.

use std::sync::Arc;

use super::{
    super::sftp::{Attributes, Handle, OpenFlags, Pending, Sftp, SftpError},
    error::TransferError,
    names::{aside_name, base_name, join, parent},
    removals::Removals,
    umask::Umask,
};

/// What may be read and written by its owner alone.
const PRIVATE: u32 = 0o600;

/// A part that is removed unless it is kept. Removing is asked for without waiting for the answer.
pub(super) struct RemotePart {
    sftp: Sftp,
    removals: Arc<Removals>,
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

/// The mode that a part gets in the end.
pub(super) enum Granted {
    Known(u32),
    /// The part was made with this mode, and what the machine made of it is being asked for.
    Asked {
        mode: u32,
        stat: Pending,
        private: Pending,
    },
}

impl Granted {
    /// The mode, if it is known already.
    pub(super) fn known(&self) -> Option<u32> {
        match self {
            Self::Known(mode) => Some(*mode),
            Self::Asked { .. } => None,
        }
    }

    /// The mode that was not known before.
    pub(super) async fn learn(self, umask: &Umask) -> Result<Option<u32>, SftpError> {
        let Self::Asked { mode, stat, private } = self else { return Ok(None) };
        let granted = stat.attributes().await?.permissions.unwrap_or(mode) & 0o777;
        umask.learn(mode, granted);
        // On a file system without modes there is nothing to be done about it.
        if let Err(error) = private.done().await
            && error.is_fatal()
        {
            return Err(error);
        }
        Ok(Some(granted & mode))
    }
}

impl RemotePart {
    /// Makes a new part.
    pub(super) async fn create(
        sftp: &Sftp,
        removals: &Arc<Removals>,
        path: Arc<[u8]>,
        mode: Mode,
        umask: &Umask,
    ) -> Result<(Self, Handle, Granted), SftpError> {
        let (initial, known) = match mode {
            Mode::Exactly(mode) => (PRIVATE, Some(mode)),
            Mode::New(mode) => match umask.of(mode) {
                Some(masked) => (PRIVATE, Some(masked)),
                None => (mode, None),
            },
        };
        // A link that was planted under this name is not followed: what is opened is new.
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        // It is there from the moment on at which it is asked for.
        let mut part = Self {
            sftp: sftp.clone(),
            removals: Arc::clone(removals),
            path: Arc::clone(&path),
            remove: true,
        };
        let file = match sftp.open(&path, flags, &Attributes::mode(initial)).await {
            Ok(file) => file,
            Err(error) => {
                part.remove = false;
                return Err(error);
            }
        };
        let granted = match known {
            Some(mode) => Granted::Known(mode),
            None => Granted::Asked {
                mode: initial,
                stat: sftp.begin_fstat(&file),
                private: sftp.begin_fsetstat(&file, &Attributes::mode(PRIVATE)),
            },
        };
        Ok((part, file, granted))
    }

    /// Opens a part that an earlier run left, under a new name: of two runs, one gets it.
    pub(super) async fn take_over(
        sftp: &Sftp,
        removals: &Arc<Removals>,
        left: &[u8],
        path: Arc<[u8]>,
    ) -> Result<(Self, Handle), SftpError> {
        sftp.rename(left, &path).await?;
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let file = sftp.open(&path, flags, &Attributes::default()).await?;
        Ok((Self { sftp: sftp.clone(), removals: Arc::clone(removals), path, remove: true }, file))
    }

    /// Asks for it to be cut to what is known to be there. By its name: where another run has taken it
    /// over, it is left alone.
    pub(super) async fn begin_cut(&self, size: u64) -> Pending {
        let size = Attributes { size: Some(size), ..Attributes::default() };
        self.sftp.begin_setstat(&self.path, &size).await
    }

    /// Whether it is removed when this is dropped.
    pub(super) fn remove_on_drop(&mut self, remove: bool) {
        self.remove = remove;
    }

    /// Gives it its name, and a mode if that is still to be set. What had the name is replaced, at once
    /// where the server can do that.
    pub(super) async fn rename(
        mut self,
        name: &[u8],
        taken: bool,
        mode: Option<u32>,
    ) -> Result<(), RenameError> {
        if let Some(mode) = mode {
            // A file system without modes still takes files.
            drop(self.sftp.begin_setstat(&self.path, &Attributes::mode(mode)).await);
        }
        let renamed = match self.sftp.posix_rename(&self.path, name).await {
            Err(SftpError::Unsupported { .. }) => self.sftp.rename(&self.path, name).await,
            other => {
                other?;
                self.remove = false;
                return Ok(());
            }
        };
        match renamed {
            Err(error) if taken && !error.is_fatal() && !error.is_no_such_file() => self.replace(name).await,
            other => {
                other?;
                self.remove = false;
                Ok(())
            }
        }
    }

    /// Takes the place of a file where the server does not replace any. It is done to the end also when
    /// nobody waits for it any more: the old file or the new one has the name then.
    async fn replace(self, name: &[u8]) -> Result<(), RenameError> {
        let name = name.to_vec();
        let removals = Arc::clone(&self.removals);
        let task = removals.replacing.spawn(self.replace_aside(name));
        task.await.unwrap_or_else(|_| Err(SftpError::Gone { source: None }.into()))
    }

    async fn replace_aside(mut self, name: Vec<u8>) -> Result<(), RenameError> {
        let aside = join(&parent(&name), &aside_name(base_name(&name).unwrap_or_default()));
        // While the old file is out of the way the new one must stay.
        let remove = std::mem::replace(&mut self.remove, false);
        if let Err(error) = self.sftp.rename(&name, &aside).await {
            self.remove = remove;
            return Err(error.into());
        }
        if let Err(error) = self.sftp.rename(&self.path, &name).await {
            if self.sftp.rename(&aside, &name).await.is_err() {
                return Err(RenameError::LeftAside { aside, error });
            }
            self.remove = remove;
            return Err(error.into());
        }
        if let Err(error) = self.sftp.remove(&aside).await {
            tracing::debug!(%error, "what was replaced is left aside");
        }
        Ok(())
    }
}

impl Drop for RemotePart {
    fn drop(&mut self) {
        if self.remove {
            self.removals.remove(&self.path);
        }
    }
}

/// Why a part did not get its name.
#[derive(Debug)]
pub(super) enum RenameError {
    Sftp(SftpError),
    /// What had the name has another one, and could not get its own back.
    LeftAside {
        aside: Vec<u8>,
        error: SftpError,
    },
}

impl From<SftpError> for RenameError {
    fn from(error: SftpError) -> Self {
        Self::Sftp(error)
    }
}

impl RenameError {
    /// What it means for a file of this name.
    pub(super) fn about(self, path: &[u8]) -> TransferError {
        match self {
            Self::Sftp(error) if error.is_no_such_file() => TransferError::TakenOver { path: path.into() },
            Self::Sftp(error) => TransferError::remote(path, error),
            Self::LeftAside { aside, error } => {
                TransferError::LeftAside { path: path.into(), aside: aside.into(), error }
            }
        }
    }
}
