//! Those who were not let in: how many, and the last ones.

use std::{collections::VecDeque, time::Instant};

use super::peers::Identity;

/// How many of them are remembered one by one.
const LAST: usize = 16;

/// Those who were not let in.
#[derive(Debug, Clone, Default)]
pub(super) struct Turned {
    /// How many were refused, or closed.
    pub(super) count: u64,
    /// How many have not even been heard.
    pub(super) unheard: u64,
    /// The last ones, in the order in which they came.
    pub(super) last: VecDeque<TurnedAway>,
}

/// One who was not let in, once or more often in a row.
#[derive(Debug, Clone)]
pub(super) struct TurnedAway {
    pub(super) at: Instant,
    pub(super) times: u64,
    pub(super) peer: Option<Identity>,
    /// What it counts as where it is penalized.
    origin: String,
    pub(super) from: String,
    pub(super) reason: String,
}

impl Turned {
    /// Notes one. Who comes again for the same reason takes no place from others.
    pub(super) fn note(
        &mut self,
        peer: Option<Identity>,
        origin: String,
        from: &str,
        reason: &str,
        at: Instant,
    ) {
        self.count += 1;
        let is_it = |last: &TurnedAway| last.peer == peer && last.origin == origin && last.reason == reason;
        let times = match self.last.iter().position(is_it).and_then(|place| self.last.remove(place)) {
            Some(before) => before.times + 1,
            None => 1,
        };
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        let (from, reason) = (from.to_owned(), reason.to_owned());
        self.last.push_back(TurnedAway { at, times, peer, origin, from, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_again_and_again_takes_one_place_and_many_take_no_more_than_there_are() {
        let mut turned = Turned::default();
        let now = Instant::now();
        for port in 0..100 {
            turned.note(None, "192.0.2.1".to_owned(), &format!("192.0.2.1:{port}"), "no", now);
            turned.note(None, format!("198.51.100.{}", port % 5), "elsewhere", "no", now);
        }
        assert_eq!((turned.count, turned.last.len()), (200, 6));
        let again = turned.last.iter().find(|last| last.origin == "192.0.2.1").expect("remembered");
        assert_eq!((again.times, again.from.as_str()), (100, "192.0.2.1:99"));
        for number in 0..100 {
            turned.note(Some(Identity::ed25519([number; 32])), "relay".to_owned(), "relay", "no", now);
        }
        assert_eq!((turned.count, turned.last.len()), (300, LAST));
        assert_eq!(turned.last.back().and_then(|last| last.peer), Some(Identity::ed25519([99; 32])));
    }
}
