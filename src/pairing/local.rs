//! The local network, on which a code is found with no server: as a host is found there by its key, so is who shows a code
//! by the key of its nameplate.

use std::time::Duration;

use iroh::{Endpoint, EndpointAddr, EndpointId};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::nameplate::Nameplate;
use crate::transport::{
    Network,
    lan::{self, Search},
};

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

/// Has an endpoint found by a nameplate on this network until the handle is dropped. Nothing where that cannot be.
pub(super) fn announce(
    endpoint: &Endpoint,
    network: &Network,
    nameplate: Nameplate,
) -> Option<AbortOnDropHandle<()>> {
    let is_heard = obstacle(network).is_none() && lan::is_heard(endpoint);
    is_heard.then(|| lan::announce(endpoint, nameplate.key().public()))
}

/// Whether somebody else on this network has a nameplate.
pub(super) async fn is_taken(own: EndpointId, network: &Network, nameplate: Nameplate) -> bool {
    match Listening::begin(own, network, nameplate) {
        Some(mut others) => timeout(OBJECTIONS, others.next()).await.is_ok(),
        None => false,
    }
}

/// Hears of those who have a nameplate on this network.
pub(super) struct Listening {
    own: EndpointId,
    search: Search,
}

impl Listening {
    /// Nothing where the network is not to be asked.
    pub(super) fn begin(own: EndpointId, network: &Network, nameplate: Nameplate) -> Option<Self> {
        if obstacle(network).is_some() {
            return None;
        }
        Some(Self { own, search: Search::for_one(nameplate.key().public(), &network.bind) })
    }

    /// Who is heard of next, as often as somebody says so. Cancel safe.
    pub(super) async fn next(&mut self) -> EndpointAddr {
        loop {
            let told = self.search.next().await;
            if told.id != self.own {
                return told.addresses.into_iter().fold(told.id.into(), EndpointAddr::with_ip_addr);
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
