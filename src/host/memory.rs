//! Memory that a crowd has left behind goes back to the system.

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

/// Has the allocator give free pages back. glibc's keeps them otherwise, wherever a single small
/// thing above them is in use. Takes some milliseconds a gigabyte.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a call without pointers, which any thread may make (malloc_trim(3))")]
pub(super) fn give_back() {
    // SAFETY: malloc_trim has no preconditions.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give it back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}

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
