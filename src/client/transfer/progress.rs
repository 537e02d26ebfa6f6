//! How far a transfer is.

use std::sync::Arc;

use tokio::sync::watch;

/// How far a transfer is. The totals grow while a tree is still being listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferProgress {
    /// The path, at its source, of the file that moved last.
    pub file: Arc<[u8]>,
    /// Bytes that have arrived or were there already.
    pub bytes: u64,
    /// Bytes of all files found so far.
    pub bytes_total: u64,
    /// Of the bytes, those that did not have to be sent.
    pub bytes_skipped: u64,
    /// Files that are complete, skipped or failed.
    pub files_done: u64,
    /// Files found so far.
    pub files_total: u64,
    /// Whether all that is to be copied has been found.
    pub listed: bool,
}

impl TransferProgress {
    /// Percent of the bytes found so far, 0 to 100; without any, of the files. Where there was nothing to copy at
    /// all, that is done in full.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let (done, total) = if self.bytes_total > 0 {
            (self.bytes, self.bytes_total)
        } else {
            (self.files_done, self.files_total)
        };
        let nothing = if self.listed { 100 } else { 0 };
        let percent = (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(nothing);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}

/// The end that is told.
#[derive(Debug, Clone)]
pub(super) struct Progress(Option<watch::Sender<TransferProgress>>);

impl Progress {
    pub(super) fn new(sender: Option<watch::Sender<TransferProgress>>) -> Self {
        Self(sender)
    }

    pub(super) fn found(&self, files: u64, bytes: u64) {
        self.change(|progress| {
            progress.files_total = progress.files_total.saturating_add(files);
            progress.bytes_total = progress.bytes_total.saturating_add(bytes);
        });
    }

    pub(super) fn listed(&self) {
        self.change(|progress| progress.listed = true);
    }

    pub(super) fn moved(&self, file: &Arc<[u8]>, bytes: u64) {
        self.change(|progress| {
            progress.file = Arc::clone(file);
            progress.bytes = progress.bytes.saturating_add(bytes);
        });
    }

    pub(super) fn skipped(&self, file: &Arc<[u8]>, bytes: u64) {
        self.change(|progress| {
            progress.file = Arc::clone(file);
            progress.bytes = progress.bytes.saturating_add(bytes);
            progress.bytes_skipped = progress.bytes_skipped.saturating_add(bytes);
        });
    }

    /// A file is done, and bytes of it that did not arrive are not waited for any more.
    pub(super) fn file_done(&self, missing: u64) {
        self.change(|progress| {
            progress.files_done += 1;
            progress.bytes_total = progress.bytes_total.saturating_sub(missing).max(progress.bytes);
        });
    }

    fn change(&self, change: impl FnOnce(&mut TransferProgress)) {
        if let Some(sender) = &self.0 {
            sender.send_modify(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_of_bytes_or_else_of_files() {
        let mut progress = TransferProgress::default();
        assert_eq!(progress.percent(), 0);
        (progress.files_done, progress.files_total) = (1, 2);
        assert_eq!(progress.percent(), 50);
        (progress.bytes, progress.bytes_total) = (u64::MAX / 2, u64::MAX);
        assert_eq!(progress.percent(), 49);
        progress.bytes = u64::MAX;
        assert_eq!(progress.percent(), 100);
    }

    #[test]
    fn a_copy_of_nothing_is_done_once_that_is_known() {
        let mut progress = TransferProgress::default();
        assert_eq!(progress.percent(), 0);
        progress.listed = true;
        assert_eq!(progress.percent(), 100);
    }

    #[test]
    fn sizes_that_no_sum_holds_are_as_many_as_can_be_told() {
        let (sender, watched) = watch::channel(TransferProgress::default());
        let (progress, file) = (Progress::new(Some(sender)), Arc::from(&b"file"[..]));
        for _ in 0..3 {
            progress.found(1, u64::MAX - 1);
            progress.moved(&file, u64::MAX - 1);
            progress.skipped(&file, u64::MAX - 1);
            progress.file_done(u64::MAX);
        }
        let told = watched.borrow();
        assert_eq!((told.bytes, told.bytes_total, told.bytes_skipped), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((told.files_total, told.percent()), (3, 100));
    }
}
