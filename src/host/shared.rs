//! What the tasks of a running host have in common.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use iroh::{EndpointAddr, EndpointId};
use tokio::sync::{Mutex as AsyncMutex, RwLock, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admission::{Admission, Admitted},
    audit::Audit,
    backend::{Backend, BuiltinServer},
    claim::Claim,
    event::Event,
    host_keys::HostKeys,
    limit_settings::LimitSettings,
    limits::Penalties,
    list_files::ListFiles,
    live_settings::Reread,
    newcomers::Newcomers,
    peers::Identity,
    registry::Registry,
    sessions::Sessions,
    startups::Startups,
};
use crate::{
    protocol::{Refusal, RefusalCode},
    transport::InviteSecret,
};

/// How a host is told to stop; clones stop the same host.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Take no new sessions, and end when the last one has or the drain time is over.
    pub drain: CancellationToken,
    /// End now.
    pub now: CancellationToken,
    /// Let go of everything, for another process to go on with it.
    pub hand_over: CancellationToken,
}

/// What the tasks of a host have in common.
pub(super) struct Shared {
    pub(super) id: EndpointId,
    /// Where it is, as tickets tell it, once that is known.
    pub(super) addr: watch::Sender<Option<EndpointAddr>>,
    pub(super) started: Instant,
    pub(super) files: ListFiles,
    pub(super) reread: Option<Reread>,
    /// Held by who changes lists or settings, until it has seen to who may stay.
    pub(super) edits: AsyncMutex<()>,
    /// What processes of this user have asked for.
    pub(super) calls: TaskTracker,
    pub(super) admission: Admission,
    pub(super) backend: Backend,
    pub(super) builtin: BuiltinServer,
    /// Logins under way at the built-in server.
    pub(super) startups: Startups,
    pub(super) name: String,
    pub(super) limits: RwLock<LimitSettings>,
    pub(super) registry: Registry,
    pub(super) sessions: Sessions,
    pub(super) stop: Stop,
    /// Since when it waits for sessions to end, and for how long it does.
    pub(super) draining: OnceLock<(Instant, Duration)>,
    pub(super) audit: Audit,
    /// Connections that have not yet been admitted or refused.
    pub(super) newcomers: Mutex<Newcomers>,
    pub(super) tasks: TaskTracker,
    /// Identities that were refused.
    pub(super) penalties: Mutex<Penalties<Identity>>,
    pub(super) host_keys: Arc<HostKeys>,
}

impl Shared {
    /// Whether another process is to go on with all that there is.
    pub(super) fn is_handing_over(&self) -> bool {
        self.stop.hand_over.is_cancelled()
    }

    pub(super) fn penalize(&self, identity: Identity, seconds: u64) {
        let mut penalties = self.penalties.lock().unwrap_or_else(PoisonError::into_inner);
        penalties.punish(identity, Duration::from_secs(seconds), Instant::now());
    }

    fn turned_away(&self, identity: &Identity) -> Option<Duration> {
        let mut penalties = self.penalties.lock().unwrap_or_else(PoisonError::into_inner);
        penalties.turned_away(identity, Instant::now())
    }

    /// Forgets what an identity has done.
    pub(super) fn forgive(&self, identity: &Identity) {
        self.penalties.lock().unwrap_or_else(PoisonError::into_inner).forgive(identity);
    }

    /// Decides about an identity that has been proved, and writes down whom it lets in, however the connection
    /// fares. Reads and may write files: not for an async task.
    pub(super) fn decide(&self, claim: Claim, invite: Option<&InviteSecret>) -> Result<Admitted, Refusal> {
        let penalty = self.turned_away(&claim.identity);
        // Who is on the list by now need not wait for what was before.
        match penalty.filter(|_| !self.admission.lets_in(&claim)) {
            Some(left) => {
                let sentence = format!("you were refused too often\ntry again in {} s", left.as_secs() + 1);
                Err(Refusal::new(RefusalCode::Busy, sentence))
            }
            None => self.admission.admit(claim, invite).inspect(|admitted| self.audit.admitted(admitted)),
        }
    }

    /// Waits for sessions to end, for as long as a stop allows.
    pub(super) async fn drain(&self) {
        let sessions = self.registry.sessions();
        if self.stop.now.is_cancelled() || sessions == 0 {
            return;
        }
        tracing::info!(sessions, "draining");
        self.audit.event(Event::Draining { sessions });
        let drain = self.limits.read().await.drain();
        let _ = self.draining.set((Instant::now(), drain));
        tokio::select! {
            () = self.registry.empty() => {}
            () = self.stop.now.cancelled() => {}
            () = tokio::time::sleep(drain) => {}
        }
    }
}
