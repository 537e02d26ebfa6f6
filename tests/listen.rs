//! A local port whose connections are sessions: of `irosh listen`, and of the agent for hosts that have one.

mod harness;

use std::{
    collections::HashSet,
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    thread,
    time::Duration,
};

use harness::{Chat, DEADLINE, Line, Mode, Port, Random, Route, Running, Said, feed, poll, run, succeed};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use serde_json::Value;

#[test]
fn bytes_arrive_both_ways_over_the_port_as_they_were_sent() {
    let line = Line::new(Route::Tcp);
    let mut port = Port::open(&line, &[]);
    assert!(port.address.ip().is_loopback());
    let bytes = Random::bytes(1, 5_000_000);
    let output = feed(port.ssh(&line).args(["box", "cat"]), bytes.clone());
    assert!(output.status.success(), "{}", output.stderr.said());
    assert!(output.stdout == bytes);
    let output = run(port.ssh(&line).args(["box", "echo out; echo err >&2; exit 3"]));
    assert_eq!((output.stdout.said(), output.status.code()), ("out\n".to_owned(), Some(3)));
    assert_eq!(port.daemon().stderr.all(), [""; 0]);
}

#[test]
fn many_at_once_share_one_connection_to_the_host() {
    let line = Line::new(Route::Tcp);
    let port = Port::open(&line, &[]);
    thread::scope(|scope| {
        for _ in 0..20 {
            let mut ssh = port.ssh(&line);
            scope.spawn(move || assert_eq!(succeed(ssh.args(["box", "echo hello"])), "hello\n"));
        }
    });
    let mut from = HashSet::new();
    line.host().wait_ended(20);
    line.host().find_event(Duration::ZERO, |event| {
        if event["event"] == "session_started" {
            from.insert(event["from"].as_str().expect("an address").to_owned());
        }
        false
    });
    assert_eq!(from.len(), 1, "{from:?}");
}

#[test]
fn another_user_of_the_machine_is_refused() {
    // Nobody else can take another user's name.
    if !geteuid().is_root() {
        return;
    }
    let line = Line::new(Route::Tcp);
    for place in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let mut port = Port::open(&line, &["--any-address", place]);
        if port.address.ip().is_unspecified() {
            port.address.set_ip([127, 0, 0, 1].into());
        }
        assert_eq!(port.greeting(None), "SSH-2.0-", "{place}");
        let started = line.host().count("session_started");
        assert_eq!(port.greeting(Some(4711)), "", "{place}");
        port.daemon().stderr.wait_for("the user 4711 has made it");
        assert_eq!(line.host().count("session_started"), started, "{place}");
        assert_eq!(port.greeting(None), "SSH-2.0-", "{place}");
    }
}

#[test]
fn a_host_that_is_away_is_said_and_the_port_stays() {
    let line = Line::new(Route::Tcp);
    let mut port = Port::open(&line, &[]);
    kill(line.host().pid(), Signal::SIGSTOP).expect("a host");
    let begun = std::time::Instant::now();
    assert_eq!(port.greeting(None), "");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let said = port.daemon().stderr.wait_for("irosh: the connection from 127.0.0.1:");
    assert!(said.contains("box"), "{said}");
    kill(line.host().pid(), Signal::SIGCONT).expect("a host");
    assert_eq!(succeed(port.ssh(&line).args(["box", "echo hello"])), "hello\n");
}

#[test]
fn sessions_go_on_when_the_hosts_program_is_exchanged() {
    let line = Line::new(Route::Tcp);
    let port = Port::open(&line, &[]);
    let chat = Chat::by(&mut port.ssh(&line));
    chat.flows();
    let ready = line.host().count("ready");
    line.host().daemon.signal(Signal::SIGUSR2);
    poll("a host that is ready again", DEADLINE, || (line.host().count("ready") > ready).then_some(()));
    chat.flows();
}

