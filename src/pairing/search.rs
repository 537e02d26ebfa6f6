//! Looking for who shows a code, in all ways at once.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use iroh::{Endpoint, EndpointAddr, EndpointId};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    local::Listening,
    nameplate::Nameplate,
    record::{Notice, Record},
};
use crate::transport::Network;

/// How long one look at the name service may take, how often there is another, and how many there may be at a time:
/// where the way there is long, the next one does not wait for the last.
const LOOK: Duration = Duration::from_secs(5);
const OFTEN: Duration = Duration::from_millis(400);
const LOOKS: usize = 8;

/// How many are told of that were found in one way: of a nameplate there is one, or somebody plays.
const MOST: usize = 8;

/// Those who show a code of a nameplate, as they are found.
pub(super) struct Search {
    found: mpsc::Receiver<EndpointAddr>,
    /// Has the name service asked at once.
    again: Arc<Notify>,
    /// Whether that has answered, or there is none.
    has_answered: Arc<AtomicBool>,
    /// They end with it.
    _ways: JoinSet<()>,
}

impl Search {
    pub(super) fn begin(endpoint: &Endpoint, network: &Network, nameplate: Nameplate) -> Self {
        let (tell, found) = mpsc::channel(MOST);
        let (again, mut ways) = (Arc::new(Notify::new()), JoinSet::new());
        ways.spawn(here(endpoint.clone(), network.clone(), nameplate, tell.clone()));
        let record = Record::of(endpoint, network, nameplate);
        let has_answered = Arc::new(AtomicBool::new(record.is_none()));
        if let Some(record) = record {
            ways.spawn(elsewhere(record, Arc::clone(&again), Arc::clone(&has_answered), tell));
        }
        Self { found, again, has_answered, _ways: ways }
    }

    /// Whether all have been asked, and have answered, who know somebody elsewhere.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// The next one; nothing where there is no way left by which one could be found. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<EndpointAddr> {
        self.found.recv().await
    }

    /// Who was found is not the right one: somebody else may be there by now.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }
}

/// On this network, where each says where it is.
async fn here(endpoint: Endpoint, network: Network, nameplate: Nameplate, tell: mpsc::Sender<EndpointAddr>) {
    let Some(mut others) = Listening::begin(endpoint.id(), &network, nameplate) else { return };
    let mut seen = HashSet::new();
    while seen.len() < MOST {
        let addr = others.next().await;
        if seen.insert(addr.id) && tell.send(addr).await.is_err() {
            return;
        }
    }
}

/// By the nameplate's record, which says who it is; where that is, is looked up as for any endpoint.
async fn elsewhere(
    record: Record,
    again: Arc<Notify>,
    has_answered: Arc<AtomicBool>,
    tell: mpsc::Sender<EndpointAddr>,
) {
    let seen = Arc::<Mutex<HashSet<EndpointId>>>::default();
    let (mut looks, mut next) = (JoinSet::new(), interval(OFTEN));
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(heard) = looks.join_next() => {
                has_answered.fetch_or(heard.unwrap_or_default(), Ordering::Relaxed);
            }
            _ = next.tick() => if looks.len() < LOOKS {
                looks.spawn(look(record.clone(), Arc::clone(&seen), tell.clone()));
            },
            () = again.notified() => next.reset_immediately(),
            () = tell.closed() => return,
        }
    }
}

/// Whether anything was heard.
async fn look(
    record: Record,
    seen: Arc<Mutex<HashSet<EndpointId>>>,
    tell: mpsc::Sender<EndpointAddr>,
) -> bool {
    let found = |notice: Notice| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST && seen.insert(notice.id) {
            // Who takes them keeps up: they are few.
            let _ = tell.try_send(notice.id.into());
        }
        ControlFlow::Continue(())
    };
    record.read(LOOK, found).await
}
