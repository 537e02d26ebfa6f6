//! Which of a machine's addresses a ticket tells: the few that help.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use iroh::{EndpointAddr, RelayUrl, TransportAddr};
use netwatch::interfaces::State;

/// Direct addresses in a ticket, at the most.
const MOST: usize = 8;

/// Relays in a ticket, at the most.
const MOST_RELAYS: usize = 4;

/// Bytes of relay URLs in a ticket, at the most. With them, eight addresses and a secret, an invite stays below the
/// 1,023 characters of a pattern of ssh's (known_hosts), and below what a command line or a chat takes for a word.
const MOST_RELAY_BYTES: usize = 320;

/// Names of interfaces that lead to containers and virtual machines on this machine.
const BRIDGES: [&str; 12] =
    ["docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "cni", "podman", "lxc", "lxd", "flannel", "cali"];

/// What is known of this machine's interfaces.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    of: BTreeMap<IpAddr, String>,
    default_route: Option<String>,
}

impl Interfaces {
    /// Asks the system.
    pub(crate) async fn look() -> Self {
        let state = State::new().await;
        let addrs = |(name, interface): (&String, &netwatch::interfaces::Interface)| {
            interface.addrs().map(|net| (net.addr(), name.clone())).collect::<Vec<_>>()
        };
        Self {
            of: state.interfaces.iter().flat_map(addrs).collect(),
            default_route: state.default_route_interface,
        }
    }

