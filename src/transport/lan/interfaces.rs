//! The networks that this machine is on, as far as all machines there can be spoken to at once.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::{InterfaceFlags, if_nametoindex},
    sys::socket::SockaddrStorage,
};

/// Interfaces that are used, at the most: a machine with many containers has hundreds.
const MOST: usize = 16;

/// Addresses of one family that an interface tells, at the most.
const MOST_ADDRESSES: usize = 4;

/// An interface, with the addresses of it that an endpoint can be reached by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) networks: Vec<Network>,
}

/// An address of this machine, and how many of its bits those of its network have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network {
    pub(super) address: IpAddr,
    prefix: u32,
}

impl Interface {
    /// Whether an address is on one of its networks.
    pub(super) fn leads_to(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn contains(&self, other: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| (a ^ b).checked_shr(bits - self.prefix).unwrap_or(0) == 0;
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// The interfaces of an endpoint that is bound to these addresses. One that is bound to an address of its own uses the
/// interface of that one alone, which may be loopback.
pub(super) fn look(bound: &[SocketAddr]) -> Vec<Interface> {
    let mut found: BTreeMap<String, Vec<Network>> = BTreeMap::new();
    for each in getifaddrs().into_iter().flatten() {
        if let Some(network) = network_of(&each).filter(|network| is_used(bound, network.address, each.flags))
        {
            found.entry(each.interface_name).or_default().push(network);
        }
    }
    let with_index = |(name, networks): (String, _)| {
        Some(Interface { index: if_nametoindex(name.as_str()).ok()?, name, networks: few(networks) })
    };
    let mut interfaces: Vec<_> = found.into_iter().filter_map(with_index).collect();
    interfaces.sort_by_key(|interface| interface.index);
    interfaces.truncate(MOST);
    interfaces
}

/// Whether an endpoint is reached by an address, on a network where all can be spoken to.
fn is_used(bound: &[SocketAddr], address: IpAddr, flags: InterfaceFlags) -> bool {
    use InterfaceFlags as Flag;
    // A tunnel leads to machines that are no neighbours.
    let is_shared = flags.contains(Flag::IFF_MULTICAST) && !flags.contains(Flag::IFF_POINTOPOINT);
    let is_loopback = flags.contains(Flag::IFF_LOOPBACK);
    flags.contains(Flag::IFF_UP | Flag::IFF_RUNNING)
        && (is_shared || is_loopback)
        && bound.iter().map(SocketAddr::ip).any(|bound| {
            let any = bound.is_unspecified() && bound.is_ipv4() == address.is_ipv4();
            bound == address || (any && !is_loopback)
        })
}

fn network_of(each: &InterfaceAddress) -> Option<Network> {
    let address = ip(each.address.as_ref()?)?;
    // Who is told such an address does not know by which interface it leads here.
    if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
        return None;
    }
    let prefix = match (each.netmask.as_ref().and_then(ip), address) {
        (Some(IpAddr::V4(mask)), IpAddr::V4(_)) => mask.to_bits().leading_ones(),
        (Some(IpAddr::V6(mask)), IpAddr::V6(_)) => mask.to_bits().leading_ones(),
        // Alone.
        (_, IpAddr::V4(_)) => 32,
        (_, IpAddr::V6(_)) => 128,
    };
    Some(Network { address, prefix })
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

/// The same ones each time, as long as there are the same.
fn few(mut networks: Vec<Network>) -> Vec<Network> {
    networks.sort_unstable();
    networks.dedup();
    let (mut v4, mut v6): (Vec<_>, Vec<_>) =
        networks.into_iter().partition(|network| network.address.is_ipv4());
    v4.truncate(MOST_ADDRESSES);
    v6.truncate(MOST_ADDRESSES);
    v4.append(&mut v6);
    v4
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `192.168.1.5/24`.
    pub(in super::super) fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').expect("a prefix");
        Network { address: address.parse().expect(text), prefix: prefix.parse().expect(text) }
    }

    fn bound(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| SocketAddr::new(address.parse().expect("an address"), 4433)).collect()
    }

    #[test]
    fn a_network_is_told_from_its_neighbours() {
        for (own, other, expected) in [
            ("192.168.1.5/24", "192.168.1.77", true),
            ("192.168.1.5/24", "192.168.2.77", false),
            ("192.168.1.5/32", "192.168.1.6", false),
            ("192.168.1.5/32", "192.168.1.5", true),
            ("10.0.0.1/0", "203.0.113.9", true),
            ("fd77::1/64", "fd77::ffff", true),
            ("fd77::1/64", "fd78::1", false),
            ("::1/0", "2001:db8::1", true),
            ("fd77::1/64", "10.0.0.1", false),
        ] {
            assert_eq!(network(own).contains(other.parse().expect(other)), expected, "{own} {other}");
        }
    }

    #[test]
    fn loopback_and_tunnels_are_for_who_is_bound_there_or_nobody() {
        use InterfaceFlags as Flag;
        let up = Flag::IFF_UP | Flag::IFF_RUNNING;
        let (ethernet, lo) = (up | Flag::IFF_MULTICAST, up | Flag::IFF_LOOPBACK);
        let tunnel = ethernet | Flag::IFF_POINTOPOINT;
        let down = Flag::IFF_UP | Flag::IFF_MULTICAST;
        for (addresses, address, flags, expected) in [
            (&["0.0.0.0", "::"][..], "192.168.1.5", ethernet, true),
            (&["0.0.0.0", "::"], "fd77::1", ethernet, true),
            (&["0.0.0.0"], "fd77::1", ethernet, false),
            (&["0.0.0.0"], "192.168.1.5", down, false),
            (&["0.0.0.0"], "10.8.0.2", tunnel, false),
            (&["0.0.0.0"], "127.0.0.1", lo, false),
            (&["127.0.0.1"], "127.0.0.1", lo, true),
            (&["127.0.0.1"], "192.168.1.5", ethernet, false),
            (&["192.168.1.5"], "192.168.1.5", ethernet, true),
            (&["192.168.1.5"], "192.168.1.6", ethernet, false),
            (&[], "192.168.1.5", ethernet, false),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(
                is_used(&bound(addresses), address, flags),
                expected,
                "{addresses:?} {address} {flags:?}"
            );
        }
    }

    #[test]
    fn an_interface_of_many_addresses_tells_a_few_of_each_family() {
        let many = (1..=50).map(|last| network(&format!("192.168.1.{last}/24")));
        let chosen = few(many.chain([network("fd77::1/64")]).collect());
        assert_eq!(chosen.len(), MOST_ADDRESSES + 1);
        assert!(chosen.contains(&network("fd77::1/64")));
    }

    #[test]
    fn who_is_bound_to_loopback_has_that_alone() {
        let interfaces = look(&bound(&["127.0.0.1"]));
        assert_eq!(interfaces.len(), 1, "{interfaces:?}");
        assert!(interfaces[0].leads_to("127.0.0.9".parse().expect("an address")));
        assert!(!look(&bound(&["0.0.0.0"])).iter().any(|found| found.index == interfaces[0].index));
    }
}
