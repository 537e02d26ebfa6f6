//! Those who are here and may not stay.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::MissedTickBehavior};

use super::{
    crowd::Crowd,
    lists::Ended,
    peers::Identity,
    roll::{Departure, Standing},
    shared::Shared,
};
use crate::memory::give_back;

/// How often the list of peers is looked at for changes that nobody has told of.
const PEERS_CHECK: Duration = Duration::from_secs(1);

impl Shared {
    /// Looks now and then at who is here.
    pub(super) async fn keep_checking_peers(self: Arc<Self>) {
        let mut check = tokio::time::interval(PEERS_CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut crowd = Crowd::default();
        loop {
            check.tick().await;
            {
                let _one_after_the_other = self.edits.lock().await;
                self.check_peers().await;
            }
            self.audit.sum_up();
            let (now, most) = self.registry.connections();
            if crowd.has_left(now, most, self.sessions.moved()) {
                let _ = spawn_blocking(give_back).await;
            }
        }
    }

    /// Closes the connections, and ends the sessions, of all who are no longer admitted, or not to the same as when they
    /// came; says how many.
    pub(super) async fn check_peers(self: &Arc<Self>) -> Vec<Ended> {
        // First who is here, then the list: who came in with an invite meanwhile is on it.
        let (connections, sessions) = (self.registry.admitted(), self.sessions.standings());
        if connections.is_empty() && sessions.is_empty() {
            return Vec::new();
        }
        let shared = self.clone();
        let leaving = spawn_blocking(move || {
            let may_stay = shared.admission.roll_call();
            (leaving(sessions, &may_stay), leaving(connections, &may_stay))
        });
        let (sessions, connections) = leaving.await.unwrap_or_default();
        let mut ended: BTreeMap<Identity, Ended> = BTreeMap::new();
        for (session, standing, departure) in sessions {
            self.sessions.close(session, departure.into()).await;
            ended.entry(standing.peer.identity).or_insert_with(|| Ended::of(&standing)).sessions += 1;
        }
        for (serial, standing, departure) in connections {
            self.registry.close(serial, departure.into());
            tracing::info!(peer = %standing.peer.identity, "connection closed: {departure}");
            ended.entry(standing.peer.identity).or_insert_with(|| Ended::of(&standing)).connections += 1;
        }
        ended.into_values().collect()
    }
}

/// Who of these may not stay, and why.
fn leaving<T>(
    here: Vec<(T, Arc<Standing>)>,
    may_stay: impl Fn(&Standing) -> Result<(), Departure>,
) -> Vec<(T, Arc<Standing>, Departure)> {
    let leaves = |(what, standing): (T, Arc<Standing>)| {
        let departure = may_stay(&standing).err()?;
        Some((what, standing, departure))
    };
    here.into_iter().filter_map(leaves).collect()
}
