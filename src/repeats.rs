//! What happens again and again: told one by one for a while, and then in sum.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Counts what is told in a minute.
#[derive(Debug)]
pub(crate) struct Repeats<K> {
    /// How many are told one by one: of one kind, and in all.
    each: u32,
    all: u32,
    began: Option<Instant>,
    told: u32,
    of: HashMap<K, Count>,
    /// Those for whom there was no room in `of`.
    others: u64,
}

#[derive(Debug, Default)]
struct Count {
    told: u32,
    more: u64,
}

impl<K: Hash + Eq> Repeats<K> {
    /// What is summed up at once.
    pub(crate) const WINDOW: Duration = Duration::from_secs(60);

    /// Kinds that are told apart.
    const KINDS: usize = 1024;

    pub(crate) fn new(each: u32, all: u32) -> Self {
        Self { each, all, began: None, told: 0, of: HashMap::new(), others: 0 }
    }

    /// Whether this one is told by itself; it is counted otherwise.
    pub(crate) fn tell(&mut self, kind: K, now: Instant) -> bool {
        self.began.get_or_insert(now);
        if self.of.len() >= Self::KINDS && !self.of.contains_key(&kind) {
            self.others += 1;
            return false;
        }
        let count = self.of.entry(kind).or_default();
        if count.told >= self.each || self.told >= self.all {
            count.more += 1;
            return false;
        }
        count.told += 1;
        self.told += 1;
        true
    }

    /// What was not told by itself, once the time is over: how many of each kind, and of those that were not
    /// told apart.
    pub(crate) fn sum_up(&mut self, now: Instant) -> Vec<(Option<K>, u64)> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) < Self::WINDOW) {
            return Vec::new();
        }
        let Self { of, others, .. } = std::mem::replace(self, Self::new(self.each, self.all));
        let counted = of.into_iter().map(|(kind, count)| (Some(kind), count.more));
        counted.chain([(None, others)]).filter(|(_, more)| *more > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_told_and_the_rest_in_sum() {
        let (mut repeats, start) = (Repeats::new(3, 100), Instant::now());
        let told = (0..50).filter(|_| repeats.tell("a", start)).count();
        assert!(repeats.tell("b", start));
        assert_eq!((told, repeats.sum_up(start)), (3, Vec::new()));
        let later = start + Repeats::<&str>::WINDOW;
        assert_eq!(repeats.sum_up(later), [(Some("a"), 47)]);
        assert!(repeats.tell("a", later) && repeats.sum_up(later).is_empty());
    }

    #[test]
    fn a_crowd_of_many_kinds_is_summed_up_too() {
        let (mut repeats, start) = (Repeats::new(3, 100), Instant::now());
        let told = (0..5000).filter(|kind| repeats.tell(*kind, start)).count();
        let sums = repeats.sum_up(start + Repeats::<i32>::WINDOW);
        assert_eq!(told, 100);
        assert_eq!(sums.iter().map(|(_, more)| more).sum::<u64>(), 4900);
        assert!(sums.len() <= Repeats::<i32>::KINDS + 1);
    }
}
