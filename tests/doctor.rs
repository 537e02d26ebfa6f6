//! `irosh doctor` where something is wrong: what it finds, and what it says to do.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;
mod street;

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use harness::{Authority, Client, Line, Mode, Relay, Route, Said, Server, folder, run, succeed};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use lab::{
    Lab,
    spec::{LinkSpec, Nat, RouterChange, Side},
};
use serde_json::Value;
use street::{Plan, Street};

/// What it has found.
struct Findings {
    output: Output,
    all: Vec<Value>,
}

impl Findings {
    fn of(output: Output) -> Self {
        let said = output.stdout.said();
        let all = said.lines().map(|line| serde_json::from_str(line).expect("an object a check")).collect();
        Self { output, all }
    }

    /// Something of this kind was found, with these words in it.
    #[track_caller]
    fn has(&self, verdict: &str, check: &str, words: &str) -> &Value {
        let is_it = |found: &&Value| found["check"] == check && found["verdict"] == verdict;
        let in_it = |found: &&Value| found["found"].as_str().is_some_and(|found| found.contains(words));
        let found = self.all.iter().filter(is_it).find(in_it);
        found.unwrap_or_else(|| panic!("no {verdict} {check} with `{words}`: {}", self.shown()))
    }

    /// The same, and what to do about it has these words in it.
    #[track_caller]
    fn advises(&self, verdict: &str, check: &str, words: &str, advice: &str) {
        let found = self.has(verdict, check, words);
        assert!(found["advice"].as_str().is_some_and(|said| said.contains(advice)), "{found}");
    }

    /// These have failed, and it ends with that; nothing else has.
    #[track_caller]
    fn failed(&self, checks: &[&str]) {
        let failed: Vec<_> = self.all.iter().filter(|found| found["verdict"] == "failed").collect();
        let mut names: Vec<_> = failed.iter().filter_map(|found| found["check"].as_str()).collect();
        names.dedup();
        assert_eq!(names, checks, "{}", self.shown());
        assert_eq!(self.output.status.code(), Some(i32::from(!checks.is_empty())), "{}", self.shown());
    }

    fn shown(&self) -> String {
        let lines: Vec<_> = self.all.iter().map(ToString::to_string).collect();
        format!("{}\n{}", lines.join("\n"), self.output.stderr.said())
    }
}

/// The command as a client runs it.
fn doctor(client: &Client, arguments: &[&str]) -> Command {
    let mut command = client.native("doctor");
    command.arg("--json").args(arguments);
    command
}

fn examine(client: &Client, arguments: &[&str]) -> Findings {
    Findings::of(run(&mut doctor(client, arguments)))
}

/// The same for the client of a street.
fn examine_on(street: &Street, arguments: &[&str]) -> Findings {
    let mut command = doctor(&street.client, arguments);
    Findings::of(street.lab.within(Side::B, || run(&mut command)).expect("entered"))
}

/// A client that knows of no host.
fn alone() -> (tempfile::TempDir, Client) {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    client.add_proxied("*.irosh");
    (folder, client)
}

#[test]
fn where_all_is_well_nothing_fails() {
    let line = Line::new(Route::Exec);
    let found = examine(&line.client, &["box"]);
    found.failed(&[]);
    for (check, words) in [
        ("irosh", "version "),
        ("irosh-proxy", "version "),
        ("irosh-sshd", "version "),
        ("ssh", "OpenSSH_"),
        ("key", "SHA256:"),
        ("UDP", "relays are turned off"),
        ("relay", "turned off"),
        ("captive portal", "there is no relay to ask"),
        ("clock", "there is no relay to ask"),
        ("name service", "turned off"),
        ("ssh configuration", "ssh reaches box by "),
        ("host", "it lets us in after "),
        ("path", "direct to 127.0.0.1:"),
        ("MTU", "bytes pass"),
        ("ssh server", "SSH-2.0-OpenSSH"),
    ] {
        found.has("ok", check, words);
    }
}

