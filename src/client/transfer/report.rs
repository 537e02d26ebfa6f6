//! What a transfer did.

use std::sync::Arc;

/// Entries that are remembered each; more are only counted.
const MOST: usize = 1000;

/// What a transfer did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferReport {
    /// Files that were copied.
    pub files: u64,
    /// Files that were there already, with [`super::TransferOptions::resume`] or `checksum`.
    pub files_unchanged: u64,
    /// Folders that were made.
    pub folders: u64,
    /// Bytes of content that crossed the connection.
    pub bytes: u64,
    /// Bytes that an earlier run had brought.
    pub bytes_resumed: u64,
    /// What was left out; at most 1000 of them.
    pub skipped: Vec<Skipped>,
    /// How many were left out.
    pub skipped_total: u64,
}

impl TransferReport {
    pub(super) fn skip(&mut self, path: &[u8], why: WhySkipped) {
        self.skipped_total += 1;
        if self.skipped.len() < MOST {
            self.skipped.push(Skipped { path: path.into(), why });
        }
    }
}

/// A file that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its path at the source.
    pub path: Arc<[u8]>,
    /// Why.
    pub why: WhySkipped,
}

/// Why a file was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhySkipped {
    /// A FIFO, a socket or a device.
    Special,
    /// A symbolic link, with [`super::Links::Skip`].
    Link,
}
