//! How a transfer is done.

use std::{fmt, sync::Arc};

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{checksum::RemoteSha256, progress::TransferProgress};

/// How a transfer is done: the default, which is a plain copy of files, changed part by part.
#[derive(Clone, Default)]
#[non_exhaustive]
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
    /// Computes SHA-256 on the other machine. Where it has no answer, the content is read back, and without it always;
    /// but [`Connection::upload`](crate::client::Connection::upload) and `download` have the server compute it then.
    pub remote_sha256: Option<Arc<dyn RemoteSha256>>,
    /// Is told how far the transfer is.
    pub progress: Option<watch::Sender<TransferProgress>>,
    /// Ends the transfer. What is to be removed is removed before it returns.
    pub cancel: CancellationToken,
}

impl TransferOptions {
    /// Copies folders with all that is in them.
    #[must_use]
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }

    /// Keeps modes and times.
    #[must_use]
    pub fn preserve(mut self, preserve: bool) -> Self {
        self.preserve = preserve;
        self
    }

    /// Goes on where an earlier run was stopped.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Compares contents by SHA-256.
    #[must_use]
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.checksum = checksum;
        self
    }

    /// What becomes of symbolic links within a tree.
    #[must_use]
    pub fn links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// Tells how far the transfer is by this.
    #[must_use]
    pub fn progress(mut self, tell: watch::Sender<TransferProgress>) -> Self {
        self.progress = Some(tell);
        self
    }

    /// Ends the transfer when this is cancelled.
    #[must_use]
    pub fn cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// How far the transfers with these options and their clones are: an item for each change, or for several where they
    /// come faster than they are taken. The last one is that of the end; the stream ends when the options are gone, which
    /// a transfer takes with it.
    ///
    /// ```no_run
    /// # async fn run(host: irosh::client::Connection) -> irosh::Result<()> {
    /// use irosh::{StreamExt as _, client::transfer::TransferOptions};
    ///
    /// let mut options = TransferOptions::default().recursive(true).resume(true);
    /// let mut progress = options.progress_stream();
    /// tokio::spawn(async move {
    ///     while let Some(now) = progress.next().await {
    ///         print!("\r{:3} %, {} of {} files", now.percent(), now.files_done, now.files_total);
    ///     }
    /// });
    /// host.upload(["site"], "/srv/www", options).await?;
    /// # Ok(()) }
    /// ```
    pub fn progress_stream(&mut self) -> impl Stream<Item = TransferProgress> + Send + Unpin + use<> {
        let watched = self.progress.get_or_insert_default().subscribe();
        Box::pin(stream::unfold(watched, |mut watched| async move {
            // What was told last is told even if nobody tells any more.
            watched.changed().await.ok()?;
            let now = watched.borrow_and_update().clone();
            Some((now, watched))
        }))
    }
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

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_stream_tells_of_changes_and_of_the_end() {
        let mut options = TransferOptions::default();
        let mut stream = options.progress_stream();
        let mut other = options.progress_stream();
        let of_transfer = options.clone();
        let tell = options.progress.take().expect("a sender");
        for files in 1..=3 {
            tell.send_modify(|progress| progress.files_done = files);
            assert_eq!(stream.next().await.map(|now| now.files_done), Some(files));
        }
        // Whoever is slower is told the newest.
        assert_eq!(other.next().await.map(|now| now.files_done), Some(3));
        tell.send_modify(|progress| progress.listed = true);
        drop((options, of_transfer, tell));
        // What was told last is not lost with who told it.
        assert_eq!(stream.next().await.map(|now| now.listed), Some(true));
        assert_eq!(stream.next().await, None);
    }
}