#[test]
fn a_port_that_is_taken_is_said_to_be() {
    let line = Line::new(Route::Tcp);
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let place = taken.local_addr().expect("an address").to_string();
    let output = run(&mut line.client.irosh(&["listen", "box", &place]));
    let said = output.stderr.said();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(said.contains(&format!("irosh: cannot listen at {place}: Address already in use")), "{said}");
}

#[test]
fn an_address_that_other_machines_reach_has_to_be_asked_for() {
    let line = Line::new(Route::Tcp);
    let output = run(&mut line.client.irosh(&["listen", "box", "0.0.0.0:0"]));
    let said = output.stderr.said();
    assert!(!output.status.success() && said.contains("--any-address"), "{said}");
    let mut port = Port::open(&line, &["--any-address", "0.0.0.0:0"]);
    port.daemon().stderr.wait_for("irosh: whoever can reach 0.0.0.0:");
}

#[test]
fn the_keys_of_the_host_are_printed_for_the_port() {
    let line = Line::new(Route::Tcp);
    for reached in [false, true] {
        let port = Port::open(&line, &["--known-hosts"]);
        fs::write(Port::known_hosts_file(&line), port.known_hosts.join("\n") + "\n").expect("written");
        let said = succeed(port.ssh(&line).args(["box", "echo hello"]));
        assert_eq!(said, "hello\n", "reached before: {reached}");
    }
}

/// An ssh that is ready, and waits for input.
fn waiting(port: &Port, line: &Line) -> Running {
    Running::waiting(&mut port.ssh(line))
}

#[test]
fn it_ends_its_sessions_when_it_is_told_to_end() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let line = Line::new(Route::Tcp);
        let mut port = Port::open(&line, &[]);
        let mut ssh = waiting(&port, &line);
        port.daemon().signal(signal);
        assert!(port.daemon().wait(DEADLINE).success(), "{signal}");
        line.host().wait_ended(1);
        assert!(!ssh.wait(DEADLINE).success());
        assert!(TcpStream::connect(port.address).is_err());
    }
}

/// A line with an agent that has a port of `box`.
fn with_port_of_agent(place: &str) -> Line {
    let mut line = Line::new(Route::Tcp);
    line.client.use_mode(Mode::Agent);
    write_port(&line, place);
    succeed(&mut line.client.irosh(&["agent", "start"]));
    line
}

/// Gives `box` a port, also the one that no command would give it: 0 is any that is free.
fn write_port(line: &Line, place: &str) {
    let hosts = format!("[hosts.box]\ntarget = \"{}\"\nlisten = \"{place}\"\n", line.host().ticket());
    fs::write(line.client.home().join("hosts.toml"), hosts).expect("written");
}

fn add_box(line: &Line, arguments: &[&str]) {
    let ticket = line.host().ticket();
    succeed(&mut line.client.irosh(&[&["hosts", "add", "box", &ticket], arguments].concat()));
}

/// The ports of the agent, once they are as they are wanted.
fn ports(line: &Line, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    poll("the ports", DEADLINE, || {
        let ports = line.client.agent()?["ports"].as_array()?.clone();
        wanted(&ports).then_some(ports)
    })
}

fn is_open(ports: &[Value]) -> bool {
    ports.len() == 1 && ports[0]["problem"].is_null()
}

/// The port that the agent has open.
fn port_of_agent(line: &Line) -> Port {
    let ports = ports(line, is_open);
    Port::at(line, ports[0]["place"].as_str().expect("a place").parse().expect("an address"))
}

