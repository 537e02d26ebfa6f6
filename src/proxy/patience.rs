//! Trying again what is busy.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Pauses that grow, until a deadline.
#[derive(Debug)]
pub(crate) struct Patience {
    deadline: Instant,
    next: Duration,
}

impl Patience {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, next: Duration::from_millis(50) }
    }

    /// Waits before the next try; says at once that there is no time for one.
    pub(crate) async fn pause(&mut self) -> bool {
        let pause = self.next;
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        sleep(pause).await;
        self.next = (pause * 2).min(Duration::from_secs(1));
        true
    }
}
