//! Sessions outlive the network: plain ssh over a link that goes away and comes back, and addresses that change.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use harness::{
    Client, DEADLINE, Host, HostSetup, Line, Random, Route, Running, Server, descendants, example, folder,
    hash_reader, number, poll, skip, succeed,
};
use lab::{
    Lab,
    spec::{Change, LinkSpec, Side},
};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

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

/// Numbered lines that ssh sends, and gets back from `cat` at the host.
struct Chat {
    ssh: Running,
    over: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
    /// How many have come back, each in its turn, and what came instead if one has not.
    heard: Arc<AtomicU64>,
    wrong: Arc<Mutex<Option<String>>>,
    saying: JoinHandle<()>,
    hearing: JoinHandle<()>,
}

impl Chat {
    fn over(mut ssh: Running) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let [said, heard] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let wrong = Arc::new(Mutex::new(None));
        let (mut stdin, stdout) = (ssh.stdin(), BufReader::new(ssh.stdout()));
        let saying = {
            let (over, said) = (over.clone(), said.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let number = said.load(Ordering::Relaxed);
                    if writeln!(stdin, "line {number} {}", "x".repeat(number as usize % 300)).is_err() {
                        return;
                    }
                    said.store(number + 1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let hearing = {
            let (heard, wrong) = (heard.clone(), wrong.clone());
            thread::spawn(move || {
                for line in stdout.lines() {
                    let number = heard.load(Ordering::Relaxed);
                    let expected = format!("line {number} {}", "x".repeat(number as usize % 300));
                    match line {
                        Ok(line) if line == expected => heard.store(number + 1, Ordering::Relaxed),
                        other => {
                            *wrong.lock().expect("no panic") =
                                Some(format!("after {number} lines: {other:?}"));
                            return;
                        }
                    }
                }
            })
        };
        Self { ssh, over, said, heard, wrong, saying, hearing }
    }

    /// Waits until a line comes back that is said from now on; says how long that took.
    fn flows(&self) -> Duration {
        let (now, begun) = (self.said.load(Ordering::Relaxed), Instant::now());
        poll("lines that flow", Duration::from_secs(60), || {
            let wrong = self.wrong.lock().expect("no panic");
            assert!(wrong.is_none(), "{wrong:?}");
            (self.heard.load(Ordering::Relaxed) > now).then_some(())
        });
        begun.elapsed()
    }

    /// Waits for ssh to find that the session is no more.
    fn expect_cut_off(mut self) {
        assert_eq!(self.ssh.wait(DEADLINE).code(), Some(255));
        self.saying.join().expect("said");
        self.hearing.join().expect("heard");
    }

    /// Ends it in peace: every line has come back, and none twice. Whatever ssh has left behind lives as long as what
    /// this returns.
    fn ends(mut self) -> Running {
        self.over.store(true, Ordering::Relaxed);
        self.saying.join().expect("said");
        assert!(self.ssh.wait(DEADLINE).success());
        self.hearing.join().expect("heard");
        assert_eq!(*self.wrong.lock().expect("no panic"), None);
        assert_eq!(self.heard.load(Ordering::Relaxed), self.said.load(Ordering::Relaxed));
        self.ssh
    }
}

/// An outage of so many seconds, in the middle of a session.
fn survives(seconds: u64) {
    let Some(street) = Street::new("") else { return };
    let chat = street.chat();
    chat.flows();
    street.down();
    thread::sleep(Duration::from_secs(seconds));
    street.up();
    let took = chat.flows();
    assert!(took < Duration::from_secs(5), "{took:?} after the network was back");
    eprintln!("{seconds} s: lines flow after {took:?}");
    let _ssh = chat.ends();
    street.host.wait_ended(1);
}

#[test]
fn a_session_lives_through_an_outage_of_a_second() {
    survives(1);
}

#[test]
fn a_session_lives_through_an_outage_of_eight_seconds() {
    survives(8);
}

/// Longer than QUIC keeps a connection on which nothing is heard.
#[test]
fn a_session_lives_through_an_outage_that_no_connection_does() {
    survives(45);
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
    let line = Line::new(Route::Exec);
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

/// `IROSH_TEST_STORM_MIB` makes it longer.
#[test]
fn a_session_whose_connection_is_cut_all_the_time_is_byte_exact_both_ways() {
    let line = Line::new(Route::Exec);
    let length = number("IROSH_TEST_STORM_MIB", 48) << 20;
    assert!(line.client.exec("true").status.success());
    line.host().wait_ended(1);
    let descriptors = line.host().descriptors();
    let mut ssh = line.client.ssh();
    ssh.arg(format!("-oProxyCommand={} %h", example("cut-proxy").display())).env("CUT_PROXY_MS", "50");
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
