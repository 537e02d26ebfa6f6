//! Whether a connection still carries anything: whether what is sent on it is acknowledged.
//!
//! That a path is heard says nothing: it may carry the other side's packets and not ours.

use std::time::Duration;

use iroh::endpoint::{Connection, FrameStats};
use tokio::time::{Instant, sleep};

/// How often it is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// How long something may stay unacknowledged, and how many round trips at least. Who is wrong about it has dialled in
/// vain: the old connection goes on if it comes back first.
const SILENCE: Duration = Duration::from_secs(1);
const ROUND_TRIPS: u32 = 4;

/// The machine has slept when the clock that counts sleep is so much ahead; the process was stopped when it is so late.
const SLEPT: Duration = Duration::from_secs(2);

/// What was last seen of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    /// Acknowledgements that were received, and packets that ask for one that were sent before the last of them.
    acknowledged: u64,
    sent: u64,
    /// Since when something that was sent waits for its acknowledgement.
    waits: Option<Instant>,
    looked: Instant,
}

impl Pulse {
    pub(crate) fn of(connection: &Connection) -> Self {
        let Counts { sent, acknowledged, .. } = Counts::of(connection);
        Self { acknowledged, sent, waits: None, looked: Instant::now() }
    }

    /// Looks again: whether nothing that was sent was acknowledged for so long, and some round trips.
    pub(crate) fn is_silent(&mut self, connection: &Connection, now: Instant, silence: Duration) -> bool {
        let Counts { sent, acknowledged, .. } = Counts::of(connection);
        let before = std::mem::replace(&mut self.looked, now);
        if acknowledged != self.acknowledged {
            (self.acknowledged, self.sent, self.waits) = (acknowledged, sent, None);
        } else if sent != self.sent {
            let since = *self.waits.get_or_insert(before);
            return now - since >= silence.max(round_trip(connection) * ROUND_TRIPS);
        }
        false
    }
}

/// Resolves when nothing that was sent was acknowledged for too long, or the machine has slept, or this process has stood
/// still.
pub(crate) async fn stops(connection: &Connection) {
    let mut pulse = Pulse::of(connection);
    loop {
        let (asleep, before) = (asleep(), Instant::now());
        sleep(LOOK).await;
        if pulse.is_silent(connection, Instant::now(), SILENCE)
            || self::asleep().saturating_sub(asleep) > SLEPT
            || before.elapsed() > LOOK + SLEPT
        {
            return;
        }
    }
}

/// Resolves when something is acknowledged, and something is heard that is to be acknowledged. One without the other is
/// half a way: who has sent in vain for long waits as long before it sends again, whatever it hears meanwhile.
pub(crate) async fn comes_back(connection: &Connection) {
    // What has arrived while this process stood still is old news.
    sleep(LOOK / 5).await;
    let before = Counts::of(connection);
    loop {
        let now = Counts::of(connection);
        if now.acknowledged != before.acknowledged && now.heard != before.heard {
            return;
        }
        sleep(LOOK / 5).await;
    }
}

/// What has passed on a connection.
struct Counts {
    /// Frames that ask for an acknowledgement and were sent.
    sent: u64,
    /// Acknowledgements that were received.
    acknowledged: u64,
    /// Frames that ask for an acknowledgement and were received.
    heard: u64,
}

impl Counts {
    fn of(connection: &Connection) -> Self {
        let stats = connection.stats();
        let asking = |of: &FrameStats| of.stream + of.ping + of.max_data + of.max_stream_data;
        let (sent, received) = (&stats.frame_tx, &stats.frame_rx);
        let acknowledged = received.acks + received.path_acks;
        Self { sent: asking(sent), acknowledged, heard: asking(received) }
    }
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
