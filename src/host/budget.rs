//! Memory for what is on its way through a host: what a connection may hold follows from how many there are.

/// So many bytes for what peers send and nobody has read yet, all connections together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget(u64);

impl Budget {
    /// What any connection may hold: enough for a stream at some speed.
    const LEAST: u64 = 256 << 10;

    /// What no connection needs more of: all of its streams full.
    const MOST: u64 = 128 << 20;

    /// What no session needs more of: 600 Mbit/s over 100 ms.
    const MOST_OF_A_SESSION: u64 = 8 << 20;

    /// A budget of so many MiB.
    pub(super) fn of_mib(mib: u32) -> Self {
        Self(u64::from(mib) << 20)
    }

    /// How many connections there may be.
    pub(super) fn connections(self) -> usize {
        usize::try_from(self.0 / Self::LEAST).unwrap_or(usize::MAX).max(1)
    }

    /// What each of so many connections may hold. In steps, so that few of those who come change what the
    /// others have.
    pub(super) fn window(self, connections: usize) -> u32 {
        let share = self.0 / connections.max(1).next_power_of_two() as u64;
        // No more than MOST, which fits.
        share.clamp(Self::LEAST, Self::MOST) as u32
    }

    /// What either side of a session may have sent and the other not delivered, where so many run: both are held by
    /// the host, what it sends until it is acknowledged.
    pub(super) fn session_window(self, sessions: usize) -> u32 {
        let share = self.0 / 2 / sessions.max(1).next_power_of_two() as u64;
        share.clamp(Self::LEAST, Self::MOST_OF_A_SESSION) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_within_the_budget() {
        for mib in [1, 64, 512, 4096] {
            let budget = Budget::of_mib(mib);
            for connections in 1..=budget.connections() {
                let all = u64::from(budget.window(connections)) * connections as u64;
                assert!(all <= u64::from(mib) << 20, "{mib} MiB, {connections} connections: {all}");
            }
        }
    }

    #[test]
    fn few_connections_have_all_they_can_use() {
        let budget = Budget::of_mib(512);
        assert_eq!([1, 4, 5, 100].map(|count| budget.window(count) >> 20), [128, 128, 64, 4]);
    }
}
