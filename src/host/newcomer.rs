//! A connection on its way in.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    newcomers::{Newcomers, Origin},
    shared::Shared,
};

/// How long the place of an origin that has failed again and again is held after one more failure: so many
/// tries a second it has.
const HELD: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) fn newcomers(&self) -> MutexGuard<'_, Newcomers> {
        self.newcomers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is neither admitted nor refused yet; has a place for as long as it lives.
pub(super) struct Newcomer {
    shared: Arc<Shared>,
    origin: Origin,
    /// Whether its address is known to be its own.
    proved: bool,
}

impl Newcomer {
    pub(super) fn new(shared: Arc<Shared>, origin: Origin, proved: bool) -> Self {
        Self { shared, origin, proved }
    }

    /// It has answered from where it says it is.
    pub(super) fn prove(&mut self) {
        self.proved = true;
    }

    /// Where it comes from.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Gives the place back after a failure that costs so many seconds of penalty.
    pub(super) async fn fail(self, seconds: u64) {
        let (now, penalty) = (Instant::now(), Duration::from_secs(seconds));
        let again = self.shared.newcomers().is_penalized(&self.origin, now);
        // A failure may be somebody else's who forges the address.
        if self.proved {
            self.shared.newcomers().punish(&self.origin, penalty, now);
        }
        if again {
            tokio::time::sleep(HELD).await;
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.shared.newcomers().leave(&self.origin);
    }
}
