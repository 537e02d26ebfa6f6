//! Sessions outlive the network: plain ssh over a link that goes away and comes back, and addresses that change.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use harness::{
    Chat, Client, DEADLINE, Host, HostSetup, Line, Route, Running, Server, descendants, folder, number, poll,
    skip, succeed,
};
use lab::{
    Lab,
    spec::{Change, LinkSpec, Side},
};
use nix::sys::signal::{Signal, kill};

/// A client on one side of a link, and a host on the other.
struct Street {
    lab: Lab,
    client: Client,
    host: Host,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Street {
    /// None where this machine or user can have no namespaces.
    fn new(settings: &str) -> Option<Self> {
        let spec = LinkSpec { delay: Duration::from_millis(5), ..LinkSpec::default() };
        let lab = Lab::new(&spec).map_err(|why| skip(&why.to_string())).ok()?;
        let folder = folder();
        let server = Server::new(folder.path());
        let mut client = Client::new(folder.path(), "client", &server);
        client.bind("0.0.0.0:0");
        let [enter, namespace] = lab.prefix(Side::A);
        let setup = HostSetup::new(&folder.path().join("host"), &format!("exec:{}", server.command()));
        let setup = setup.settings(settings).under(&[&enter, &namespace, "env", "IROSH_BIND=0.0.0.0:0"]);
        let host = setup.start();
        host.allow(&client.identity);
        client.add_host("box", &host.ticket());
        Some(Self { lab, client, host, server, _folder: folder })
    }

    /// Lines both ways through a session of plain ssh.
    fn chat(&self) -> Chat {
        self.chat_by(self.client.ssh())
    }

    /// The same by a command that takes a host and what to run there.
    fn chat_by(&self, mut command: Command) -> Chat {
        command.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Chat::over(self.lab.within(Side::B, || Running::start(&mut command)).expect("entered"))
    }

    fn down(&self) {
        self.lab.set(Change::Down);
    }

    fn up(&self) {
        self.lab.set(Change::Up);
    }

    /// Has a side have another address, at once.
    fn moves(&self, side: Side, from: &str, to: &str) {
        let address = |verb: &str, address: &str| {
            let mut ip = self.lab.command(side, "ip");
            ip.args(["address", verb, &format!("{address}/24"), "dev", "lab0"]);
            succeed(&mut ip);
        };
        // The other way round, the new one would go with the old one.
        address("del", from);
        address("add", to);
    }
}

/// Outages in the middle of sessions: `IROSH_TEST_OUTAGE_RUNS` of them, one after the other.
fn survives(what: &str, outage: impl Fn(&Street, &Chat)) {
    for run in 0..number("IROSH_TEST_OUTAGE_RUNS", 1) {
        let Some(street) = Street::new("") else { return };
        let chat = street.chat();
        chat.flows();
        outage(&street, &chat);
        let took = chat.flows();
        eprintln!("{what}, run {run}: lines flow after {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?} after the network was back");
        let _ssh = chat.ends();
        street.host.wait_ended(1);
    }
}

/// A link that is down for so many seconds.
fn survives_seconds(seconds: u64) {
    survives(&format!("{seconds} s"), |street, _| {
        street.down();
        thread::sleep(Duration::from_secs(seconds));
        street.up();
    });
}

#[test]
fn a_session_lives_through_an_outage_of_a_second() {
    survives_seconds(1);
}

#[test]
fn a_session_lives_through_an_outage_of_eight_seconds() {
    survives_seconds(8);
}

/// Longer than QUIC keeps a connection on which nothing is heard; `IROSH_TEST_OUTAGE` is how many seconds.
#[test]
fn a_session_lives_through_an_outage_that_no_connection_does() {
    survives_seconds(number("IROSH_TEST_OUTAGE", 45) as u64);
}

/// As under a lid that is closed, though the clocks go on.
#[test]
fn a_session_lives_on_when_its_client_was_stopped() {
    let seconds = number("IROSH_TEST_OUTAGE", 35) as u64;
    survives(&format!("stopped for {seconds} s"), |_, chat| {
        let mut client = descendants(chat.ssh.pid());
        client.push(chat.ssh.pid());
        let all = |signal| client.iter().for_each(|pid| kill(*pid, signal).expect("signalled"));
        all(Signal::SIGSTOP);
        thread::sleep(Duration::from_secs(seconds));
        all(Signal::SIGCONT);
    });
}

/// What it has said meanwhile waits in two places by then, and goes from one process to the next in one of them.
#[test]
fn a_session_lives_on_when_its_host_starts_anew_during_an_outage() {
    survives("a host that starts anew", |street, _| {
        let ready = street.host.count("ready");
        street.down();
        street.host.daemon.signal(Signal::SIGUSR2);
        poll("a host that is ready again", DEADLINE, || {
            (street.host.count("ready") > ready).then_some(())
        });
        street.up();
    });
}

#[test]
fn a_native_command_lives_through_an_outage() {
    let Some(street) = Street::new("") else { return };
    let chat = street.chat_by(street.client.native("exec"));
    chat.flows();
    street.down();
    street.host.wait_event(|event| event["event"] == "session_detached");
    street.up();
    chat.flows();
    let _exec = chat.ends();
    street.host.wait_event(|event| event["event"] == "session_resumed");
    street.host.wait_ended(1);
}

#[test]
fn a_session_lives_on_when_its_client_moves() {
    let Some(street) = Street::new("") else { return };
    let chat = street.chat();
    chat.flows();
    let mut from = Side::B.address().to_string();
    for to in ["10.77.0.30", "10.77.0.31"] {
        street.moves(Side::B, &from, to);
        let took = chat.flows();
        eprintln!("lines flow after {took:?}");
        assert!(took < Duration::from_secs(10), "{took:?} after the client has moved");
        from = to.to_owned();
    }
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

#[test]
fn a_session_of_somebody_who_is_revoked_meanwhile_is_ended_while_it_waits() {
    let Some(street) = Street::new("") else { return };
    let chat = street.chat();
    chat.flows();
    street.down();
    street.host.wait_event(|event| event["event"] == "session_detached");
    let revoked = street.host.irosh(&["peers", "revoke", "test"]);
    assert!(revoked.status.success(), "{revoked:?}");
    street.host.wait_ended(1);
    poll("sshd's end", DEADLINE, || street.server.processes().is_empty().then_some(()));
    street.up();
    chat.expect_cut_off();
}

#[test]
fn a_session_that_is_not_kept_ends_with_its_connection() {
    let Some(street) = Street::new("[limits]\nresume-time = 0\n") else { return };
    let chat = street.chat();
    chat.flows();
    street.down();
    street.host.wait_ended(1);
    chat.expect_cut_off();
}

#[test]
fn a_session_that_waits_for_longer_than_sessions_are_kept_is_ended() {
    let Some(street) = Street::new("[limits]\nresume-time = 2\n") else { return };
    let chat = street.chat();
    chat.flows();
    street.down();
    let ended = street.host.wait_event(|event| event["event"] == "session_ended");
    assert_eq!(ended["reason"], "the client was away for longer than the host keeps sessions");
    street.up();
    chat.expect_cut_off();
}

/// ssh is stopped while the host sends lines of this length.
fn stands_still(route: Route, length: usize) {
    let line = Line::new(route);
    let (lines, rest) = (200_000, "x".repeat(length));
    let mut ssh = line.client.ssh();
    let command = format!("yes {rest} | head -n {lines}");
    ssh.args(["box", &command]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut ssh = Running::start(&mut ssh);
    let mut stdout = BufReader::new(ssh.stdout());
    let mut first = String::new();
    stdout.read_line(&mut first).expect("a line");
    ssh.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_secs(number("IROSH_TEST_STOPPED_SECONDS", 12) as u64));
    ssh.signal(Signal::SIGCONT);
    let same = stdout.lines().map(|line| assert_eq!(line.expect("a line").len(), rest.len())).count();
    assert_eq!(same, lines - 1);
    assert!(ssh.wait(DEADLINE).success());
}

#[test]
fn a_reader_that_stands_still_loses_neither_its_session_nor_a_byte() {
    thread::scope(|scope| {
        for length in [1, 100, 1400] {
            scope.spawn(move || stands_still(Route::Exec, length));
        }
    });
}

#[test]
fn what_a_client_that_was_killed_has_left_is_ended_when_it_comes_again() {
    let line = Line::new(Route::Exec);
    let mut ssh = line.client.ssh();
    ssh.args(["box", "yes"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut ssh = Running::start(&mut ssh);
    let mut stdout = ssh.stdout();
    stdout.read_exact(&mut [0; 6]).expect("a session");
    let proxy = descendants(ssh.pid());
    assert!(!proxy.is_empty());
    for process in proxy.into_iter().chain([ssh.pid()]) {
        let _ = kill(process, Signal::SIGKILL);
    }
    ssh.wait(DEADLINE);
    assert!(!line.server.processes().is_empty(), "its command runs");
    assert!(line.client.exec("true").status.success());
    let ended = line.host().wait_event(|event| event["event"] == "session_ended");
    assert_eq!(ended["reason"], "the client's process was gone");
    poll("the command's end", DEADLINE, || line.server.processes().is_empty().then_some(()));
}
