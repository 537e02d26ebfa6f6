//! What routers do to packets, and which they let pass.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::lab::router::Router;
use crate::lab::spec::{Nat, RouterChange, RouterSpec};

const TCP: u8 = 6;
const UDP: u8 = 17;

fn at(address: &str) -> SocketAddrV4 {
    address.parse().expect("a socket's address")
}

/// A router, and the time there.
struct Home {
    router: Router,
    now: Instant,
}

impl Home {
    fn behind(nat: Nat) -> Self {
        let spec = RouterSpec { nat, lifetime: Duration::from_secs(30) };
        Self { router: Router::new(&spec, [10, 77, 0, 1].into()), now: Instant::now() }
    }

    /// By which socket somebody outside sees one inside that sends it something.
    fn send(&mut self, protocol: u8, from: &str, to: &str) -> Option<SocketAddrV4> {
        let mut packet = packet(protocol, at(from), at(to));
        let passes = self.router.send(self.now, &mut packet);
        passes.then(|| {
            let (source, destination) = ends(&packet);
            assert_eq!(destination, at(to));
            source
        })
    }

    /// Which socket inside gets what somebody outside sends.
    fn receive(&mut self, protocol: u8, from: &str, to: SocketAddrV4) -> Option<SocketAddrV4> {
        let mut packet = packet(protocol, at(from), to);
        let passes = self.router.receive(self.now, &mut packet);
        passes.then(|| {
            let (source, destination) = ends(&packet);
            assert_eq!(source, at(from));
            destination
        })
    }
}

