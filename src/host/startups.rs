//! Logins under way at the built-in server: who takes long to log in may not take all the room there is.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::limits::{MaxStartups, dice};
use crate::protocol::{Refusal, RefusalCode};

/// The sessions of the built-in server in which nobody has logged in yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Startups(Arc<AtomicU32>);

/// One of them; counts for as long as it lives.
#[derive(Debug)]
pub(super) struct Startup(Arc<AtomicU32>);

impl Startups {
    /// Takes one more, or says that there are too many, as sshd does by `MaxStartups`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for the peer.
    pub(super) fn enter(&self, limit: MaxStartups) -> Result<Startup, Refusal> {
        if limit.drops(self.0.load(Ordering::Relaxed), dice()) {
            let sentence = "too many logins are under way at the host (MaxStartups)\ntry again in a minute";
            return Err(Refusal::new(RefusalCode::Busy, sentence));
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Startup(self.0.clone()))
    }
}

impl Drop for Startup {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_is_over_makes_room_for_another() {
        let startups = Startups::default();
        let limit = MaxStartups { start: 2, rate: 100, full: 2 };
        let first = startups.enter(limit).expect("room");
        let _second = startups.enter(limit).expect("room");
        let refusal = startups.enter(limit).expect_err("no room");
        assert_eq!(refusal.code, RefusalCode::Busy);
        assert!(refusal.sentence.contains("MaxStartups"));
        drop(first);
        startups.enter(limit).expect("room again");
    }
}
