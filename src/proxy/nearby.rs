//! A host that is on this network: asked for there, and dialled by what is told, beside all other ways.
//!
//! Whoever is on this network may tell what they like. So what one has told is dialled from an endpoint of its own, and what
//! is wrong with it holds up neither what others tell nor the ways that were known before.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use iroh::{EndpointAddr, EndpointId, endpoint::Connection};
use tokio::time::Instant;

use super::apart::Apart;
use crate::transport::{NameService, Network, Relay, lan::Search};

/// How long a host on this network may take to answer; then it may be dialled there once more.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// Addresses of one host that are dialled in such a time.
const MOST: usize = 16;

/// Connects to a host by the first address on this network that leads to it, for as long as anybody waits. `None` where
/// nobody can be asked.
pub(super) async fn connect_nearby(network: &Network, apart: &Apart, id: EndpointId) -> Option<Connection> {
    if !network.lan {
        return None;
    }
    let mut search = Search::for_one(id, &network.bind);
    if search.ask().await.is_empty() {
        return None;
    }
    let network = alone(network);
    let mut dialled: HashMap<SocketAddr, Instant> = HashMap::new();
    let mut dials = FuturesUnordered::new();
    loop {
        tokio::select! {
            told = search.next() => {
                let now = Instant::now();
                dialled.retain(|_, since| now - *since < ANSWER);
                // As who was looked for, whoever they say that they are.
                let mut addr = EndpointAddr::new(id);
                for address in told.addresses {
                    if dialled.len() < MOST && !dialled.contains_key(&address) {
                        dialled.insert(address, now);
                        tracing::debug!(%address, "told on this network");
                        addr = addr.with_ip_addr(address);
                    }
                }
                if !addr.is_empty() {
                    dials.push(apart.connect_once(&network, addr, now + ANSWER));
                }
            }
            Some(dialled) = dials.next() => if let Ok(connection) = dialled {
                return Some(connection);
            },
        }
    }
}

/// The same network without those who are not on it.
pub(super) fn alone(network: &Network) -> Network {
    Network { relay: Relay::None, dns: NameService::None, lan: false, ..network.clone() }
}
