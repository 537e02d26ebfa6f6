//! How much is read of what a network says.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// So many packets are read in so long, which takes a few hundredths of a processor; the system drops what is said beyond.
const PACKETS: u32 = 2000;
const TIME: Duration = Duration::from_millis(100);

/// What was read of late.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    read: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), read: 0 }
    }

    /// Waits until one more may be read. Cancel safe.
    pub(super) async fn wait(&mut self) {
        if self.read >= PACKETS {
            sleep_until(self.since + TIME).await;
        }
        if self.since.elapsed() >= TIME {
            *self = Self::new();
        }
    }

    pub(super) fn has_read(&mut self) {
        self.read += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_than_may_be() {
        let (mut pace, begun) = (Pace::new(), Instant::now());
        for _ in 0..PACKETS * 5 {
            pace.wait().await;
            pace.has_read();
        }
        let took = begun.elapsed();
        assert!(took >= TIME * 4 && took < TIME * 5, "{took:?}");
        tokio::time::advance(TIME).await;
        let begun = Instant::now();
        pace.wait().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
