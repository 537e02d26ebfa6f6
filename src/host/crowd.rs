//! Crowds that come and go, whose memory is worth giving back; and sessions that are one by what they moved.

/// Sees when a crowd has gone.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The most connections since memory was last given back.
    most: usize,
    /// Looks since most of a crowd had left; none once that is long ago.
    since: Option<u32>,
}

impl Crowd {
    /// So many have to have left for it to be worth the time.
    const WORTH: usize = 32;

    /// So much has to have been moved: tails, and what connections had under way.
    const BULK: u64 = 64 << 20;

    /// What QUIC keeps of closed connections goes some round trips later, and what iroh does of who had them after a
    /// minute: so many looks after.
    const AGAIN: [u32; 3] = [3, 12, 75];

    /// Takes notice of how many connections there are, a look each second or so; of the most that there were since the
    /// last look; and of how many bytes the sessions had moved that have ended since. Whether memory is worth giving
    /// back now, since most of a crowd has left.
    pub(super) fn has_left(&mut self, now: usize, most: usize, moved: u64) -> bool {
        self.most = self.most.max(most).max(now);
        if moved >= Self::BULK || self.most - now >= Self::WORTH.max(self.most / 2) {
            self.most = now;
            self.since = Some(0);
            return true;
        }
        self.since = self.since.map(|looks| looks + 1).filter(|looks| *looks <= Self::AGAIN[2]);
        self.since.is_some_and(|looks| Self::AGAIN.contains(&looks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_left_when_half_of_it_has() {
        let mut crowd = Crowd::default();
        assert!(!crowd.has_left(1000, 0, 0) && !crowd.has_left(501, 0, 0));
        assert!(crowd.has_left(500, 0, 0));
        assert!(!crowd.has_left(500, 0, 0) && !crowd.has_left(251, 0, 0) && crowd.has_left(10, 0, 0));
    }

    #[test]
    fn what_goes_later_is_given_back_later() {
        let mut crowd = Crowd::default();
        assert!(!crowd.has_left(100, 0, 0) && crowd.has_left(0, 0, 0));
        let later: Vec<u32> = (1..100).filter(|_| crowd.has_left(0, 0, 0)).collect();
        assert_eq!(later, Crowd::AGAIN);
    }

    #[test]
    fn a_crowd_that_comes_and_goes_between_two_looks_is_seen() {
        let mut crowd = Crowd::default();
        assert!(!crowd.has_left(1, 1, 0) && crowd.has_left(1, 200, 0) && !crowd.has_left(1, 1, 0));
    }

    #[test]
    fn a_session_that_moved_much_is_a_crowd() {
        let mut crowd = Crowd::default();
        assert!(!crowd.has_left(1, 1, Crowd::BULK - 1) && crowd.has_left(1, 1, Crowd::BULK));
        let later: Vec<u32> = (1..100).filter(|_| crowd.has_left(1, 1, 0)).collect();
        assert_eq!(later, Crowd::AGAIN);
    }

    #[test]
    fn a_few_are_no_crowd() {
        let mut crowd = Crowd::default();
        assert!(!crowd.has_left(31, 0, 0) && !crowd.has_left(0, 0, 0));
    }
}
