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

/// Why nobody is found here where it is not for a setting.
pub(super) const FAILS: &str = "the local network cannot be asked";

/// How long others have to say that they have a nameplate: to be asked, and to answer.
const OBJECTIONS: Duration = Duration::from_millis(600);

/// Why the local network is neither told nor asked by an endpoint with these settings, if it is not.
pub(super) fn obstacle(network: &Network) -> Option<&'static str> {
    let bound = &network.bind.0;
    if !network.lan {
        Some("the local network is not asked (lan = false)")
    } else if !bound.is_empty() && bound.iter().all(|addr| addr.ip().is_loopback()) {
        Some(FAILS)
    } else {
        None
    }
}

/// Has an endpoint found by a nameplate on this network, for as long as it looks addresses up. False where that cannot
/// be.
pub(super) fn announce(endpoint: &Endpoint, network: &Network, nameplate: Nameplate) -> bool {
    let lookup = obstacle(network)
        .is_none()
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
        if obstacle(network).is_some() {
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
    fn what_is_bound_to_loopback_alone_is_not_announced_nor_where_that_is_not_wanted() {
        let reached = |text: &str, lan| {
            let bind: Bind = text.parse().expect("addresses");
            obstacle(&Network { bind, lan, ..Network::default() }).is_none()
        };
        assert!(reached("", true) && reached("0.0.0.0:0", true) && reached("127.0.0.1:0,[::]:0", true));
        assert!(!reached("127.0.0.1:0", true) && !reached("127.0.0.1:0,[::1]:0", true));
        assert!(!reached("", false));
    }
}
