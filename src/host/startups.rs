//! Logins under way at the built-in server: who takes long to log in may not take all the room there is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    limits::{MaxStartups, dice},
    peers::Identity,
};
use crate::protocol::{Refusal, RefusalCode};

/// The sessions of the built-in server in which nobody has logged in yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Startups(Arc<Mutex<HashMap<Identity, u32>>>);

/// One of them; counts for as long as it lives.
#[derive(Debug)]
pub(super) struct Startup {
    all: Startups,
    identity: Identity,
}

impl Startups {
    /// Takes one more, or says that there are too many: in all, as sshd does by `MaxStartups`, or of this
    /// identity.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for the peer, by which it may try again: [`RefusalCode::Busy`].
    pub(super) fn enter(&self, identity: Identity, limit: MaxStartups) -> Result<Startup, Refusal> {
        let mut under_way = self.lock();
        let all = under_way.values().sum();
        let own = under_way.get(&identity).copied().unwrap_or_default();
        if drops(limit, all, own, dice()) {
            let sentence = "too many logins are under way at the host (MaxStartups)\ntry again in a minute";
            return Err(Refusal::new(RefusalCode::Busy, sentence));
        }
        under_way.insert(identity, own + 1);
        Ok(Startup { all: self.clone(), identity })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether to drop one more login of an identity that has `own` of `all` under way.
fn drops(limit: MaxStartups, all: u32, own: u32, dice: u32) -> bool {
    // A quarter of all places for one identity, or the few that there are before any login is dropped.
    if own >= (limit.full / 4).max(limit.start.min(10)) {
        return true;
    }
    // Who has next to none under way has not made the crowd.
    if own < limit.start / 4 { all >= limit.full } else { limit.drops(all, dice) }
}

impl Drop for Startup {
    fn drop(&mut self) {
        let mut under_way = self.all.lock();
        if let Some(own) = under_way.get_mut(&self.identity) {
            *own -= 1;
            if *own == 0 {
                under_way.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Identity = Identity::ed25519([1; 32]);
    const OTHER: Identity = Identity::ed25519([2; 32]);

    #[test]
    fn a_login_that_is_over_makes_room_for_another() {
        let startups = Startups::default();
        let limit = MaxStartups { start: 2, rate: 100, full: 2 };
        let first = startups.enter(ONE, limit).expect("room");
        let _second = startups.enter(ONE, limit).expect("room");
        let refusal = startups.enter(OTHER, limit).expect_err("no room");
        assert_eq!(refusal.code, RefusalCode::Busy);
        assert!(refusal.sentence.contains("MaxStartups"));
        drop(first);
        startups.enter(OTHER, limit).expect("room again");
    }

    #[test]
    fn one_identity_that_never_logs_in_keeps_no_other_out() {
        let startups = Startups::default();
        let limit = MaxStartups { start: 10, rate: 30, full: 100 };
        let held: Vec<_> = (0..1000).filter_map(|_| startups.enter(ONE, limit).ok()).collect();
        assert_eq!(held.len(), 25);
        for _ in 0..100 {
            startups.enter(OTHER, limit).expect("a place of its own");
        }
    }
}
