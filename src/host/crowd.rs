//! Crowds that come and go, whose memory is worth giving back.

/// Sees when a crowd has gone.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The most connections since memory was last given back.
    most: usize,
}

impl Crowd {
    /// So many have to have left for it to be worth the time.
    const WORTH: usize = 32;

    /// Takes notice of how many connections there are; whether most of a crowd has left by now.
    pub(super) fn has_left(&mut self, now: usize) -> bool {
        self.most = self.most.max(now);
        let left = self.most - now >= Self::WORTH.max(self.most / 2);
        if left {
            self.most = now;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_left_when_half_of_it_has() {
        let mut crowd = Crowd::default();
        assert!(!crowd.has_left(1000) && !crowd.has_left(501));
        assert!(crowd.has_left(500));
        assert!(!crowd.has_left(500) && !crowd.has_left(251) && crowd.has_left(10));
    }

    #[test]
    fn a_few_are_no_crowd() {
        let mut crowd = Crowd::default();
        assert!(!crowd.has_left(31) && !crowd.has_left(0));
    }
}
