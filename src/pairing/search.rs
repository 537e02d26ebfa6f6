//! Looking for who shows a code, in all ways at once.

use std::{collections::HashSet, ops::ControlFlow, time::Duration};

use iroh::{Endpoint, EndpointAddr};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use super::{
    local::Listening,
    nameplate::Nameplate,
    record::{Notice, Record},
};
use crate::transport::Network;

/// How long one look at the name service may take, and how long the next one waits.
const LOOK: Duration = Duration::from_millis(800);
const PAUSE: Duration = Duration::from_millis(300);

/// How many are told of that were found in one way: of a nameplate there is one, or somebody plays.
const MOST: usize = 8;

/// Those who show a code of a nameplate, as they are found.
pub(super) struct Search {
    found: mpsc::Receiver<EndpointAddr>,
    /// They end with it.
    _ways: JoinSet<()>,
}

impl Search {
    pub(super) fn begin(endpoint: &Endpoint, network: &Network, nameplate: Nameplate) -> Self {
        let (tell, found) = mpsc::channel(MOST);
        let mut ways = JoinSet::new();
        ways.spawn(here(endpoint.clone(), network.clone(), nameplate, tell.clone()));
        if let Some(record) = Record::of(endpoint, network, nameplate) {
            ways.spawn(elsewhere(record, tell));
        }
        Self { found, _ways: ways }
    }

    /// The next one; nothing where there is no way left by which one could be found. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<EndpointAddr> {
        self.found.recv().await
    }
}

/// On this network, where each says where it is.
async fn here(
    endpoint: Endpoint,
    network: Network,
    nameplate: Nameplate,
    tell: mpsc::Sender<EndpointAddr>,
) {
    let Some(mut others) = Listening::begin(endpoint.id(), &network, nameplate).await else { return };
    let mut left = MOST;
    while let Some(addr) = others.next().await {
        left -= 1;
        if left == 0 || tell.send(addr).await.is_err() {
            return;
        }
    }
}

/// By the nameplate's record, which says who it is; where that is, is looked up as for any endpoint.
async fn elsewhere(record: Record, tell: mpsc::Sender<EndpointAddr>) {
    let mut seen = HashSet::new();
    while seen.len() < MOST {
        let found = |notice: Notice| {
            if seen.insert(notice.id) {
                // Who takes them keeps up: they are few.
                let _ = tell.try_send(notice.id.into());
            }
            ControlFlow::Continue(())
        };
        record.read(LOOK, found).await;
        if tell.is_closed() {
            return;
        }
        sleep(PAUSE).await;
    }
}
