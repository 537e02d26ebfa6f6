//! What is shown of a transfer.

use std::time::Duration;

/// What is shown of a transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Name of the file, in any characters: what a terminal would obey is made safe.
    pub(crate) name: String,
    /// Bytes that are there.
    pub(crate) done: u64,
    /// Of these, the ones that were sent: what an earlier run had brought says nothing of how fast this is.
    pub(crate) sent: u64,
    /// Bytes in all; `None` where that is not known.
    pub(crate) total: Option<u64>,
    /// Which file of how many this is, counted from 1; nothing is said of one alone.
    pub(crate) file: (u64, u64),
    /// Bytes a second. This and what follows is for [`Progress`](super::Progress) to say.
    pub(crate) rate: u64,
    /// Since the start.
    pub(crate) elapsed: Duration,
    /// Since the last byte.
    pub(crate) idle: Duration,
    /// Whether it is over, complete or not: then the line shows the time taken and the mean rate.
    pub(crate) ended: bool,
}