#[test]
fn the_agent_has_the_port_of_a_host_open_for_as_long_as_hosts_toml_says_so() {
    let line = with_port_of_agent("127.0.0.1:0");
    let port = port_of_agent(&line);
    let bytes = Random::bytes(3, 1_000_000);
    let output = feed(port.ssh(&line).args(["box", "cat"]), bytes.clone());
    assert!(output.status.success() && output.stdout == bytes, "{}", output.stderr.said());
    let mut ssh = waiting(&port, &line);
    let status = line.client.agent().expect("an agent");
    assert_eq!(status["hosts"][0]["sessions"].as_array().map(Vec::len), Some(1), "{status}");
    let listed = succeed(&mut line.client.irosh(&["hosts", "list"]));
    assert!(listed.ends_with("  port 127.0.0.1:0\n"), "{listed}");
    write_port(&line, "[::1]:0");
    ports(&line, |ports| is_open(ports) && ports[0]["place"].as_str().is_some_and(|at| at.contains("::1")));
    assert!(TcpStream::connect(port.address).is_err());
    add_box(&line, &["--no-listen"]);
    ports(&line, <[Value]>::is_empty);
    // Who was there stays.
    drop(ssh.stdin());
    assert!(ssh.wait(DEADLINE).success());
}

#[test]
fn another_user_of_the_machine_is_refused_at_a_port_of_the_agent() {
    if !geteuid().is_root() {
        return;
    }
    let line = with_port_of_agent("127.0.0.1:0");
    let port = port_of_agent(&line);
    assert_eq!(port.greeting(None), "SSH-2.0-");
    assert_eq!(port.greeting(Some(4711)), "");
    let log = || fs::read_to_string(line.client.home().join("agent.log")).expect("a log");
    let is_said = || log().contains("the user 4711 has made it").then_some(());
    poll("it is in the log", DEADLINE, is_said);
    assert_eq!(line.host().count("session_started"), 1);
}

#[test]
fn another_user_who_comes_again_and_again_does_not_fill_the_log() {
    if !geteuid().is_root() {
        return;
    }
    let line = with_port_of_agent("127.0.0.1:0");
    let port = port_of_agent(&line);
    (0..30).for_each(|_| assert_eq!(port.greeting(Some(4711)), ""));
    // Somebody else is told apart, and has come after them all.
    assert_eq!(port.greeting(Some(4712)), "");
    let told = |uid: u32| {
        let log = fs::read_to_string(line.client.home().join("agent.log")).expect("a log");
        log.matches(&format!("the user {uid} has made it")).count()
    };
    poll("they are in the log", DEADLINE, || (told(4711) >= 10 && told(4712) == 1).then_some(()));
    assert_eq!(told(4711), 10);
}

#[test]
fn a_port_that_leads_nowhere_or_is_another_hosts_is_not_given_to_a_host() {
    let line = Line::new(Route::Tcp);
    let ticket = line.host().ticket();
    let add = |name: &str, place: &str| {
        run(&mut line.client.irosh(&["hosts", "add", name, &ticket, "--listen", place]))
    };
    let (zero, first, second) = (add("one", "0"), add("one", "2222"), add("two", "127.0.0.1:2222"));
    assert!(!zero.status.success() && zero.stderr.said().contains("irosh: port 0 is none"), "{zero:?}");
    assert!(first.status.success(), "{}", first.stderr.said());
    let said = second.stderr.said();
    assert!(!second.status.success() && said.contains("irosh: 127.0.0.1:2222 is one already"), "{said}");
    // What it says to do, and then it can be had.
    succeed(&mut line.client.irosh(&["hosts", "add", "one", "one", "--no-listen"]));
    assert!(add("two", "2222").status.success());
}

#[test]
fn a_port_that_the_agent_cannot_open_is_said_and_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let place = taken.local_addr().expect("an address").to_string();
    let line = with_port_of_agent(&place);
    let in_use = |ports: &[Value]| {
        ports.iter().any(|port| port["problem"].as_str().is_some_and(|why| why.contains("in use")))
    };
    ports(&line, in_use);
    let said = succeed(&mut line.client.irosh(&["agent", "status"]));
    assert!(said.contains(&format!("{place} is not box: Address already in use")), "{said}");
    drop(taken);
    assert_eq!(port_of_agent(&line).greeting(None), "SSH-2.0-");
    let log = fs::read_to_string(line.client.home().join("agent.log")).expect("a log");
    assert_eq!(log.matches("box: cannot listen at").count(), 1, "{log}");
}

