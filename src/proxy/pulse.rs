//! Whether a connection still carries anything: whether what is sent on it is acknowledged.
//!
//! That a path is heard says nothing: it may carry the other side's packets and not ours.

use std::time::Duration;

use iroh::endpoint::Connection;
use tokio::time::{Instant, sleep};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long something may stay unacknowledged, and how many round trips at least. Who is wrong about it has dialled in
/// vain: the old connection goes on if it comes back first.
const SILENCE: Duration = Duration::from_secs(1);
const ROUND_TRIPS: u32 = 4;

/// The machine has slept when the clock that counts sleep is so much ahead.
const SLEPT: Duration = Duration::from_secs(2);

/// Looks at a connection.
pub(super) struct Pulse<'a> {
    connection: &'a Connection,
    /// Acknowledgements that were received, and packets that ask for one that were sent before the last of them.
    acknowledged: u64,
    sent: u64,
    /// Since when something that was sent waits for its acknowledgement.
    waits: Option<Instant>,
    looked: Instant,
}

impl<'a> Pulse<'a> {
    pub(super) fn of(connection: &'a Connection) -> Self {
        let (sent, acknowledged) = counts(connection);
        Self { connection, acknowledged, sent, waits: None, looked: Instant::now() }
    }

    /// Resolves when nothing that was sent was acknowledged for some seconds, or the machine has slept.
    pub(super) async fn stops(mut self) {
        loop {
            let asleep = asleep();
            sleep(LOOK).await;
            if self.is_silent(Instant::now()) || self::asleep().saturating_sub(asleep) > SLEPT {
                return;
            }
        }
    }

    /// Resolves when something is acknowledged.
    pub(super) async fn comes_back(self) {
        while counts(self.connection).1 == self.acknowledged {
            sleep(LOOK / 10).await;
        }
    }

    fn is_silent(&mut self, now: Instant) -> bool {
        let (sent, acknowledged) = counts(self.connection);
        let before = std::mem::replace(&mut self.looked, now);
        if acknowledged != self.acknowledged {
            (self.acknowledged, self.sent, self.waits) = (acknowledged, sent, None);
        } else if sent != self.sent {
            let since = *self.waits.get_or_insert(before);
            return now - since >= SILENCE.max(round_trip(self.connection) * ROUND_TRIPS);
        }
        false
    }
}

/// Frames that ask for an acknowledgement and were sent, and acknowledgements that were received.
fn counts(connection: &Connection) -> (u64, u64) {
    let stats = connection.stats();
    let (sent, received) = (stats.frame_tx, stats.frame_rx);
    (sent.stream + sent.ping + sent.max_data + sent.max_stream_data, received.acks + received.path_acks)
}

/// How long an answer takes on the path that is used.
fn round_trip(connection: &Connection) -> Duration {
    let paths = connection.paths();
    paths.iter().find(|path| path.is_selected()).map(|path| path.rtt()).unwrap_or_default()
}

/// How long the machine has slept since it was started: what the clock that counts sleep is ahead of the other.
fn asleep() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let of = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    #[cfg(target_os = "linux")]
    return of(ClockId::Boottime).saturating_sub(of(ClockId::Monotonic));
    #[cfg(not(target_os = "linux"))]
    return of(ClockId::Monotonic).saturating_sub(of(ClockId::Monotonic));
}
