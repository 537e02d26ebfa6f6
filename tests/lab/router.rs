//! The router between a host and the network: translates addresses and forgets. No sockets, no clock.
//!
//! A mapping is never made twice: what was forgotten gets another port, as behind a carrier's router and as the
//! hosts have to bear.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::spec::{Nat, RouterChange, RouterSpec};

/// The protocols that are translated; others do not pass a router that translates.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The first port outside that a mapping gets.
const FIRST_PORT: u16 = 20_000;

/// One host's router.
#[derive(Debug)]
pub(crate) struct Router {
    nat: Nat,
    /// How long UDP stays mapped that nobody sends.
    lifetime: Duration,
    outside: Ipv4Addr,
    udp: bool,
    flows: Vec<Flow>,
    next_port: u16,
}

/// What is sent between a socket inside and one outside.
#[derive(Debug)]
struct Flow {
    protocol: u8,
    inside: SocketAddrV4,
    remote: SocketAddrV4,
    /// Where the socket inside is seen by the one outside.
    port: u16,
    used: Instant,
}

impl Router {
    pub(crate) const fn new(spec: &RouterSpec, outside: Ipv4Addr) -> Self {
        let RouterSpec { nat, lifetime } = *spec;
        Self { nat, lifetime, outside, udp: true, flows: Vec::new(), next_port: FIRST_PORT }
    }

    pub(crate) fn set(&mut self, change: RouterChange) {
        match change {
            RouterChange::Flush => self.flows.clear(),
            RouterChange::Outside(address) => {
                self.flows.clear();
                self.outside = address;
            }
            RouterChange::Udp(passes) => self.udp = passes,
        }
    }

    /// Whether what is sent to this address comes here; `None` where the host has the addresses itself.
    pub(crate) fn is_at(&self, address: Ipv4Addr) -> Option<bool> {
        (self.nat != Nat::None).then_some(address == self.outside)
    }

    /// Lets a packet of the host's out. False: it does not pass.
    pub(crate) fn send(&mut self, now: Instant, packet: &mut [u8]) -> bool {
        let Some(mut packet) = self.look(packet) else { return false };
        let Some((source, remote)) = packet.ends().filter(|_| self.nat != Nat::None) else {
            return self.nat == Nat::None;
        };
        let port = self.port_for(now, packet.protocol(), source, remote);
        packet.set(End::Source, SocketAddrV4::new(self.outside, port));
        true
    }

    /// Lets a packet for the host in. False: it does not pass.
    pub(crate) fn receive(&mut self, now: Instant, packet: &mut [u8]) -> bool {
        let Some(mut packet) = self.look(packet) else { return false };
        let Some((remote, destination)) = packet.ends().filter(|_| self.nat != Nat::None) else {
            return self.nat == Nat::None;
        };
        self.forget(now);
        let (protocol, port) = (packet.protocol(), destination.port());
        let mut flows = self.flows.iter_mut();
        let flow = flows.find(|flow| (flow.protocol, flow.port, flow.remote) == (protocol, port, remote));
        let Some(flow) = flow else { return false };
        flow.used = now;
        packet.set(End::Destination, flow.inside);
        true
    }

    /// `None`: UDP, which does not pass, or what is no packet of IPv4.
    fn look<'a>(&self, packet: &'a mut [u8]) -> Option<Packet<'a>> {
        Packet::of(packet).filter(|packet| self.udp || packet.protocol() != UDP)
    }

    /// The port by which a socket inside is seen by one outside.
    fn port_for(&mut self, now: Instant, protocol: u8, inside: SocketAddrV4, remote: SocketAddrV4) -> u16 {
        self.forget(now);
        let of_socket = |flow: &&mut Flow| flow.protocol == protocol && flow.inside == inside;
        if let Some(flow) = self.flows.iter_mut().filter(of_socket).find(|flow| flow.remote == remote) {
            flow.used = now;
            return flow.port;
        }
        let port = match self.flows.iter_mut().find(of_socket) {
            Some(flow) if self.nat == Nat::Easy => flow.port,
            _ => self.free_port(),
        };
        self.flows.push(Flow { protocol, inside, remote, port, used: now });
        port
    }

    fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        port
    }

    fn forget(&mut self, now: Instant) {
        let lifetime = self.lifetime;
        self.flows.retain(|flow| flow.protocol != UDP || now.duration_since(flow.used) < lifetime);
    }
}

/// Where a packet comes from, or goes.
#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

/// A packet of IPv4 (RFC 791).
pub(crate) struct Packet<'a>(&'a mut [u8]);

impl<'a> Packet<'a> {
    /// `None` for what is none.
    pub(crate) fn of(bytes: &'a mut [u8]) -> Option<Self> {
        let header = usize::from(*bytes.first()? & 15) * 4;
        (bytes[0] >> 4 == 4 && header >= 20 && bytes.len() >= header).then_some(Self(bytes))
    }

    pub(crate) fn source(&self) -> Ipv4Addr {
        self.address(End::Source)
    }

    pub(crate) fn destination(&self) -> Ipv4Addr {
        self.address(End::Destination)
    }

    const fn protocol(&self) -> u8 {
        self.0[9]
    }

    /// The sockets that it is sent from and to; `None` where it names none.
    fn ends(&self) -> Option<(SocketAddrV4, SocketAddrV4)> {
        let is_fragment = self.word(6) & 0x3fff != 0;
        let known = self.protocol() == TCP || self.protocol() == UDP;
        let whole = self.0.len() >= self.checksum()? + 2;
        let socket = |end| SocketAddrV4::new(self.address(end), self.word(self.port_at(end)));
        (known && whole && !is_fragment).then(|| (socket(End::Source), socket(End::Destination)))
    }

    /// Changes where it comes from or goes, and the checksums with it.
    fn set(&mut self, end: End, socket: SocketAddrV4) {
        let [a, b, c, d] = socket.ip().octets();
        let address = address_at(end);
        let words = [
            (address, u16::from_be_bytes([a, b])),
            (address + 2, u16::from_be_bytes([c, d])),
            (self.port_at(end), socket.port()),
        ];
        // UDP without a checksum has none afterwards.
        let checksum = self.checksum().filter(|at| self.protocol() == TCP || self.word(*at) != 0);
        for (at, word) in words {
            let old = self.word(at);
            self.put(at, word);
            // The checksum of IP covers its header alone; the others the addresses, too.
            let header = (at < self.header()).then_some(10);
            for sum in header.into_iter().chain(checksum) {
                self.put(sum, updated(self.word(sum), old, word));
            }
        }
    }

    const fn header(&self) -> usize {
        (self.0[0] & 15) as usize * 4
    }

    const fn port_at(&self, end: End) -> usize {
        self.header() + 2 * end as usize
    }

    /// Where the checksum of what is inside stands.
    const fn checksum(&self) -> Option<usize> {
        match self.protocol() {
            TCP => Some(self.header() + 16),
            UDP => Some(self.header() + 6),
            _ => None,
        }
    }

    fn address(&self, end: End) -> Ipv4Addr {
        let at = address_at(end);
        Ipv4Addr::new(self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3])
    }

    const fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    fn put(&mut self, at: usize, word: u16) {
        self.0[at..at + 2].copy_from_slice(&word.to_be_bytes());
    }
}

const fn address_at(end: End) -> usize {
    12 + 4 * end as usize
}

/// A checksum after a word that it covers has changed (RFC 1624, equation 3).
fn updated(sum: u16, old: u16, new: u16) -> u16 {
    let mut total = u32::from(!sum) + u32::from(!old) + u32::from(new);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}
