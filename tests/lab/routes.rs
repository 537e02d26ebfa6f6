//! Which way a packet goes on the network between the hosts.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Instant;

use super::router::{Packet, Router};
use super::spec::{LinkSpec, RouterChange, Side};

/// The network, which knows who has which address from what each has sent.
#[derive(Debug)]
pub(crate) struct Routes {
    routers: [Router; 2],
    seen: HashMap<Ipv4Addr, Side>,
    /// Packets that each has got from each.
    carried: [[u64; 3]; 3],
}

impl Routes {
    pub(crate) fn new(spec: &LinkSpec) -> Self {
        let routers = Side::BOTH.map(|side| Router::new(&spec.routers[side.index()], side.address()));
        Self { routers, seen: Side::BOTH.map(|side| (side.address(), side)).into(), carried: [[0; 3]; 3] }
    }

    /// Changes one host's router.
    pub(crate) fn set(&mut self, side: Side, change: RouterChange) {
        if let Some(router) = self.router(side) {
            router.set(change);
        }
    }

    /// How many packets one has got from another.
    pub(crate) const fn carried(&self, from: Side, to: Side) -> u64 {
        self.carried[from.index()][to.index()]
    }

    /// Takes a packet through the routers on its way. Who gets it; `None`: nobody.
    pub(crate) fn forward(&mut self, now: Instant, from: Side, packet: &mut [u8]) -> Option<Side> {
        let to = self.lead(now, from, packet)?;
        self.carried[from.index()][to.index()] += 1;
        Some(to)
    }

    fn lead(&mut self, now: Instant, from: Side, packet: &mut [u8]) -> Option<Side> {
        if Packet::of(packet).is_none() {
            // IPv6, which the two hosts alone have.
            return Side::BOTH.into_iter().find(|side| *side != from).filter(|_| from != Side::Net);
        }
        if !self.router(from).is_none_or(|router| router.send(now, packet)) {
            return None;
        }
        let (source, destination) =
            Packet::of(packet).map(|packet| (packet.source(), packet.destination()))?;
        self.seen.insert(source, from);
        let to = self.way_to(from, destination)?;
        let passes = self.router(to).is_none_or(|router| router.receive(now, packet));
        passes.then_some(to)
    }

    fn way_to(&self, from: Side, address: Ipv4Addr) -> Option<Side> {
        if Side::SERVERS.contains(&address) {
            return (from != Side::Net).then_some(Side::Net);
        }
        let seen = self.seen.get(&address);
        Side::BOTH.into_iter().filter(|side| *side != from).find(|side| {
            let there = self.routers[side.index()].is_at(address);
            // Whoever has said nothing yet is the other host.
            there.unwrap_or_else(|| seen.map_or(from != Side::Net, |seen| seen == side))
        })
    }

    fn router(&mut self, side: Side) -> Option<&mut Router> {
        self.routers.get_mut(side.index())
    }
}
