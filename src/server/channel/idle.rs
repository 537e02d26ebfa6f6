//! Channels that nothing goes through (sshd_config(5), ChannelTimeout).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// When something last went through a channel, in either direction.
#[derive(Debug)]
pub(super) struct LastUse(Mutex<Instant>);

impl Default for LastUse {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl LastUse {
    pub(super) fn is_now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until nothing has gone through for so long; for ever without a limit.
    pub(super) async fn idle_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + limit;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_in_time_is_not_idle() {
        let last = LastUse::default();
        let start = Instant::now();
        let using = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                last.is_now();
            }
        };
        tokio::join!(using, last.idle_for(Some(Duration::from_secs(10))));
        assert_eq!(start.elapsed(), Duration::from_secs(34));
    }
}
