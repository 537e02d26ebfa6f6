//! Local folders that are open while they are filled.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::super::local::LocalFolder;

/// An open folder that is counted. All that is still to be put in it holds it.
pub(super) struct Held {
    pub(super) folder: Arc<LocalFolder>,
    /// Its mode and times, which it gets when nothing more is put in it.
    pub(super) last: Option<(u32, Option<(u32, u32)>)>,
    count: Arc<AtomicUsize>,
}

impl Held {
    pub(super) fn new(
        folder: LocalFolder,
        last: Option<(u32, Option<(u32, u32)>)>,
        count: &Arc<AtomicUsize>,
    ) -> Arc<Self> {
        count.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { folder: Arc::new(folder), last, count: Arc::clone(count) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
