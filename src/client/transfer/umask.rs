//! The bits that a machine takes from the mode of new files, learned from the first of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is known of a umask: the bits that were asked for, and of these the ones that were granted.
///
/// SFTP cannot ask for it. The first file of a transfer is made with the mode of its source, so that it is
/// never open to more than in the end; what the machine made of that mode tells the rest. It is made
/// private before anything is written to it.
#[derive(Debug, Default)]
pub(super) struct Umask(AtomicU64);

impl Umask {
    /// What becomes of a mode, if that is known.
    pub(super) fn of(&self, mode: u32) -> Option<u32> {
        let known = self.0.load(Ordering::Relaxed);
        let (asked, granted) = ((known >> 32) as u32, known as u32);
        (mode & !asked == 0).then_some(mode & granted)
    }

    /// A file that was made with a mode has another one now.
    pub(super) fn learn(&self, asked: u32, granted: u32) {
        let bits = u64::from(asked) << 32 | u64::from(asked & granted);
        self.0.fetch_or(bits, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_is_not_known() {
        let umask = Umask::default();
        assert_eq!(umask.of(0o600), None);
        umask.learn(0o664, 0o644);
        assert_eq!((umask.of(0o664), umask.of(0o620), umask.of(0o755)), (Some(0o644), Some(0o600), None));
        umask.learn(0o755, 0o755);
        assert_eq!(umask.of(0o775), Some(0o755));
    }
}