#[test]
fn a_certificate_is_shown_with_its_end_and_what_is_wrong_with_it() {
    let (folder, client) = alone();
    let authority = Authority::new(folder.path(), "team");
    let sign = |arguments: &[&str]| {
        authority.sign(&client.home().join("identity.pub"), arguments);
        examine(&client, &[])
    };
    sign(&["-n", "alice,ops", "-V", "-1m:20400101Z"]).has(
        "ok",
        "certificate",
        "`laptop of the team` for alice, ops, until 2040-01-01T00:00:00Z, of SHA256:",
    );
    sign(&[]).has("ok", "certificate", "for everybody, for ever, of SHA256:");
    let late = sign(&["-V", "20200101Z:20200102Z"]);
    late.advises("warning", "certificate", "it has expired", "put a new one in its place");
    sign(&["-V", "-1m:+10m"]).advises("warning", "certificate", "sessions end then", "put a new one");
    sign(&["-V", "20400101Z:20500101Z"]).has(
        "warning",
        "certificate",
        "not valid before 2040-01-01T00:00:00Z",
    );
    sign(&["-h"]).has("warning", "certificate", "it is a host's");
}

#[test]
fn with_relays_all_is_well_too() {
    let plan = Plan { client: Nat::Easy, host: Nat::Easy, relays: 2, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    let found = examine_on(&street, &["box"]);
    found.failed(&[]);
    for (check, words) in [
        ("UDP", "passes, and comes from 10.77.0.2:"),
        ("router", "it keeps ports"),
        ("relay", "https://10.77.0.3/ answers in "),
        ("relay", "https://10.77.0.4/ answers in "),
        ("captive portal", "a relay answers for itself"),
        ("clock", "it agrees with a relay's"),
        ("path", "direct to 10.77.0.1:"),
    ] {
        found.has("ok", check, words);
    }
}

#[test]
fn udp_that_is_blocked_is_named() {
    let plan = Plan { client: Nat::Easy, relays: 1, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    street.lab.set_router(Side::B, RouterChange::Udp(false));
    let found = examine_on(&street, &["box"]);
    found.failed(&[]);
    found.advises("warning", "UDP", "is blocked", "firewall");
    found.has("ok", "relay", "answers in ");
    found.has("ok", "path", "relayed by https://10.77.0.3/");
}

#[test]
fn a_router_that_keeps_no_ports_is_named() {
    let plan = Plan { client: Nat::Hard, host: Nat::Hard, relays: 2, ..Plan::default() };
    let Some(street) = Street::of(&plan) else { return };
    let found = examine_on(&street, &["box"]);
    found.failed(&[]);
    found.has("warning", "router", "hard NAT");
    found.has("ok", "path", "hard NAT");
}

#[test]
fn a_relay_that_is_down_is_named() {
    let (_folder, mut client) = alone();
    let gone = Relay::start().url().to_owned();
    let alive = Relay::start();
    client.use_relay(&gone);
    let found = examine(&client, &[]);
    found.failed(&["relay"]);
    found.advises("failed", "relay", &format!("{gone} cannot be used: "), "IROSH_RELAY");
    client.use_relay(&format!("{gone},{}", alive.url()));
    let found = examine(&client, &[]);
    found.failed(&[]);
    found.advises("warning", "relay", &format!("{gone} cannot be used: "), "another relay is used");
}

/// Leads to a relay, whose clock it changes by so much; its URL.
fn with_another_clock(relay: &Relay, by: SignedDuration) -> String {
    let to = relay.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let to = to.clone();
            thread::spawn(move || lead(&client, &to, by));
        }
    });
    url
}

fn lead(mut client: &TcpStream, to: &str, by: SignedDuration) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    let (mut from, mut into) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from, &mut into));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&(Timestamp::now() + by));
    let date = date.expect("a date");
    for line in head.said().split_inclusive("\r\n") {
        let dated = line.to_ascii_lowercase().starts_with("date:");
        let line = if dated { format!("date: {date}\r\n") } else { line.to_owned() };
        client.write_all(line.as_bytes())?;
    }
    std::io::copy(&mut server, &mut client).map(drop)
}

#[test]
fn a_clock_that_is_off_by_a_day_is_named() {
    let (_folder, mut client) = alone();
    let relay = Relay::start();
    for (by, words) in [(24, "24 h behind"), (-24, "24 h ahead")] {
        client.use_relay(&with_another_clock(&relay, SignedDuration::from_hours(by)));
        client.bind("127.0.0.1:0");
        let found = examine(&client, &[]);
        found.failed(&["clock"]);
        found.advises("failed", "clock", words, "timedatectl");
    }
}

