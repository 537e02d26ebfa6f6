//! How a transfer is done.

use std::{fmt, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{checksum::RemoteSha256, progress::TransferProgress};

/// How a transfer is done. The default is a plain copy of files.
#[derive(Clone, Default)]
pub struct TransferOptions {
    /// Folders are copied with all that is in them.
    pub recursive: bool,
    /// Modes and times of the source are kept. The times of SFTP 3 are whole seconds.
    pub preserve: bool,
    /// Goes on where an earlier run was stopped, and leaves what arrived when this one is.
    ///
    /// A file of the same size and time of last change is taken to be there already. For that the time is
    /// kept, as with [`Self::preserve`], and each run of a tree should have this set.
    pub resume: bool,
    /// The content of each file is compared from end to end by SHA-256 before it takes its name, and a
    /// file that is already there is skipped.
    pub checksum: bool,
    /// What becomes of symbolic links within a tree.
    pub links: Links,
    /// Files under way at once; unless set, 128 or more, by how long a round trip takes.
    pub files_at_once: Option<usize>,
    /// Computes SHA-256 on the other machine. Without it, and where it has no answer, the content is read
    /// back.
    pub remote_sha256: Option<Arc<dyn RemoteSha256>>,
    /// Is told how far the transfer is.
    pub progress: Option<watch::Sender<TransferProgress>>,
    /// Ends the transfer. What is to be removed is removed before it returns.
    pub cancel: CancellationToken,
}

/// What becomes of symbolic links within a tree. A link that is named as a source is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// What it leads to is copied, as scp does.
    #[default]
    Follow,
    /// The link itself is copied.
    Keep,
    /// It is left out and reported.
    Skip,
}

impl fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferOptions")
            .field("recursive", &self.recursive)
            .field("preserve", &self.preserve)
            .field("resume", &self.resume)
            .field("checksum", &self.checksum)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}
