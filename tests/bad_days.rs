//! Bad days: processes that die at the wrong time, servers that refuse, networks that are not there.

mod harness;

use std::{
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use harness::{
    Client, DEADLINE, HostSetup, Line, Random, Route, Running, Said, descendants, feed, folder, free_port,
    number, over, poll, run, skip,
};
use nix::sys::signal::{Signal, kill};

/// How long a session may outlive its ssh.
const SOON: Duration = Duration::from_secs(10);

/// Adds a host with another backend than the line's own, as `odd`.
fn odd_host(line: &Line, backend: &str) -> harness::Host {
    let host = HostSetup::new(&line.folder.path().join("odd"), backend).start();
    host.allow(&line.client.identity);
    line.client.add_host("odd", &host.ticket());
    host
}

#[test]
fn an_ssh_server_that_refuses_is_named() {
    let line = Line::new(Route::Exec);
    let port = free_port();
    let _host = odd_host(&line, &format!("tcp:127.0.0.1:{port}"));
    let output = run(line.client.ssh().args(["odd", "true"]));
    let said = output.stderr.said();
    let sentence = format!("the host's ssh server at 127.0.0.1:{port} refused the connection");
    assert!(said.contains(&sentence), "{said}");
    assert_eq!(output.status.code(), Some(255));
}

#[test]
fn an_ssh_server_command_that_is_missing_is_an_error() {
    let line = Line::new(Route::Exec);
    let host = odd_host(&line, "exec:/nonexistent/sshd -i");
    let output = run(line.client.ssh().args(["odd", "true"]));
    assert_eq!(output.status.code(), Some(255), "{}", output.stderr.said());
    host.daemon.stderr.wait_for("/nonexistent/sshd");
}

#[test]
fn an_ssh_server_that_hangs_up_at_once_ends_the_session() {
    let line = Line::new(Route::Exec);
    let _host = odd_host(&line, "exec:true");
    let started = Instant::now();
    let output = run(line.client.ssh().args(["odd", "true"]));
    assert_eq!(output.status.code(), Some(255), "{}", output.stderr.said());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(
        output.stderr.said().contains("ended the session before its first word"),
        "{}",
        output.stderr.said()
    );
}

#[test]
fn an_ssh_server_that_is_killed_within_a_transfer_ends_ssh() {
    over(&Route::ALL, |line| {
        let mut ssh = line.client.ssh();
        ssh.args(["box", "cat /dev/zero"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running::start(ssh.stderr(Stdio::null()));
        let mut stdout = running.stdout();
        stdout.read_exact(&mut vec![0; 1 << 20]).expect("the first bytes");
        let parent = line.sshd.as_ref().map_or_else(|| line.host().pid(), |sshd| sshd.daemon.pid());
        for process in descendants(parent) {
            let _ = kill(process, Signal::SIGKILL);
        }
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        assert_eq!(running.wait(SOON).code(), Some(255));
        if let Some(host) = &line.host {
            host.wait_ended(1);
        }
    });
}

#[test]
fn a_server_that_closes_first_while_ssh_has_more_to_say_loses_nothing() {
    over(&Route::ALL, |line| {
        let input = Random::bytes(5, 8 << 20);
        let command = "head -c 10 >/dev/null; head -c 3000000 /dev/zero; exit 3";
        let output = feed(line.client.ssh().args(["box", command]), input);
        assert_eq!(output.status.code(), Some(3), "{}", output.stderr.said());
        assert_eq!(output.stdout.len(), 3_000_000);
    });
}

/// Kills ssh within transfers; each time the session and its sshd have to go.
fn kill_ssh(line: &Line, command: &str) {
    let host = line.host();
    for round in 1..=number("IROSH_TEST_KILLS", 5) {
        let mut ssh = line.client.ssh();
        ssh.args(["box", command]).stdout(Stdio::piped()).stderr(Stdio::null());
        let zero = std::fs::File::open("/dev/zero").expect("/dev/zero");
        let mut running = Running::start(ssh.stdin(zero));
        running.stdout().read_exact(&mut [0; 2]).expect("a transfer that runs");
        running.signal(Signal::SIGKILL);
        running.wait(DEADLINE);
        let mut ended = 0;
        let end = host.find_event(SOON, |event| {
            ended += usize::from(event["event"] == "session_ended");
            ended == round
        });
        assert!(end.is_some(), "the session of round {round} goes on\n{}", host.log());
        poll("sshd's end", SOON, || line.server.processes().is_empty().then_some(()));
    }
}

#[test]
fn ssh_killed_within_an_upload_ends_its_session_and_its_sshd() {
    over(&[Route::Exec, Route::Tcp, Route::Builtin], |line| kill_ssh(line, "echo ready; cat >/dev/null"));
}

#[test]
fn ssh_killed_within_a_download_ends_its_session_and_its_sshd() {
    over(&[Route::Exec, Route::Relayed, Route::Builtin], |line| kill_ssh(line, "cat /dev/zero"));
}

#[test]
fn a_host_that_was_killed_says_when_it_is_back_that_it_has_the_session_no_more() {
    let mut line = Line::new(Route::Tcp);
    let mut ssh = line.client.ssh();
    ssh.args(["box", "echo; cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(&mut ssh);
    let _stdin = running.stdin();
    let mut stderr = running.stderr();
    running.stdout().read_exact(&mut [0]).expect("a session");
    line.host.as_mut().expect("a host").kill();
    let backend = line.sshd.as_ref().expect("sshd").backend();
    let _again = HostSetup::new(&line.folder.path().join("host"), &backend).start();
    assert_eq!(running.wait(DEADLINE).code(), Some(255));
    let mut said = String::new();
    stderr.read_to_string(&mut said).expect("text");
    assert!(said.contains("the host says: the host no longer has this session"), "{said}");
}

#[test]
fn a_host_that_is_told_to_stop_waits_for_sessions_and_takes_no_new_ones() {
    let mut line = Line::new(Route::Exec);
    let mut ssh = line.client.ssh();
    ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut running = Running::start(&mut ssh);
    line.host().wait_event(|event| event["event"] == "session_started");
    line.host().daemon.signal(Signal::SIGTERM);
    line.host().wait_event(|event| event["event"] == "draining");
    drop(running.stdin());
    assert!(running.wait(DEADLINE).success());
    assert!(line.host.as_mut().expect("a host").daemon.wait(DEADLINE).success());
}

#[test]
fn a_host_that_is_told_to_stop_twice_stops_at_once() {
    let mut line = Line::new(Route::Exec);
    let mut ssh = line.client.ssh();
    ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running::start(&mut ssh);
    line.host().wait_event(|event| event["event"] == "session_started");
    line.host().daemon.signal(Signal::SIGTERM);
    line.host().wait_event(|event| event["event"] == "draining");
    line.host().daemon.signal(Signal::SIGTERM);
    line.host.as_mut().expect("a host").daemon.wait(Duration::from_secs(5));
    assert_eq!(running.wait(SOON).code(), Some(255));
}

#[test]
fn a_full_descriptor_table_is_survived() {
    let line = Line::new(Route::Exec);
    let setup = HostSetup::new(&line.folder.path().join("small"), &format!("exec:{}", line.server.command()));
    let mut host = setup.under(&["sh", "-c", "ulimit -n 40; exec \"$0\" \"$@\""]).start();
    host.allow(&line.client.identity);
    line.client.add_host("small", &host.ticket());
    let mut crowd: Vec<_> = (0..24)
        .map(|_| {
            let mut ssh = line.client.ssh();
            ssh.args(["small", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            Running::start(&mut ssh)
        })
        .collect();
    host.daemon.stderr.wait_for("Too many open files");
    for running in &mut crowd {
        drop(running.stdin());
    }
    for running in &mut crowd {
        running.wait(DEADLINE);
    }
    assert!(host.is_alive(), "{}", host.log());
    let output = run(line.client.ssh().args(["small", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

/// A command that has no network at all, not even loopback.
const NO_NETWORK: [&str; 3] = ["unshare", "-r", "-n"];

fn can_leave_the_network() -> bool {
    let left = Command::new(NO_NETWORK[0]).args(&NO_NETWORK[1..]).arg("true").stderr(Stdio::null()).status();
    let able = left.is_ok_and(|status| status.success());
    if !able {
        skip("this user may not make a network namespace");
    }
    able
}

#[test]
fn a_host_without_any_network_is_ready() {
    if !can_leave_the_network() {
        return;
    }
    let folder = folder();
    let setup = HostSetup::new(&folder.path().join("host"), "exec:true").under(&NO_NETWORK);
    let mut command = setup.command();
    for variable in ["IROSH_BIND", "IROSH_RELAY", "IROSH_DNS"] {
        command.env_remove(variable);
    }
    let started = Instant::now();
    let daemon = harness::Daemon::start(&mut command);
    daemon.stdout.wait_for("\"event\":\"ready\"");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_client_without_any_network_says_so_in_time() {
    if !can_leave_the_network() {
        return;
    }
    let line = Line::new(Route::Exec);
    let ticket = line.host().ticket();
    for defaults in [false, true] {
        let mut command = line.client.command(NO_NETWORK[0]);
        command.args(&NO_NETWORK[1..]).args([harness::IROSH_PROXY, &ticket]).env_remove("IROSH_BIND");
        if defaults {
            command.env_remove("IROSH_RELAY").env_remove("IROSH_DNS");
        }
        complains(command, "did not answer within");
    }
}

fn complains(mut command: Command, words: &str) {
    let started = Instant::now();
    let output = run(&mut command);
    let said = output.stderr.said();
    assert!(!output.status.success() && said.contains(words), "not `{words}`: {said}");
    assert!(output.stdout.is_empty());
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
}

#[test]
fn an_error_is_a_line_of_ours_with_the_next_step_and_nothing_else() {
    let line = Line::new(Route::Relayed);
    let client = Client::new(line.folder.path(), "other", &line.server);
    let said = run(&mut client.proxy(&line.host().relay_ticket())).stderr.said();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.lines().all(|line| line.starts_with("irosh-proxy: ")), "{said}");
}

#[test]
fn a_host_that_is_not_there_is_said_to_be_silent() {
    let mut line = Line::new(Route::Exec);
    line.host.as_mut().expect("a host").kill();
    complains(line.client.proxy("box"), "did not answer within 15 s");
}

#[test]
fn a_relay_that_is_not_there_is_named() {
    let line = Line::new(Route::Relayed);
    let ticket = line.host().relay_ticket();
    let client = Client::new(line.folder.path(), "other", &line.server);
    complains(client.proxy(&ticket), "relays are turned off");
    let Line { relay, .. } = line;
    let url = relay.as_ref().map(|relay| relay.url().to_owned()).expect("a relay");
    drop(relay);
    let mut command = client.proxy(&ticket);
    command.env("IROSH_RELAY", &url);
    complains(command, "cannot be used");
}

#[test]
fn something_else_at_the_address_is_told_apart() {
    let line = Line::new(Route::Exec);
    let other = HostSetup::new(&line.folder.path().join("other"), "exec:true").start();
    let target: irosh::transport::Target = line.host().ticket().parse().expect("a ticket");
    let there: irosh::transport::Target = other.ticket().parse().expect("a ticket");
    let addr = there
        .addr()
        .ip_addrs()
        .copied()
        .fold(iroh::EndpointAddr::new(target.addr().id), |addr, ip| addr.with_ip_addr(ip));
    let ticket = iroh_tickets::endpoint::EndpointTicket::new(addr).to_string();
    complains(line.client.proxy(&ticket), "does not hold its key");
}