#[test]
fn an_agent_that_runs_is_told() {
    let mut line = Line::new(Route::Exec);
    line.client.use_mode(Mode::Agent);
    examine(&line.client, &[]).has("ok", "agent", "none is running");
    assert!(line.client.exec("true").status.success());
    let pid = line.client.agent().expect("an agent")["pid"].clone();
    let found = examine(&line.client, &["box"]);
    found.failed(&[]);
    found.has("ok", "agent", &format!("pid {pid}, knows 1 of our hosts"));
}

#[test]
fn a_key_that_others_can_read_is_named() {
    let line = Line::new(Route::Exec);
    let key = line.client.home().join("identity");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("chmod");
    let found = examine(&line.client, &["box"]);
    found.failed(&["key", "host"]);
    found.advises("failed", "key", "mode 0644", "chmod 600");
}

#[test]
fn files_that_are_not_understood_are_named() {
    let (_folder, client) = alone();
    for (file, text, check) in [
        ("config.toml", "relays = 3\n", "settings"),
        ("hosts.toml", "no toml\n", "names"),
        ("host.toml", "relays = 3\n", "host settings"),
        ("authorized_peers", "frobnicate\n", "peers"),
    ] {
        let path = client.home().join(file);
        fs::write(&path, text).expect("written");
        let found = examine(&client, &[]);
        found.failed(&[check]);
        found.has("failed", check, file);
        fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn an_old_ssh_is_named() {
    let (folder, client) = alone();
    let programs = harness::subfolder(folder.path(), "programs");
    let ssh = programs.join("ssh");
    let script = "#!/bin/sh\necho 'OpenSSH_8.4p1 Debian-5+deb11u3, OpenSSL 1.1.1w' >&2\n";
    fs::write(&ssh, script).expect("written");
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).expect("chmod");
    let mut command = doctor(&client, &[]);
    let found = Findings::of(run(command.env("PATH", &programs)));
    found.failed(&[]);
    found.advises("warning", "ssh", "OpenSSH_8.4p1", "install a newer OpenSSH");
    fs::remove_file(&ssh).expect("removed");
    let found = Findings::of(run(command.env("PATH", &programs)));
    found.advises("warning", "ssh", "not on PATH", "irosh shell");
}

#[test]
fn a_configuration_of_ssh_that_is_not_ours_is_named() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let look = |lines: &str| {
        let file = folder.path().join("ssh_config");
        fs::write(&file, format!("Host *\n{lines}")).expect("written");
        let mut command = client.irosh(&["doctor", "--json", "-F"]);
        Findings::of(run(command.arg(&file)))
    };
    let check = "ssh configuration";
    look("").advises(
        "warning",
        check,
        "ssh does not reach any.irosh by irosh-proxy",
        "irosh ssh-config install",
    );
    let found = look("ProxyCommand /nowhere/irosh-proxy -- '%h'\n");
    found.failed(&[check]);
    found.advises(
        "failed",
        check,
        "runs /nowhere/irosh-proxy, which is no program",
        "irosh ssh-config install",
    );
    found.has("warning", check, "KnownHostsCommand is not ours");
    let long = format!("ControlPath /{}\n", "x".repeat(110));
    look(&long).advises("failed", check, "ControlPath is too long", "ControlPath ~/.ssh/%C");
    let found = look("NoSuchKeyword yes\n");
    found.failed(&[check]);
    found.has("failed", check, "ssh does not like its configuration");
}

#[test]
fn a_configuration_that_was_installed_is_ours() {
    let (folder, client) = alone();
    let ticket =
        iroh_tickets::endpoint::EndpointTicket::new(iroh::SecretKey::from_bytes(&[3; 32]).public().into());
    client.add_host("box", &ticket.to_string());
    let file = folder.path().join("printed");
    fs::write(&file, succeed(&mut client.irosh(&["ssh-config", "print"]))).expect("written");
    for target in [&[][..], &["any.irosh"]] {
        let mut command = client.irosh(&["doctor", "--json", "-F"]);
        let found = Findings::of(run(command.arg(&file).args(target)));
        let ssh: Vec<_> = found.all.iter().filter(|found| found["check"] == "ssh configuration").collect();
        assert!(ssh.len() == 1 && ssh[0]["verdict"] == "ok", "{}", found.shown());
    }
}

