//! What a stranger may cost: pure rules over times and counts.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

/// Connections that may be on their way in at once, with early drop.
///
/// As sshd's `MaxStartups start:rate:full`: from `start` on, a share of new connections is dropped
/// that rises from `rate` percent to all of them at `full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaxStartups {
    /// Connections up to which none is dropped.
    pub start: u32,
    /// Percent dropped from there.
    pub rate: u32,
    /// Connections from which all are dropped.
    pub full: u32,
}

impl Default for MaxStartups {
    /// More than sshd's 10:30:100, since a handshake here takes two round trips and no password.
    fn default() -> Self {
        Self { start: 100, rate: 30, full: 400 }
    }
}

impl MaxStartups {
    /// Whether to drop a connection when `pending` are on their way in; `dice` is from 0 to 99.
    #[must_use]
    pub fn drops(&self, pending: u32, dice: u32) -> bool {
        if pending < self.start || self.rate == 0 && pending < self.full {
            return false;
        }
        if pending >= self.full || self.rate >= 100 {
            return true;
        }
        let above = u64::from(pending - self.start);
        let span = u64::from(self.full - self.start);
        let share = u64::from(self.rate) + u64::from(100 - self.rate) * above / span;
        u64::from(dice) < share
    }
}

impl std::str::FromStr for MaxStartups {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not START:RATE:FULL, such as 100:30:400");
        let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[start, rate, full]) if start <= full && rate <= 100 && full > 0 => {
                Ok(Self { start, rate, full })
            }
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for MaxStartups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.rate, self.full)
    }
}

impl TryFrom<String> for MaxStartups {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MaxStartups> for String {
    fn from(startups: MaxStartups) -> Self {
        startups.to_string()
    }
}

/// A number from 0 to 99 that a stranger cannot foresee.
pub(super) fn dice() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0) % 100) as u32
}

/// Penalties for those who fail, as sshd's `PerSourcePenalties`.
///
/// Each failure adds to how long its source is turned away; a source is turned away once its
/// penalty has reached [`Self::MINIMUM`].
#[derive(Debug)]
pub struct Penalties<S> {
    until: HashMap<S, Instant>,
    /// The same in the order in which they end. Where there is no room, the one that ends first goes: who
    /// comes by many names flushes nobody out who has earned more.
    order: BTreeSet<(Instant, S)>,
}

impl<S> Default for Penalties<S> {
    fn default() -> Self {
        Self { until: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<S: Hash + Ord + Clone> Penalties<S> {
    /// A penalty below this turns nobody away yet.
    pub const MINIMUM: Duration = Duration::from_secs(15);
    /// No source is turned away for longer.
    pub const MAXIMUM: Duration = Duration::from_secs(600);
    /// Sources that are remembered.
    const SOURCES: usize = 16_384;

    /// Adds to a source's penalty.
    pub fn punish(&mut self, source: S, penalty: Duration, now: Instant) {
        let before = self.until.get(&source).copied();
        let until = (before.unwrap_or(now).max(now) + penalty).min(now + Self::MAXIMUM);
        self.forgive(&source);
        self.until.insert(source.clone(), until);
        self.order.insert((until, source));
        if self.order.len() > Self::SOURCES
            && let Some((_, first)) = self.order.pop_first()
        {
            self.until.remove(&first);
        }
    }

    /// Forgets what a source has done.
    pub fn forgive(&mut self, source: &S) {
        if let Some(until) = self.until.remove(source) {
            self.order.remove(&(until, source.clone()));
        }
    }

    /// How long a source is still turned away, if it is.
    pub fn turned_away(&mut self, source: &S, now: Instant) -> Option<Duration> {
        let left = self.until.get(source)?.saturating_duration_since(now);
        if left.is_zero() {
            self.forgive(source);
        }
        (left >= Self::MINIMUM).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startups_are_dropped_more_and_more() {
        let limit = MaxStartups { start: 10, rate: 30, full: 100 };
        let share = |pending| (0..100).filter(|dice| limit.drops(pending, *dice)).count();
        assert_eq!([share(0), share(9), share(10), share(55), share(100)], [0, 0, 30, 65, 100]);
    }

    #[test]
    fn startups_are_read_as_sshd_writes_them() {
        assert_eq!("10:30:100".parse(), Ok(MaxStartups { start: 10, rate: 30, full: 100 }));
        for wrong in ["", "10", "10:30", "10:101:100", "100:30:10", "a:b:c", "1:2:3:4"] {
            assert!(wrong.parse::<MaxStartups>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_source_that_fails_again_and_again_is_turned_away_for_a_while() {
        let mut penalties = Penalties::default();
        let start = Instant::now();
        let five = Duration::from_secs(5);
        penalties.punish("a", five, start);
        penalties.punish("a", five, start);
        assert_eq!(penalties.turned_away(&"a", start), None);
        penalties.punish("a", five, start);
        assert_eq!(penalties.turned_away(&"a", start), Some(five * 3));
        assert_eq!(penalties.turned_away(&"b", start), None);
        assert_eq!(penalties.turned_away(&"a", start + five * 3), None);
        for _ in 0..1000 {
            penalties.punish("a", five, start);
        }
        assert_eq!(penalties.turned_away(&"a", start), Some(Penalties::<&str>::MAXIMUM));
        penalties.forgive(&"a");
        assert_eq!(penalties.turned_away(&"a", start), None);
    }

    #[test]
    fn no_more_sources_are_remembered_than_there_is_room_for() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        for source in 1..Penalties::<usize>::SOURCES + 100 {
            penalties.punish(source, Penalties::<usize>::MINIMUM, now);
        }
        assert_eq!(penalties.until.len(), Penalties::<usize>::SOURCES);
        assert_eq!(penalties.order.len(), Penalties::<usize>::SOURCES);
    }

    #[test]
    fn many_small_offenders_do_not_flush_a_great_one_out() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        penalties.punish(0, Penalties::<usize>::MAXIMUM, now);
        for source in 1..2 * Penalties::<usize>::SOURCES {
            penalties.punish(source, Penalties::<usize>::MINIMUM, now);
        }
        assert_eq!(penalties.turned_away(&0, now), Some(Penalties::<usize>::MAXIMUM));
    }
}
