//! Sessions outlive the network: plain ssh over a link that goes away and comes back, and addresses that change.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;
mod street;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
    thread,
    time::Duration,
};

use harness::{
    Chat, DEADLINE, Line, Mode, Random, Route, Running, descendants, example, hash_reader, number, poll,
    succeed,
};
use lab::spec::Side;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use street::Street;

/// Outages in the middle of sessions: `IROSH_TEST_OUTAGE_RUNS` of them, one after the other.
fn survives(what: &str, outage: impl Fn(&Street, &Chat)) {
    for run in 0..number("IROSH_TEST_OUTAGE_RUNS", 1) {
        let Some(street) = Street::new("") else { return };
        let chat = street.chat();
        chat.flows();
        let before = chat.said();
        outage(&street, &chat);
        let now = chat.said();
        let (first, caught_up) = (chat.comes_back(before), chat.comes_back(now));
        let took = first + caught_up;
        eprintln!("{what}, run {run}: lines flow after {first:?}, and have caught up after {took:?}");
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

/// The host still counts the connection that was lost, and allows no other.
#[test]
fn a_session_comes_back_where_as_many_connections_as_may_be_were_lost() {
    let Some(street) = Street::new("[limits]\nmax-connections = 1\n") else { return };
    let chat = street.chat();
    chat.flows();
    street.down();
    thread::sleep(Duration::from_secs(8));
    street.up();
    let took = chat.flows();
    assert!(took < Duration::from_secs(10), "{took:?} after the network was back");
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

/// Longer than QUIC keeps a connection on which nothing is heard; `IROSH_TEST_OUTAGE` is how many seconds.
#[test]
fn a_session_lives_through_an_outage_that_no_connection_does() {
    survives_seconds(number("IROSH_TEST_OUTAGE", 45) as u64);
}

/// As under a lid that is closed, though the clocks go on.
#[test]
fn a_session_lives_on_when_its_client_was_stopped() {
    is_stopped(number("IROSH_TEST_OUTAGE", 35) as u64);
}

/// The connection is there still, and the host has long since stopped to send on it.
#[test]
fn a_session_lives_on_when_its_client_was_stopped_for_less_than_a_connection_lives() {
    is_stopped(20);
}

fn is_stopped(seconds: u64) {
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
        poll("a host that is ready again", DEADLINE, || (street.host.count("ready") > ready).then_some(()));
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

/// Who reads nothing for a while.
#[derive(Debug, Clone, Copy)]
enum Still {
    /// ssh, while the host sends.
    Client,
    /// What runs at the host, while ssh sends.
    Command,
}

/// One side is stopped while the other sends lines of this length.
fn stands_still(route: Route, still: Still, length: usize) {
    let line = Line::new(route);
    let (lines, rest) = (200_000, "x".repeat(length));
    let mut ssh = line.client.ssh();
    let command = match still {
        Still::Client => format!("echo $$; yes {rest} | head -n {lines}"),
        Still::Command => "echo $$; exec cat".to_owned(),
    };
    ssh.args(["box", &command]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut ssh = Running::start(&mut ssh);
    let (mut stdin, mut stdout) = (ssh.stdin(), BufReader::new(ssh.stdout()));
    let mut next = || {
        let mut next = String::new();
        stdout.read_line(&mut next).expect("a line");
        next.trim_end().to_owned()
    };
    let command = Pid::from_raw(next().parse().expect("a process"));
    let said = rest.clone();
    let saying = thread::spawn(move || {
        if matches!(still, Still::Command) {
            (0..lines).for_each(|_| writeln!(stdin, "{said}").expect("a reader"));
        }
    });
    assert_eq!(next(), rest);
    let stopped = match still {
        Still::Client => ssh.pid(),
        Still::Command => command,
    };
    let signal = |signal| kill(stopped, signal).expect("a process of ours");
    signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_secs(number("IROSH_TEST_STOPPED_SECONDS", 12) as u64));
    signal(Signal::SIGCONT);
    let same = stdout.lines().map(|line| assert_eq!(line.expect("a line"), rest)).count();
    assert_eq!(same, lines - 1);
    saying.join().expect("said");
    assert!(ssh.wait(DEADLINE).success());
}

#[test]
fn a_reader_that_stands_still_loses_neither_its_session_nor_a_byte() {
    thread::scope(|scope| {
        for still in [Still::Client, Still::Command] {
            for length in [1, 100, 1400] {
                scope.spawn(move || stands_still(Route::Exec, still, length));
            }
        }
    });
}

/// Who is killed in the middle of output.
#[derive(Debug, Clone, Copy)]
enum Killed {
    Ssh,
    Proxy,
    Both,
}

impl Killed {
    /// What is left lives as long as what this returns.
    fn kill(self, mut ssh: Running) -> Running {
        let proxies = descendants(ssh.pid());
        assert!(!proxies.is_empty());
        // One whose ssh is killed first says goodbye.
        if !matches!(self, Self::Ssh) {
            proxies.iter().for_each(|proxy| kill(*proxy, Signal::SIGKILL).expect("a process of ours"));
        }
        if !matches!(self, Self::Proxy) {
            ssh.signal(Signal::SIGKILL);
        }
        ssh.wait(DEADLINE);
        ssh
    }
}

/// A session in the middle of output, which nobody reads further than its first bytes.
fn in_output(line: &Line) -> Running {
    let mut ssh = line.client.ssh();
    ssh.args(["box", "yes"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut ssh = Running::start(&mut ssh);
    let mut stdout = ssh.stdout();
    stdout.read_exact(&mut [0; 6]).expect("a session");
    ssh.keep_stdout(stdout);
    ssh
}

#[test]
fn what_a_client_that_was_killed_has_left_is_ended_when_it_comes_again() {
    let mut line = Line::new(Route::Exec);
    // What is killed is the client itself.
    line.client.use_mode(Mode::Alone);
    for (round, killed) in [Killed::Both, Killed::Proxy, Killed::Ssh, Killed::Both].into_iter().enumerate() {
        let _left = killed.kill(in_output(&line));
        assert!(line.client.exec("true").status.success());
        let ended = line.host().wait_ended(2 * round + 2);
        let is_gone = |event: &&Value| event["reason"] == "the client's process was gone";
        let gone = ended[2 * round..].iter().filter(is_gone).count();
        assert_eq!(gone, usize::from(!matches!(killed, Killed::Ssh)), "{killed:?}: {ended:?}");
        poll("the command's end", DEADLINE, || line.server.processes().is_empty().then_some(()));
    }
}

#[test]
fn what_an_ssh_that_was_killed_during_an_outage_has_left_is_ended_when_it_comes_again() {
    thread::scope(|scope| {
        for mode in [Mode::Alone, Mode::Agent, Mode::Fdpass] {
            scope.spawn(move || is_killed_during_an_outage(mode));
        }
    });
}

fn is_killed_during_an_outage(mode: Mode) {
    let Some(mut street) = Street::new("") else { return };
    street.client.use_mode(mode);
    let chat = street.chat();
    chat.flows();
    let proxies = descendants(chat.ssh.pid());
    street.down();
    let missed = || (street.host.count("session_detached") == 1).then_some(());
    poll("the host has missed it", DEADLINE, missed);
    chat.ssh.signal(Signal::SIGKILL);
    chat.expect_killed();
    let waits = || match mode {
        Mode::Alone => proxies.iter().any(|proxy| kill(*proxy, None).is_ok()),
        _ => street.client.agent().is_some_and(|agent| agent["hosts"][0]["sessions"][0].is_object()),
    };
    poll("nobody waits for the host any more", DEADLINE, || (!waits()).then_some(()));
    street.up();
    let again = || succeed(street.client.ssh().args(["box", "true"]));
    street.lab.within(Side::B, again).expect("entered");
    let ended = street.host.wait_ended(2);
    assert_ne!(ended[0]["session"], ended[1]["session"], "{mode:?}");
}

#[test]
fn an_ssh_that_is_started_in_an_outage_on_a_connection_that_was_there_is_served_when_that_is_over() {
    let Some(mut street) = Street::new("") else { return };
    street.client.use_mode(Mode::Agent);
    let hello = || succeed(street.client.ssh().args(["box", "echo hello"]));
    assert_eq!(street.lab.within(Side::B, hello).expect("entered"), "hello\n");
    for seconds in [1, 3, 6] {
        street.down();
        thread::scope(|scope| {
            let said = scope.spawn(|| street.lab.within(Side::B, hello).expect("entered"));
            // For less than it takes to be missed, and for longer.
            thread::sleep(Duration::from_secs(seconds));
            street.up();
            assert_eq!(said.join().expect("no panic"), "hello\n", "after {seconds} s");
        });
    }
}

/// `IROSH_TEST_STORM_MIB` makes it longer.
#[test]
fn a_session_whose_connection_is_cut_all_the_time_is_byte_exact_both_ways() {
    let line = Line::new(Route::Exec);
    let length = number("IROSH_TEST_STORM_MIB", 48) << 20;
    assert!(line.client.exec("true").status.success());
    line.host().wait_ended(1);
    let descriptors = line.host().descriptors();
    let mut ssh = line.client.ssh();
    // It moves the bytes itself, whoever does so elsewhere.
    ssh.arg(format!("-oProxyCommand={} %h", example("cut-proxy").display())).arg("-oProxyUseFdpass=no");
    ssh.env("CUT_PROXY_MS", "50");
    let mut ssh = Running::start(ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = ssh.stdin();
    let saying = thread::spawn(move || std::io::copy(&mut Random::new(7, length), &mut stdin));
    assert_eq!(hash_reader(ssh.stdout()), hash_reader(Random::new(7, length)));
    saying.join().expect("no panic").expect("said");
    assert!(ssh.wait(DEADLINE).success());
    line.host().wait_ended(2);
    let resumed = line.host().count("session_resumed");
    assert!(resumed >= 5, "resumed {resumed} times");
    poll("as many descriptors as before", DEADLINE, || {
        (line.host().descriptors() <= descriptors).then_some(())
    });
}