    /// How likely an address leads here from elsewhere; the least is the best.
    fn rank(&self, ip: IpAddr) -> Rank {
        let interface = self.of.get(&ip);
        if ip.is_loopback() || is_link_local(ip) {
            Rank::Here
        } else if interface.is_some_and(|name| BRIDGES.iter().any(|bridge| name.starts_with(bridge))) {
            Rank::Bridge
        } else if is_private(ip) {
            let by_default = interface.is_some() && interface == self.default_route.as_ref();
            if by_default { Rank::DefaultRoute } else { Rank::Private }
        } else {
            Rank::Global
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Global,
    DefaultRoute,
    Private,
    Bridge,
    /// Of no use to others.
    Here,
}

/// The address of a host as its tickets tell it, with all relays that it may move to.
pub(crate) fn few(addr: &EndpointAddr, relays: &[RelayUrl], interfaces: &Interfaces) -> EndpointAddr {
    let directs = few_directs(addr.ip_addrs().copied(), interfaces).into_iter().map(TransportAddr::Ip);
    let home = addr.relay_urls().cloned();
    let relays = few_relays(home, relays).into_iter().map(TransportAddr::Relay);
    EndpointAddr::from_parts(addr.id, directs.chain(relays))
}

/// One of each network first, the best networks first: an interface with 300 addresses is as good as one with one.
fn few_directs(addrs: impl Iterator<Item = SocketAddr>, interfaces: &Interfaces) -> Vec<SocketAddr> {
    let mut networks: BTreeMap<(Rank, Vec<u8>), BTreeSet<SocketAddr>> = BTreeMap::new();
    for addr in addrs {
        networks.entry((interfaces.rank(addr.ip()), network(addr.ip()))).or_default().insert(addr);
    }
    let useful =
        networks.keys().map(|(rank, _)| *rank).min().map_or(Rank::Here, |best| best.max(Rank::Private));
    let mut ordered: Vec<_> = networks
        .into_iter()
        .filter(|((rank, _), _)| *rank <= useful)
        .flat_map(|((rank, _), addrs)| {
            addrs.into_iter().enumerate().map(move |(nth, addr)| (nth, rank, addr))
        })
        .collect();
    ordered.sort_unstable();
    ordered.into_iter().map(|(.., addr)| addr).take(MOST).collect()
}

/// Those in use first, then those that are configured, in their order.
fn few_relays(home: impl Iterator<Item = RelayUrl>, configured: &[RelayUrl]) -> Vec<RelayUrl> {
    let mut kept: Vec<RelayUrl> = Vec::new();
    for url in home.chain(configured.iter().cloned()) {
        let bytes: usize = kept.iter().map(|url| url.as_str().len()).sum();
        let fits = kept.is_empty() || bytes + url.as_str().len() <= MOST_RELAY_BYTES;
        if fits && kept.len() < MOST_RELAYS && !kept.contains(&url) {
            kept.push(url);
        }
    }
    kept
}

/// The bytes that addresses of one network have in common, by the usual lengths of prefixes.
fn network(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3].to_vec(),
        IpAddr::V6(ip) => ip.octets()[..8].to_vec(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// RFC 1918, RFC 4193, and the shared space of RFC 6598, which overlay networks use too.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use iroh_tickets::endpoint::EndpointTicket;

    use super::*;
    use crate::transport::{Invite, InviteSecret, Target};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn chosen(interfaces: &Interfaces, addrs: &[&str]) -> Vec<String> {
        let addrs = addrs.iter().map(|text| SocketAddr::new(ip(text), 4433));
        few_directs(addrs, interfaces).into_iter().map(|addr| addr.ip().to_string()).collect()
    }

    #[test]
    fn the_addresses_that_help_most_come_first_and_those_that_do_not_help_are_left_out() {
        let of = [("eth0", "192.168.1.5"), ("docker0", "172.17.0.1"), ("eth1", "10.1.2.3")];
        let of = of.into_iter().map(|(name, addr)| (ip(addr), name.to_owned())).collect();
        let interfaces = Interfaces { of, default_route: Some("eth0".to_owned()) };
        let addrs = ["fe80::1", "10.1.2.3", "172.17.0.1", "192.168.1.5", "203.0.113.7", "127.0.0.1"];
        assert_eq!(chosen(&interfaces, &addrs), ["203.0.113.7", "192.168.1.5", "10.1.2.3"]);
        assert_eq!(chosen(&interfaces, &["172.17.0.1", "fe80::1"]), ["172.17.0.1"]);
        assert_eq!(chosen(&interfaces, &["127.0.0.1"]), ["127.0.0.1"]);
    }

    #[test]
    fn a_network_of_many_addresses_does_not_crowd_out_the_others() {
        let many: Vec<_> = (1..=200).map(|last| format!("203.0.113.{last}")).collect();
        let mut addrs: Vec<_> = many.iter().map(String::as_str).collect();
        addrs.push("192.168.1.5");
        let chosen = chosen(&Interfaces::default(), &addrs);
        assert_eq!(chosen.len(), MOST);
        assert!(chosen.contains(&"192.168.1.5".to_owned()), "{chosen:?}");
    }

    #[test]
    fn the_largest_invite_is_read_again_and_is_a_name_for_ssh() {
        let id = iroh::SecretKey::from_bytes(&[7; 32]).public();
        let directs =
            (0..300).map(|network| SocketAddr::new(ip(&format!("2001:db8:{network:x}::ffff:ffff")), 65535));
        let addr = directs.fold(EndpointAddr::new(id), EndpointAddr::with_ip_addr);
        let url = |number| format!("https://{number}.{}.example/", "relay-of-a-long-name".repeat(3));
        let relays: Vec<RelayUrl> = (0..20).map(|number| url(number).parse().expect("a URL")).collect();
        let addr = few(&addr, &relays, &Interfaces::default());
        assert_eq!((addr.ip_addrs().count(), addr.relay_urls().count()), (MOST, MOST_RELAYS));
        assert!(EndpointTicket::new(addr.clone()).to_string().parse::<Target>().is_ok());
        let invite = Invite { addr, secret: InviteSecret([9; 16]) }.to_string();
        assert!(invite.parse::<Target>().is_ok());
        // As `[invite….irosh]:*`, in a buffer of 1,024 bytes.
        assert!(format!("[{invite}.irosh]:*").len() < 1024, "{}", invite.len());
    }
}