#[test]
fn a_port_of_the_agent_is_for_this_machine_alone() {
    let line = Line::new(Route::Tcp);
    let ticket = line.host().ticket();
    let refused = run(&mut line.client.irosh(&["hosts", "add", "box", &ticket, "--listen", "0.0.0.0:2222"]));
    assert!(!refused.status.success() && refused.stderr.said().contains("--any-address"));
    let mut line = line;
    line.client.use_mode(Mode::Agent);
    let hosts = format!("[hosts.box]\ntarget = \"{ticket}\"\nlisten = \"0.0.0.0:0\"\n");
    fs::write(line.client.home().join("hosts.toml"), hosts).expect("written");
    succeed(&mut line.client.irosh(&["agent", "start"]));
    ports(&line, |ports| {
        ports.iter().any(|port| port["problem"].as_str().is_some_and(|why| why.contains("other machines")))
    });
}

#[test]
fn an_agent_stays_for_as_long_as_it_has_a_port() {
    let (with, without) = (with_port_of_agent("127.0.0.1:0"), with_port_of_agent("127.0.0.1:0"));
    add_box(&without, &["--no-listen"]);
    let pid = |line: &Line| {
        let agent = line.client.agent().expect("an agent");
        Pid::from_raw(agent["pid"].as_i64().expect("a process id").try_into().expect("a process id"))
    };
    let (of_with, of_without) = (pid(&with), pid(&without));
    let leaves = |agent| poll("its end", DEADLINE, || kill(agent, None).is_err().then_some(()));
    leaves(of_without);
    assert_eq!(pid(&with), of_with);
    add_box(&with, &["--no-listen"]);
    leaves(of_with);
}

#[test]
fn an_agent_leaves_its_ports_to_one_of_another_version_that_was_started_later() {
    let line = with_port_of_agent("127.0.0.1:0");
    let port = port_of_agent(&line);
    assert_eq!(port.greeting(None), "SSH-2.0-");
    let later = UnixListener::bind(line.client.home().join("run/agent-9.9.9-1.sock")).expect("a socket");
    let is_closed = || TcpStream::connect(port.address).is_err().then_some(());
    poll("the port is closed", DEADLINE, is_closed);
    // It is gone, and has left its socket behind.
    drop(later);
    assert_eq!(port_of_agent(&line).greeting(None), "SSH-2.0-");
}

#[test]
fn ports_are_read_once_the_file_that_others_could_write_is_made_safe() {
    let line = with_port_of_agent("127.0.0.1:0");
    port_of_agent(&line);
    let hosts = line.client.home().join("hosts.toml");
    let text = fs::read_to_string(&hosts).expect("hosts.toml");
    let mode = |mode| fs::set_permissions(&hosts, fs::Permissions::from_mode(mode)).expect("changed");
    fs::write(&hosts, text.replace("127.0.0.1:0", "[::1]:0")).expect("written");
    mode(0o666);
    let log = line.client.home().join("agent.log");
    let is_said = || fs::read_to_string(&log).ok()?.contains("ports stay as they are").then_some(());
    poll("the file is not read", DEADLINE, is_said);
    mode(0o600);
    ports(&line, |ports| is_open(ports) && ports[0]["place"].as_str().is_some_and(|at| at.contains("::1")));
}

#[test]
fn a_port_goes_from_one_host_to_another_at_once() {
    let line = with_port_of_agent("127.0.0.1:0");
    let place = port_of_agent(&line).address.to_string();
    add_box(&line, &["--listen", &place]);
    ports(&line, is_open);
    let hosts = line.client.home().join("hosts.toml");
    let text = fs::read_to_string(&hosts).expect("hosts.toml");
    fs::write(&hosts, text.replace("[hosts.box]", "[hosts.crate]")).expect("written");
    ports(&line, |ports| ports[0]["name"] == "crate" && is_open(ports));
    let log = fs::read_to_string(line.client.home().join("agent.log")).expect("a log");
    assert!(!log.contains("in use"), "{log}");
}