#[test]
fn a_name_service_that_cannot_be_asked_is_named() {
    let (_folder, client) = alone();
    let port = harness::free_port();
    let mut command = doctor(&client, &[]);
    command.env("IROSH_DNS", format!("http://127.0.0.1:{port}/pkarr,dns.invalid,127.0.0.1:{port}"));
    let found = Findings::of(run(&mut command));
    found.failed(&["name service"]);
    found.advises(
        "failed",
        "name service",
        &format!("127.0.0.1:{port} cannot be asked"),
        "check this network",
    );
}

#[test]
fn a_host_that_has_revoked_us_is_named() {
    let line = Line::new(Route::Exec);
    let host = line.host.as_ref().expect("a host");
    let output = host.irosh(&["peers", "revoke", &line.client.identity]);
    assert!(output.status.success(), "{}", output.stderr.said());
    let found = examine(&line.client, &["box"]);
    found.failed(&["host"]);
    found.has("failed", "host", "the host says: ");
}

#[test]
fn a_host_that_is_away_is_named() {
    let mut line = Line::new(Route::Exec);
    line.host.as_mut().expect("a host").kill();
    let found = examine(&line.client, &["box"]);
    found.failed(&["host"]);
    found.advises("failed", "host", "box did not answer within 15 s", "is `irosh host` running there");
}

#[test]
fn an_ssh_server_that_says_nothing_is_named() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let host = harness::HostSetup::new(&folder.path().join("host"), "exec:sleep 60").start();
    host.allow(&client.identity);
    client.add_host("box", &host.ticket());
    let found = examine(&client, &["box"]);
    found.failed(&["ssh server"]);
    found.has("failed", "ssh server", "has said nothing");
}

#[test]
fn a_path_of_the_smallest_packets_is_named() {
    let Some(street) = Street::of(&Plan::default()) else { return };
    // The smallest that QUIC can do with, and the headers of UDP and IPv4.
    succeed(street.lab.command(Side::B, "ip").args(["link", "set", "lab0", "mtu", "1228"]));
    let found = examine_on(&street, &["box"]);
    found.failed(&[]);
    found.advises("warning", "MTU", "more than 1200 bytes", "MTU");
    succeed(street.lab.command(Side::B, "ip").args(["link", "set", "lab0", "mtu", "1500"]));
    examine_on(&street, &["box"]).has("ok", "MTU", "bytes pass");
}

/// Answers all who come to the usual port of a server's with a redirection.
fn portal(lab: &Lab) {
    let listener = lab.within(Side::Net, || TcpListener::bind((Ipv4Addr::new(10, 77, 0, 3), 80)));
    let listener = listener.expect("entered").expect("a port");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let answer =
                "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n";
            let _ = client.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn a_captive_portal_is_named() {
    let Ok(lab) = Lab::new(&LinkSpec::default()).inspect_err(|why| harness::skip(&why.to_string())) else {
        return;
    };
    portal(&lab);
    let (_folder, mut client) = alone();
    client.use_relay("https://10.77.0.3/");
    client.bind("0.0.0.0:0");
    let mut command = doctor(&client, &[]);
    let found = Findings::of(lab.within(Side::B, || run(&mut command)).expect("entered"));
    found.failed(&["relay", "captive portal"]);
    found.advises("failed", "captive portal", "302 Found to http://portal.example/login", "browser");
}

#[test]
fn without_any_network_it_ends_soon_and_says_what_it_lacks() {
    let Ok(lab) = Lab::new(&LinkSpec::default()).inspect_err(|why| harness::skip(&why.to_string())) else {
        return;
    };
    succeed(lab.command(Side::B, "ip").args(["link", "set", "lab0", "down"]));
    let (_folder, client) = alone();
    let mut command = doctor(&client, &[]);
    command.env("IROSH_RELAY", "default").env("IROSH_DNS", "default").env("IROSH_BIND", "");
    let begun = Instant::now();
    let found = Findings::of(lab.within(Side::B, || run(&mut command)).expect("entered"));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    found.failed(&["relay", "name service"]);
}

#[test]
fn each_finding_is_a_line_and_what_to_do_is_below() {
    let (_folder, client) = alone();
    fs::set_permissions(client.home().join("identity"), Permissions::from_mode(0o644)).expect("chmod");
    let said = run(&mut client.native("doctor")).stdout.said();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("ok       irosh: version "), "{said}");
    let at = lines.iter().position(|line| line.starts_with("failed   key: ")).expect("the key");
    assert!(lines[at + 1].starts_with("           run: chmod 600 "), "{said}");
}
