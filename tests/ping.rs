//! `irosh ping`: how long a host takes to answer, by which path, and why by no better one.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;
mod street;

use std::{
    io::{BufRead, BufReader},
    process::{Output, Stdio},
};

use harness::{Client, DEADLINE, Daemon, HostSetup, Line, Relay, Route, Running, Said, Server, folder, run};
use lab::spec::{Nat, RouterChange, Side};
use nix::sys::signal::Signal;
use serde_json::Value;
use street::{Plan, Street};

/// What it prints with `--json`.
fn events(output: &Output) -> Vec<Value> {
    let said = output.stdout.said();
    said.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// The client of a street pings its host.
fn ping(street: &Street, arguments: &[&str]) -> Output {
    let mut command = street.client.irosh(&[&["ping", "box"], arguments].concat());
    street.lab.within(Side::B, || run(&mut command)).expect("entered")
}

#[test]
fn a_direct_host_is_told_with_its_address_and_times() {
    let line = Line::new(Route::Exec);
    let output = run(&mut line.client.irosh(&["ping", "-c", "2", "box"]));
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr.said());
    let said = output.stdout.said();
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0].starts_with("box: connected in ") && lines[0].contains("direct to 127.0.0.1:"),
        "{said}"
    );
    assert!(lines[1].starts_with("box: 1: ") && lines[1].contains(" ms, direct to 127.0.0.1:"), "{said}");
    assert!(lines[2].starts_with("box: 2: "), "{said}");
    assert!(lines[3].starts_with("box: 2 of 2 answered, in "), "{said}");
    assert_eq!(lines.len(), 4, "{said}");
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let line = Line::new(Route::Exec);
    let mut ping = Running::start(line.client.irosh(&["ping", "box"]).stdout(Stdio::piped()));
    let mut first = String::new();
    BufReader::new(ping.stdout()).read_line(&mut first).expect("a line");
    assert!(first.starts_with("box: connected in "), "{first}");
    ping.wait(DEADLINE);
}

#[test]
fn a_round_trip_is_as_long_as_the_path() {
    let Some(street) = Street::of(&Plan::default()) else { return };
    let output = ping(&street, &["-c", "3", "--json"]);
    let events = events(&output);
    let times: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "answer")
        .map(|event| event["ms"].as_f64().expect("a time"))
        .collect();
    assert_eq!(times.len(), 3, "{events:?}");
    // Packets take 5 ms each way.
    assert!(times.iter().all(|time| *time >= 10.0), "{times:?}");
    assert!(times.iter().any(|time| *time < 30.0), "{times:?}");
    let connected = events[0]["ms"].as_f64().expect("a time");
    assert!(events[0]["event"] == "connected" && connected >= 20.0, "{events:?}");
    assert_eq!(events.last().expect("a sum")["answered"], 3);
}

#[test]
fn it_ends_as_soon_as_the_path_is_direct() {
    let plan = Plan { client: Nat::Easy, host: Nat::Easy, relays: 1, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    let output = ping(&street, &["--until-direct", "-w", "30"]);
    let said = output.stdout.said();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("relayed by https://10.77.0.3/"), "{said}");
    assert!(said.contains("box: now direct to 10.77.0."), "{said}");
}

/// Waits until it is said why the path is not direct; interrupted before it is, it has failed.
fn is_not_direct(mut ping: Daemon, why: &str) {
    ping.stdout.wait_for(&format!("box: not direct: {why}"));
    ping.signal(Signal::SIGINT);
    assert_eq!(ping.wait(harness::DEADLINE).code(), Some(1));
}

#[test]
fn two_hard_routers_are_named() {
    let plan = Plan { client: Nat::Hard, host: Nat::Hard, relays: 2, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    let mut command = street.client.irosh(&["ping", "--until-direct", "box"]);
    let ping = street.lab.within(Side::B, || Daemon::start(&mut command)).expect("entered");
    is_not_direct(ping, "the router on this side shows a socket at another port");
}

#[test]
fn udp_that_is_blocked_is_named() {
    let plan = Plan { client: Nat::Easy, relays: 1, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    street.lab.set_router(Side::B, RouterChange::Udp(false));
    let output = ping(&street, &["--json", "--until-direct", "-w", "10"]);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr.said());
    let events = events(&output);
    let why = events.iter().find(|event| event["event"] == "not_direct").expect("a reason");
    assert!(why["why"].as_str().expect("a sentence").contains("UDP is blocked on this side"), "{why}");
}

#[test]
fn families_that_do_not_meet_are_named() {
    let relay = Relay::start();
    let folder = folder();
    let server = Server::new(folder.path());
    let mut client = Client::new(folder.path(), "client", &server);
    client.use_relay(relay.url());
    client.bind("[::1]:0");
    let host = HostSetup::new(&folder.path().join("host"), "exec:true").relay(relay.url()).start();
    host.allow(&client.identity);
    host.daemon.stderr.wait_for("the relay is");
    client.add_host("box", &host.ticket());
    let ping = Daemon::start(&mut client.irosh(&["ping", "--until-direct", "box"]));
    ping.stdout.wait_for(&format!(" ms, relayed by {}", relay.url()));
    is_not_direct(ping, "this side and the host have no address family in common");
}

#[test]
fn a_host_that_refuses_has_a_status_of_its_own() {
    let line = Line::new(Route::Exec);
    let stranger = Client::new(line.folder.path(), "stranger", &line.server);
    stranger.add_host("box", &line.host.as_ref().expect("a host").ticket());
    let output = run(&mut stranger.irosh(&["ping", "-c", "1", "box"]));
    assert_eq!(output.status.code(), Some(3), "{}", output.stderr.said());
    assert!(output.stderr.said().contains("the host says: "), "{}", output.stderr.said());
    let unknown = run(&mut stranger.irosh(&["ping", "-c", "1", "nowhere"]));
    assert_eq!(unknown.status.code(), Some(1), "{}", unknown.stderr.said());
}

#[test]
fn a_host_that_goes_is_told_and_looked_for_until_it_is_interrupted() {
    let mut line = Line::new(Route::Exec);
    let mut ping = Daemon::start(&mut line.client.irosh(&["ping", "box"]));
    ping.stdout.wait_for("box: 1: ");
    line.host.as_mut().expect("a host").daemon.signal(Signal::SIGTERM);
    ping.stdout.wait_for("box: the connection was lost");
    ping.signal(Signal::SIGINT);
    assert_eq!(ping.wait(harness::DEADLINE).code(), Some(0));
    let said = ping.stdout.wait_for(" answered, in ");
    assert!(said.starts_with("box: "), "{said}");
}
