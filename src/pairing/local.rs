//! The local network, on which a code is found with no server (mDNS).
//!
//! Each nameplate is a service of its own, so that who looks for one hears of that alone, and a room full of machines
//! that pair at the same time is no crowd.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use iroh::{Endpoint, EndpointAddr, EndpointId};
use iroh_mdns_address_lookup::{DiscoveryEvent, MdnsAddressLookup};
use tokio::time::{Instant, timeout_at};

use super::nameplate::Nameplate;
use crate::transport::Network;

/// How often the network is asked while somebody waits for an answer.
const OFTEN: Duration = Duration::from_millis(200);

/// How long others have to say that they have a nameplate: to be asked, and to answer.
const OBJECTIONS: Duration = Duration::from_millis(600);

/// Whether an endpoint with this setting is reached from the local network at all.
fn is_reached(network: &Network) -> bool {
    let bound = &network.bind.0;
    bound.is_empty() || !bound.iter().all(|addr| addr.ip().is_loopback())
}

/// Has an endpoint found by a nameplate on this network, for as long as it looks addresses up. False where that cannot
/// be.
pub(super) fn announce(endpoint: &Endpoint, network: &Network, nameplate: Nameplate) -> bool {
    let lookup = is_reached(network)
        .then(|| MdnsAddressLookup::builder().service_name(nameplate.service()).build(endpoint.id()));
    match (lookup, endpoint.address_lookup()) {
        (Some(Ok(lookup)), Ok(lookups)) => {
            lookups.add(lookup);
            true
        }
        (Some(Err(error)), _) => {
            tracing::debug!("not announced on the local network: {error}");
            false
        }
        _ => false,
    }
}

/// Whether somebody else on this network has a nameplate.
pub(super) async fn is_taken(own: EndpointId, network: &Network, nameplate: Nameplate) -> bool {
    let end = Instant::now() + OBJECTIONS;
    match Listening::begin(own, network, nameplate).await {
        Some(mut others) => matches!(timeout_at(end, others.next()).await, Ok(Some(_))),
        None => false,
    }
}

/// Hears of those who have a nameplate on this network.
pub(super) struct Listening {
    events: Box<dyn Stream<Item = DiscoveryEvent> + Send + Unpin>,
    /// It asks for as long as it lives.
    _lookup: MdnsAddressLookup,
}

impl Listening {
    /// Nothing where the network cannot be asked.
    pub(super) async fn begin(own: EndpointId, network: &Network, nameplate: Nameplate) -> Option<Self> {
        if !is_reached(network) {
            return None;
        }
        let lookup = MdnsAddressLookup::builder()
            .service_name(nameplate.service())
            .advertise(false)
            .discovery_cadence(OFTEN)
            .build(own)
            .inspect_err(|error| tracing::debug!("the local network is not asked: {error}"))
            .ok()?;
        Some(Self { events: Box::new(lookup.subscribe().await), _lookup: lookup })
    }

    /// Who was found next, as often as where it is changes. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<EndpointAddr> {
        loop {
            if let DiscoveryEvent::Discovered { endpoint_info, .. } = self.events.next().await? {
                return Some(endpoint_info.into_endpoint_addr());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Bind;

    #[test]
    fn what_is_bound_to_loopback_alone_is_not_announced() {
        let reached = |text: &str| {
            let bind: Bind = text.parse().expect("addresses");
            is_reached(&Network { bind, ..Network::default() })
        };
        assert!(reached("") && reached("0.0.0.0:0") && reached("127.0.0.1:0,[::]:0"));
        assert!(!reached("127.0.0.1:0") && !reached("127.0.0.1:0,[::1]:0"));
    }
}
