//! Why a connection goes by a relay and not directly, as far as it can be told from here.

use std::net::SocketAddr;

use iroh::{Endpoint, EndpointId, Watcher as _, unstable_net_report::NetReport};

use crate::transport::Network;

/// What is known of the two ends of a connection.
#[derive(Debug, Default)]
struct Ends {
    /// The addresses that are bound here.
    ours: Vec<SocketAddr>,
    /// The host's direct addresses, as far as they are known.
    theirs: Vec<SocketAddr>,
    udp: Udp,
    router: Router,
}

/// Whether UDP gets out from here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Udp {
    /// Nobody was asked: that takes a relay that tells by which address one is seen.
    #[default]
    Unknown,
    Passes,
    Blocked,
}

/// What the router here makes of a socket (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Router {
    /// It takes two relays to tell.
    #[default]
    Unknown,
    /// One port outside, whomever it sends to.
    OnePort,
    /// Another port for each whom it sends to.
    ManyPorts,
}

/// What keeps a connection from going directly, most likely; nothing where nothing is known yet.
pub(super) async fn why_relayed(
    endpoint: &Endpoint,
    network: &Network,
    host: EndpointId,
) -> Option<&'static str> {
    let report = endpoint.net_report().get()?;
    let told = endpoint.remote_info(host).await;
    let theirs = told.into_iter().flat_map(|info| info.into_addrs().map(|addr| addr.into_addr()));
    let theirs = theirs.filter_map(|addr| match addr {
        iroh::TransportAddr::Ip(addr) => Some(addr),
        _ => None,
    });
    let discovers = network.relay.urls().iter().any(|url| url.scheme() == "https");
    let ends = Ends {
        ours: endpoint.bound_sockets(),
        theirs: theirs.collect(),
        udp: udp(&report, discovers),
        router: router(&report),
    };
    Some(ends.reason())
}

fn udp(report: &NetReport, discovers: bool) -> Udp {
    match (report.has_udp(), discovers) {
        (true, _) => Udp::Passes,
        (false, true) => Udp::Blocked,
        (false, false) => Udp::Unknown,
    }
}

fn router(report: &NetReport) -> Router {
    match report.mapping_varies_by_dest() {
        Some(true) => Router::ManyPorts,
        Some(false) => Router::OnePort,
        None => Router::Unknown,
    }
}

impl Ends {
    /// What is known for certain goes first.
    fn reason(&self) -> &'static str {
        match self {
            Self { udp: Udp::Blocked, .. } => {
                "UDP is blocked on this side, it seems: no relay answers over it, and a direct path needs it"
            }
            Self { theirs, .. } if theirs.is_empty() => {
                "no address of the host's own is known: UDP may be blocked there, or it has told none yet"
            }
            Self { ours, theirs, .. } if !in_common(ours, theirs) => {
                "this side and the host have no address family in common: one has IPv4 and the other IPv6"
            }
            Self { router: Router::ManyPorts, .. } => {
                "the router on this side shows a socket at another port to each whom it sends to (hard NAT), and \
                 nothing gets in to the host's addresses: its router seems to be no better"
            }
            Self { router: Router::OnePort, .. } => {
                "the router on this side keeps ports, so it is the host's that shows others (hard NAT) or lets no \
                 UDP in"
            }
            Self { router: Router::Unknown, .. } => {
                "nothing gets in to the host's addresses over UDP: a firewall, or routers that show other ports \
                 (hard NAT); it takes two relays to tell which on this side"
            }
        }
    }
}

/// Whether a packet of one family at least may go from one to the other.
fn in_common(ours: &[SocketAddr], theirs: &[SocketAddr]) -> bool {
    theirs.iter().any(|addr| ours.iter().any(|own| own.is_ipv4() == addr.is_ipv4()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(ours: &str, theirs: &[&str]) -> Ends {
        let addr = |text: &str| text.parse().expect("an address");
        let theirs = theirs.iter().map(|text| addr(text)).collect();
        Ends { ours: vec![addr(ours)], theirs, ..Ends::default() }
    }

    fn says(ends: &Ends, words: &str) {
        assert!(ends.reason().contains(words), "{}", ends.reason());
    }

    #[test]
    fn what_is_known_for_certain_is_said_first() {
        let near = ends("0.0.0.0:0", &["192.0.2.1:4433"]);
        says(&near, "it takes two relays to tell");
        says(&Ends { router: Router::ManyPorts, ..near }, "its router seems to be no better");
        let near = ends("0.0.0.0:0", &["192.0.2.1:4433"]);
        says(&Ends { router: Router::OnePort, ..near }, "it is the host's");
        says(&ends("[::]:0", &["192.0.2.1:4433"]), "no address family in common");
        says(&ends("[::]:0", &[]), "no address of the host's own is known");
        says(&Ends { udp: Udp::Blocked, ..ends("[::]:0", &[]) }, "UDP is blocked on this side");
    }
}