/// A packet with its checksums; an odd number of bytes is in it.
fn packet(protocol: u8, from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
    let addresses = [from.ip().octets(), to.ip().octets()].concat();
    let mut inside = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    inside.resize(if protocol == TCP { 20 } else { 8 }, 0);
    inside.extend(b"bytes");
    let sum = checksum(&[&addresses, &[0, protocol, 0, inside.len() as u8], &inside]);
    let place = if protocol == TCP { 16 } else { 6 };
    inside[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    let mut header = vec![0x45, 0, 0, 20 + inside.len() as u8, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header.extend(&addresses);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header, inside].concat()
}

/// The sockets of a packet, whose checksums have to be right.
fn ends(packet: &[u8]) -> (SocketAddrV4, SocketAddrV4) {
    let (header, inside) = packet.split_at(20);
    assert_eq!(checksum(&[header]), 0);
    let pseudo = [0, header[9], 0, inside.len() as u8];
    assert_eq!(checksum(&[&header[12..20], &pseudo, inside]), 0);
    let socket = |address: usize, port: usize| {
        let ip: [u8; 4] = header[address..address + 4].try_into().expect("four bytes");
        SocketAddrV4::new(ip.into(), u16::from_be_bytes([inside[port], inside[port + 1]]))
    };
    (socket(12, 0), socket(16, 2))
}

/// RFC 1071, over parts of which the last alone may be odd.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

const INSIDE: &str = "192.168.1.2:4433";
const ONE: &str = "10.77.0.2:9000";
const OTHER: &str = "10.77.0.3:9000";

#[test]
fn an_easy_router_shows_a_socket_at_one_port() {
    let mut home = Home::behind(Nat::Easy);
    for protocol in [TCP, UDP] {
        let seen = home.send(protocol, INSIDE, ONE).expect("it passes");
        assert_eq!(seen.ip().octets(), [10, 77, 0, 1]);
        assert_eq!(home.send(protocol, INSIDE, OTHER), Some(seen));
        assert_eq!(home.receive(protocol, OTHER, seen), Some(at(INSIDE)));
        assert_ne!(home.send(protocol, "192.168.1.2:4434", ONE), Some(seen));
    }
}

#[test]
fn a_hard_router_shows_a_socket_at_another_port_to_each() {
    let mut home = Home::behind(Nat::Hard);
    let [one, other] = [ONE, OTHER].map(|to| home.send(UDP, INSIDE, to).expect("it passes"));
    assert_ne!(one, other);
    assert_eq!(home.send(UDP, INSIDE, ONE), Some(one));
    assert_eq!(home.receive(UDP, ONE, one), Some(at(INSIDE)));
    assert_eq!(home.receive(UDP, ONE, other), None);
}

#[test]
fn nobody_comes_in_who_was_not_sent_anything() {
    for nat in [Nat::Easy, Nat::Hard] {
        let mut home = Home::behind(nat);
        let seen = home.send(UDP, INSIDE, ONE).expect("it passes");
        assert_eq!(home.receive(UDP, OTHER, seen), None);
        assert_eq!(home.receive(UDP, "10.77.0.2:9001", seen), None);
        assert_eq!(home.receive(TCP, ONE, seen), None);
    }
}

#[test]
fn without_translation_everybody_comes_in() {
    let mut host = Home::behind(Nat::None);
    assert_eq!(host.send(UDP, ONE, OTHER), Some(at(ONE)));
    assert_eq!(host.receive(UDP, "10.77.0.9:1", at(ONE)), Some(at(ONE)));
}

#[test]
fn udp_is_forgotten_that_nobody_sends() {
    for nat in [Nat::Easy, Nat::Hard] {
        let mut home = Home::behind(nat);
        let [udp, tcp] = [UDP, TCP].map(|protocol| home.send(protocol, INSIDE, ONE).expect("it passes"));
        home.now += Duration::from_secs(29);
        assert_eq!(home.receive(UDP, ONE, udp), Some(at(INSIDE)));
        home.now += Duration::from_secs(29);
        assert_eq!(home.receive(UDP, ONE, udp), Some(at(INSIDE)), "it was used");
        home.now += Duration::from_secs(30);
        assert_eq!(home.receive(UDP, ONE, udp), None);
        assert_eq!(home.receive(TCP, ONE, tcp), Some(at(INSIDE)));
    }
}

#[test]
fn what_is_flushed_gets_another_port() {
    let mut home = Home::behind(Nat::Easy);
    let before = home.send(UDP, INSIDE, ONE).expect("it passes");
    home.router.set(RouterChange::Flush);
    assert_eq!(home.receive(UDP, ONE, before), None);
    let after = home.send(UDP, INSIDE, ONE).expect("it passes");
    assert_eq!(after.ip(), before.ip());
    assert_ne!(after.port(), before.port());
}

#[test]
fn a_router_that_moves_has_another_address_and_no_mappings() {
    let mut home = Home::behind(Nat::Hard);
    let before = home.send(UDP, INSIDE, ONE).expect("it passes");
    home.router.set(RouterChange::Outside([10, 77, 0, 9].into()));
    assert_eq!(home.receive(UDP, ONE, before), None);
    let after = home.send(UDP, INSIDE, ONE).expect("it passes");
    assert_eq!(after.ip().octets(), [10, 77, 0, 9]);
}

#[test]
fn udp_that_is_blocked_passes_neither_way() {
    for nat in [Nat::None, Nat::Easy] {
        let mut home = Home::behind(nat);
        let udp = home.send(UDP, INSIDE, ONE).expect("it passes");
        home.router.set(RouterChange::Udp(false));
        assert_eq!(home.send(UDP, INSIDE, ONE), None);
        assert_eq!(home.receive(UDP, ONE, udp), None);
        assert!(home.send(TCP, INSIDE, ONE).is_some());
        home.router.set(RouterChange::Udp(true));
        assert!(home.send(UDP, INSIDE, ONE).is_some());
    }
}

#[test]
fn what_is_no_packet_of_a_known_protocol_passes_no_router_that_translates() {
    let mut home = Home::behind(Nat::Easy);
    let icmp = packet(1, at(INSIDE), at(ONE));
    let whole = packet(UDP, at(INSIDE), at(ONE));
    let mut fragment = whole.clone();
    fragment[6..8].copy_from_slice(&[0, 1]);
    for bytes in [&icmp[..], &fragment, &whole[..25], &whole[..19], &[]] {
        assert!(!home.router.send(home.now, &mut bytes.to_vec()), "{bytes:?}");
    }
}
