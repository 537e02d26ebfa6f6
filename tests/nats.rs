//! Routers that translate addresses, and networks that change: which pairs reach each other directly, and how long
//! lines stand still.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;
mod street;

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use lab::spec::{Nat, Side};
use street::{Plan, Street, Way};

/// How long lines may stand still where addresses stayed, and where they changed.
const STAYED: Duration = Duration::from_secs(12);
const CHANGED: Duration = Duration::from_secs(12);

/// Where routers move to.
const ELSEWHERE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 11), Ipv4Addr::new(10, 77, 0, 12)];

/// A client and a host behind these reach each other this way, and a session outlives what both routers forget.
fn pair(client: Nat, host: Nat, way: Way) {
    let Some(street) = Street::of(&Plan { client, host, relays: 1, ..Plan::default() }) else { return };
    let begun = Instant::now();
    let chat = street.chat();
    chat.flows();
    let connected = begun.elapsed();
    street.goes(&chat, way);
    street.forget(None);
    let forgotten = chat.flows();
    assert!(forgotten < STAYED, "client {client:?}, host {host:?}: {forgotten:?} after the routers forgot");
    street.forget(Some(ELSEWHERE));
    let moved = chat.flows();
    assert!(moved < CHANGED, "client {client:?}, host {host:?}: {moved:?} after the routers moved");
    eprintln!("client {client:?}, host {host:?}: {connected:?}, {way:?}; {forgotten:?}; {moved:?}");
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

/// The same for clients behind each kind of router.
fn pairs(host: Nat, ways: [Way; 3]) {
    thread::scope(|scope| {
        for (client, way) in [Nat::None, Nat::Easy, Nat::Hard].into_iter().zip(ways) {
            scope.spawn(move || pair(client, host, way));
        }
    });
}

#[test]
fn a_host_without_a_router_is_reached_directly_by_all() {
    pairs(Nat::None, [Way::Direct; 3]);
}

#[test]
fn a_host_behind_a_router_that_keeps_ports_is_reached_directly_where_the_client_has_one_port() {
    pairs(Nat::Easy, [Way::Direct, Way::Direct, Way::Relayed]);
}

#[test]
fn a_host_behind_a_router_of_many_ports_is_reached_directly_where_the_client_is_open() {
    pairs(Nat::Hard, [Way::Direct, Way::Relayed, Way::Relayed]);
}

#[test]
fn a_session_goes_on_by_the_relay_while_udp_is_blocked() {
    let plan = Plan { client: Nat::Easy, host: Nat::Easy, relays: 1, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    let chat = street.chat();
    street.goes(&chat, Way::Direct);
    street.udp(false);
    let took = chat.flows();
    assert!(took < CHANGED, "{took:?} after UDP was blocked");
    street.goes(&chat, Way::Relayed);
    street.udp(true);
    street.goes(&chat, Way::Direct);
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

#[test]
fn a_session_goes_on_by_another_relay_when_its_own_is_gone() {
    let plan = Plan { client: Nat::Hard, host: Nat::Hard, relays: 2, ..Plan::default() };
    let Some(mut street) = Street::of(&plan) else { return };
    let chat = street.chat();
    street.goes(&chat, Way::Relayed);
    let home = street.host.daemon.stderr.wait_for("the relay is");
    street.kill_relay(usize::from(home.contains("10.77.0.4")));
    let took = chat.flows();
    assert!(took < Duration::from_secs(15), "{took:?} after the relay was gone");
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

/// The host has another address, and the client where that is said.
fn moves(client_too: bool) {
    let Some(street) = Street::of(&Plan { relays: 1, ..Plan::default() }) else { return };
    let chat = street.chat();
    street.goes(&chat, Way::Direct);
    for number in [1, 2] {
        let to = |side: Side, number| match number {
            0 => side.address().to_string(),
            _ => format!("10.77.0.{}{}", 5 + side as u8, number),
        };
        for side in [Some(Side::A), client_too.then_some(Side::B)].into_iter().flatten() {
            street.moves(side, &to(side, number - 1), &to(side, number));
        }
        let took = chat.flows();
        assert!(took < Duration::from_secs(5), "{took:?} after the host moved");
    }
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

#[test]
fn a_session_lives_on_when_its_host_moves() {
    moves(false);
}

#[test]
fn a_session_lives_on_when_both_move_at_once() {
    moves(true);
}
