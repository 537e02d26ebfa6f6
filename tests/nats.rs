//! Routers that translate addresses, and networks that change: which pairs reach each other directly, and how long
//! lines stand still.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;
mod street;

use std::{
    io::Write,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use lab::spec::{Nat, Side};
use street::{Plan, Street, Way};

/// How long lines may stand still, on a machine that is busy: where the host is behind a router, and where it is not.
const STILL: Duration = Duration::from_secs(12);
const HARDLY: Duration = Duration::from_millis(1500);

/// Where routers move to.
const ELSEWHERE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 11), Ipv4Addr::new(10, 77, 0, 12)];

const KINDS: [Nat; 3] = [Nat::None, Nat::Easy, Nat::Hard];

/// How long it took until lines flowed.
#[derive(Debug)]
struct Times {
    connected: Duration,
    /// After both routers had forgotten all.
    forgotten: Duration,
    /// After they had other addresses besides.
    moved: Duration,
}

/// A session between a client and a host behind these, which is looked at for so long until it goes the way it should,
/// and outlives what both routers forget.
fn pair(client: Nat, host: Nat, way: Way, settled: Duration) -> Option<Times> {
    let street = Street::of(&Plan { client, host, relays: 1, ..Plan::default() })?;
    let begun = Instant::now();
    let chat = street.chat();
    chat.flows();
    let connected = begun.elapsed();
    street.goes(&chat, way);
    thread::sleep(settled);
    street.forget(None);
    let forgotten = chat.flows();
    thread::sleep(settled);
    street.forget(Some(ELSEWHERE));
    let moved = chat.flows();
    let _ssh = chat.ends();
    street.host.wait_ended(1);
    Some(Times { connected, forgotten, moved })
}

/// The same for clients behind each kind of router.
fn pairs(host: Nat, within: Duration) {
    thread::scope(|scope| {
        for client in KINDS {
            scope.spawn(move || {
                let Some(times) = pair(client, host, expected(client, host), Duration::ZERO) else { return };
                let still = times.forgotten.max(times.moved);
                assert!(still < within, "client {client:?}, host {host:?}: {times:?}");
            });
        }
    });
}

/// A hole can be punched where nobody is behind a router that shows a socket at another port to each, or where one of
/// the two is not behind a router at all.
fn expected(client: Nat, host: Nat) -> Way {
    let open = client == Nat::None || host == Nat::None;
    let hard = client == Nat::Hard || host == Nat::Hard;
    if open || !hard { Way::Direct } else { Way::Relayed }
}

#[test]
fn a_host_without_a_router_is_reached_directly_by_all() {
    pairs(Nat::None, HARDLY);
}

#[test]
fn a_host_behind_a_router_that_keeps_ports_is_reached_directly_where_the_client_has_one_port() {
    pairs(Nat::Easy, STILL);
}

#[test]
fn a_host_behind_a_router_of_many_ports_is_reached_directly_where_the_client_is_open() {
    pairs(Nat::Hard, STILL);
}

/// `IROSH_TEST_RUNS` says how often; the medians are told.
#[test]
#[ignore = "it tells figures, for scripts/nats"]
fn matrix() {
    let runs = harness::number("IROSH_TEST_RUNS", 3);
    let mut out = std::io::stdout();
    let mut tell = |line: String| writeln!(out, "{line}").expect("somebody reads");
    tell("| client | host | way | connected | flows after both forgot | and after both moved |".into());
    tell("| --- | --- | --- | --- | --- | --- |".into());
    for (client, host) in KINDS.into_iter().flat_map(|client| KINDS.map(|host| (client, host))) {
        let way = expected(client, host);
        let run = |_| pair(client, host, way, Duration::from_secs(6));
        let Some(times) = (0..runs).map(run).collect::<Option<Vec<_>>>() else { return };
        let median = |of: fn(&Times) -> Duration| {
            let mut each: Vec<_> = times.iter().map(of).collect();
            each.sort_unstable();
            format!("{:.2} s", each[each.len() / 2].as_secs_f64())
        };
        let [connected, forgotten, moved] =
            [median(|t| t.connected), median(|t| t.forgotten), median(|t| t.moved)];
        let line = format!("| {client:?} | {host:?} | {way:?} | {connected} | {forgotten} | {moved} |");
        tell(line.to_lowercase());
    }
}

#[test]
fn a_session_goes_on_by_the_relay_while_udp_is_blocked() {
    let plan = Plan { client: Nat::Easy, host: Nat::Easy, relays: 1, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    let chat = street.chat();
    street.goes(&chat, Way::Direct);
    street.udp(false);
    let took = chat.flows();
    assert!(took < STILL, "{took:?} after UDP was blocked");
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
    eprintln!("another relay: lines flow after {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?} after the relay was gone");
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

/// The host has another address, and the client where that is said.
fn moves(relays: usize, client_too: bool, within: Duration) {
    let Some(street) = Street::of(&Plan { relays, ..Plan::default() }) else { return };
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
        eprintln!("relays {relays}, client too {client_too}: {took:?}");
        assert!(took < within, "{took:?} after the host moved");
    }
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

#[test]
fn a_session_lives_on_when_its_host_moves() {
    moves(1, false, STILL);
}

/// Nobody but the host can say where it is then: it is followed to where it is heard from.
#[test]
fn a_session_lives_on_when_its_host_moves_and_there_is_no_relay() {
    moves(0, false, Duration::from_secs(5));
}

#[test]
fn a_session_lives_on_when_both_move_at_once() {
    moves(1, true, Duration::from_secs(5));
}
