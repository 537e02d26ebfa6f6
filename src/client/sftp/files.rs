//! Open files: draft-ietf-secsh-filexfer-02 sections 6.3, 6.4, 6.8 and 6.9.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    answers::Expect,
    attributes::Attributes,
    error::SftpError,
    handle::Handle,
    limits::WINDOW,
    path::RemotePath,
    pending::Pending,
    session::Sftp,
    wire::{Request, Writer, kind},
};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFlags(u32);

impl OpenFlags {
    /// To read.
    pub const READ: Self = Self(1);
    /// To write.
    pub const WRITE: Self = Self(2);
    /// Every write goes to the end.
    pub const APPEND: Self = Self(4);
    /// The file is made if it is missing.
    pub const CREATE: Self = Self(8);
    /// What it holds is dropped.
    pub const TRUNCATE: Self = Self(16);
    /// With [`Self::CREATE`]: it is an error that it exists, also as a symbolic link.
    pub const EXCLUSIVE: Self = Self(32);
}

impl std::ops::BitOr for OpenFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sftp {
    /// Opens a file. The attributes are for one that is made: its mode, from which the server takes its
    /// umask. Opening a FIFO keeps a server from answering anything until someone else opens it too.
    ///
    /// # Errors
    /// [`SftpError`]. Cancel safe: what was opened is closed.
    pub async fn open(
        &self,
        path: impl RemotePath,
        flags: OpenFlags,
        attributes: &Attributes,
    ) -> Result<Handle, SftpError> {
        let path = path.as_remote();
        let request = Request::new(kind::OPEN).string(path).uint32(flags.0).attributes(attributes);
        Ok(self.ask(request, Expect::Handle, "open", path).await.opened().await?.into())
    }

    /// Reads at an offset, at most `length` and [`super::Limits::read`] bytes; nothing at the end of the
    /// file. A server may answer with fewer bytes than there are. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn read(&self, file: &Handle, offset: u64, length: usize) -> Result<Option<Bytes>, SftpError> {
        let length = length.min(self.limits().read);
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let permit = self.reserve_read(length).await;
        Ok(self.begin_read(file, offset, length, permit).data().await?.map(|held| held.bytes))
    }

    /// Writes all of it at an offset, in as many requests as it takes.
    ///
    /// # Errors
    /// [`SftpError`]. Some of it may have been written then, and also when this is dropped.
    pub async fn write(&self, file: &Handle, offset: u64, mut data: Bytes) -> Result<(), SftpError> {
        let mut waiting = Vec::new();
        let mut offset = offset;
        while !data.is_empty() {
            let part = data.split_to(data.len().min(self.limits().write));
            let length = part.len() as u64;
            let permit = self.reserve_write(part.len()).await;
            waiting.push(self.begin_write(file, offset, part, permit));
            offset += length;
        }
        for pending in waiting {
            pending.done().await?;
        }
        Ok(())
    }

    /// `fsync@openssh.com`: what was written is on the disk. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn fsync(&self, file: &Handle) -> Result<(), SftpError> {
        const NAME: &str = "fsync@openssh.com";
        self.offered(NAME)?;
        let request = Request::extended(NAME).string(file.raw());
        self.shared().ask(request, Expect::Status, file.about("sync")).await.done().await
    }

    /// The attributes of an open file. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn fstat(&self, file: &Handle) -> Result<Attributes, SftpError> {
        self.begin_fstat(file).attributes().await
    }

    /// Sets attributes of an open file.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn fsetstat(&self, file: &Handle, attributes: &Attributes) -> Result<(), SftpError> {
        self.begin_fsetstat(file, attributes).done().await
    }

    /// `copy-data`: copies on the server from one open file to another, `length` bytes, or up to the end
    /// when it is 0.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn copy_data(
        &self,
        from: &Handle,
        from_offset: u64,
        length: u64,
        to: &Handle,
        to_offset: u64,
    ) -> Result<(), SftpError> {
        const NAME: &str = "copy-data";
        self.offered(NAME)?;
        let request = Request::extended(NAME).string(from.raw()).uint64(from_offset).uint64(length);
        let request = request.string(to.raw()).uint64(to_offset);
        self.shared().ask(request, Expect::Status, to.about("copy to")).await.done().await
    }

    /// Waits until so many bytes may be read.
    pub(crate) async fn reserve_read(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        reserve(&self.shared().reads, length).await
    }

    /// A permit to read so many bytes, if there is one now.
    pub(crate) fn try_reserve_read(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared().reads).try_acquire_many_owned(permits(length)).ok()
    }

    /// Waits until so many bytes may be written.
    pub(crate) async fn reserve_write(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        reserve(&self.shared().writes, length).await
    }

    pub(crate) fn begin_read(
        &self,
        file: &Handle,
        offset: u64,
        length: usize,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Pending {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let request = Request::new(kind::READ).string(file.raw()).uint64(offset).uint32(length);
        self.shared().send(request, None, Expect::Data(length), file.about("read"), permit)
    }

    /// Writes at most [`super::Limits::write`] bytes.
    pub(crate) fn begin_write(
        &self,
        file: &Handle,
        offset: u64,
        data: Bytes,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Pending {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let request = Request::new(kind::WRITE).string(file.raw()).uint64(offset).uint32(length);
        self.shared().send(request, Some(data), Expect::Status, file.about("write"), permit)
    }

    pub(crate) fn begin_fstat(&self, file: &Handle) -> Pending {
        let request = Request::new(kind::FSTAT).string(file.raw());
        self.shared().send(request, None, Expect::Attributes, file.about("look at"), None)
    }

    pub(crate) fn begin_fsetstat(&self, file: &Handle, attributes: &Attributes) -> Pending {
        let request = Request::new(kind::FSETSTAT).string(file.raw()).attributes(attributes);
        self.shared().send(request, None, Expect::Status, file.about("set the attributes of"), None)
    }
}

async fn reserve(window: &Arc<Semaphore>, length: usize) -> Option<OwnedSemaphorePermit> {
    // It is never closed.
    Arc::clone(window).acquire_many_owned(permits(length)).await.ok()
}

/// No more than there are, or it would be waited for without end.
fn permits(length: usize) -> u32 {
    u32::try_from(length.min(WINDOW)).unwrap_or(u32::MAX)
}
