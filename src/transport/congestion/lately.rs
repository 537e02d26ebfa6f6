//! A memory that forgets.

use std::time::{Duration, Instant};

/// What was seen in the last one to two spans of time.
///
/// It forgets by time and not by bytes: a full queue that made the sender slow would otherwise be
/// remembered for as long as the sender is slow, and each single loss in that time, of the four
/// packets that are then on their way, would keep it so. Downloads stood at 0.3 Mbit/s for a minute.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lately<T> {
    pub(super) before: T,
    pub(super) current: T,
    since: Option<Instant>,
}

impl<T: Copy + Default> Lately<T> {
    /// Forgets what is older than two spans.
    pub(super) fn advance(&mut self, now: Instant, span: Duration) {
        match self.since.map(|since| now.saturating_duration_since(since)) {
            Some(age) if age < span => return,
            Some(age) if age < 2 * span => self.before = self.current,
            _ => self.before = T::default(),
        }
        self.current = T::default();
        self.since = Some(now);
    }
}
