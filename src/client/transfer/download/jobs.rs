//! A download, and what it has to do.

use std::{
    io,
    sync::{Arc, atomic::AtomicUsize},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    super::{
        super::sftp::Attributes,
        context::{Context, SharedPath},
        error::{Side, TransferError},
        names::join,
    },
    above::{Above, Filling, Real},
    held::Held,
};

/// A download under way.
pub(in super::super) struct Download {
    pub(super) context: Context,
    /// Open folders.
    pub(super) held: Arc<AtomicUsize>,
    /// Bytes of memory for folders that wait.
    pub(super) room: Arc<Semaphore>,
    /// Turns of files that do not say how long they are.
    pub(super) unsaid: Arc<Semaphore>,
}

impl Download {
    /// Gives back a folder. The last to do so sets its mode and times: whoever is stopped before leaves them.
    pub(super) async fn release(&self, held: Arc<Held>) {
        let Some(held) = Arc::into_inner(held) else { return };
        let Some((mode, times)) = held.last else { return };
        let folder = Arc::clone(&held.folder);
        if let Err(error) = self.context.disk.run(move || folder.finish(mode, times)).await {
            self.context.failed(TransferError::local_bytes(&held.folder.path, error));
        }
    }
}

/// A file to copy.
#[derive(Clone)]
pub(in super::super) struct FileJob {
    pub(super) remote: SharedPath,
    pub(super) attributes: Attributes,
    pub(super) folder: Arc<Held>,
    /// The name to take.
    pub(super) name: Vec<u8>,
}

impl FileJob {
    pub(super) fn new(remote: Vec<u8>, attributes: Attributes, folder: Arc<Held>, name: Vec<u8>) -> Self {
        Self { remote: remote.into(), attributes, folder, name }
    }

    pub(super) fn size(&self) -> u64 {
        self.attributes.size.unwrap_or(0)
    }

    pub(super) fn target(&self) -> Vec<u8> {
        join(&self.folder.folder.path, &self.name)
    }

    pub(super) fn local_error(&self, error: io::Error) -> TransferError {
        TransferError::local_bytes(&self.target(), error)
    }

    /// Whether any file can be so long: an offset has 63 bits.
    pub(super) fn fits(&self, size: u64) -> Result<(), TransferError> {
        match i64::try_from(size) {
            Ok(_) => Ok(()),
            Err(_) => Err(TransferError::TooLarge { side: Side::Local, path: self.target().into() }),
        }
    }

    /// What went wrong between the making of a part and its new name.
    pub(super) fn finish_error(&self, error: io::Error) -> TransferError {
        // The folder is held open: what is not there is the part.
        if error.kind() == io::ErrorKind::NotFound {
            return TransferError::TakenOver { path: self.target().into() };
        }
        self.local_error(error)
    }

    pub(super) fn changed(&self) -> TransferError {
        TransferError::SourceChanged { side: Side::Remote, path: Arc::clone(&self.remote) }
    }
}

/// A folder to make and to fill.
pub(in super::super) struct FolderJob {
    pub(super) attributes: Attributes,
    pub(super) from: Origin,
}

/// Where a folder comes from, and so where it goes.
pub(super) enum Origin {
    Source {
        path: Vec<u8>,
        /// The path without links.
        real: Real,
        into: Arc<Held>,
        /// Without one, what is in it goes into the folder itself.
        name: Option<Vec<u8>>,
    },
    Folder {
        into: Arc<Filling>,
        name: Vec<u8>,
        /// The path without links, where a link led to it.
        real: Option<Box<Real>>,
        _room: OwnedSemaphorePermit,
    },
}

impl FolderJob {
    pub(super) fn of_source(
        path: Vec<u8>,
        real: &[u8],
        attributes: Attributes,
        into: Arc<Held>,
        name: Option<Vec<u8>>,
    ) -> Self {
        Self { attributes, from: Origin::Source { path, real: Real::new(real), into, name } }
    }
}

impl Origin {
    /// Its path, the path without links, and the folders it is in.
    pub(super) fn remote(&self) -> (Vec<u8>, Real, Option<Arc<Above>>) {
        match self {
            Self::Source { path, real, .. } => (path.clone(), real.clone(), None),
            Self::Folder { into, name, real, .. } => {
                let real = real.as_deref().cloned().unwrap_or_else(|| into.real.below(name));
                (join(&into.path, name), real, Some(Arc::clone(&into.above)))
            }
        }
    }
}
