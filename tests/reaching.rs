//! Ways to a host: several addresses, some of which are somebody else's, and relays that come and go.

mod harness;
mod lab;

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
};

use harness::{Client, HostSetup, RawHost, Said, Server, folder, number, raw_runtime, run, succeed, under};
use lab::{
    Lab,
    spec::{LinkSpec, Side},
};

/// `None`, and a line that says why, where there can be no namespaces.
fn lab() -> Option<Lab> {
    Lab::new(&LinkSpec::default()).inspect_err(|why| harness::skip(&why.to_string())).ok()
}

/// Runs a command of iproute2 on one of the machines.
fn ip(lab: &Lab, side: Side, arguments: &str) {
    succeed(lab.command(side, "ip").args(arguments.split(' ')));
}

/// One of two machines: its host and its client.
struct Machine {
    prefix: [String; 2],
    host: harness::Host,
    client: Client,
}

impl Machine {
    /// A machine whose host and client bind these addresses.
    fn new(
        lab: &Lab,
        side: Side,
        server: &Server,
        folder: &std::path::Path,
        [host, client]: [&str; 2],
    ) -> Self {
        let prefix = lab.prefix(side);
        let backend = format!("exec:{}", server.command());
        let setup = HostSetup::new(&folder.join("host"), &backend).bind(host);
        let host = setup.under(&[&prefix[0], &prefix[1]]).start();
        let mut own = Client::new(folder, "client", server);
        own.bind(client);
        Self { prefix, host, client: own }
    }

    /// Lets this machine's client in at the other's host.
    fn know(&self, other: &Self) {
        other.host.allow(&self.client.identity);
        self.client.add_host("other", &other.host.ticket());
    }

    /// A command on this machine.
    fn here(&self, command: &Command) -> Command {
        under(&self.prefix, command)
    }
}

#[test]
fn two_machines_that_have_one_address_in_common_reach_each_other() {
    let Some(lab) = lab() else { return };
    for side in Side::BOTH {
        // As docker's on every machine that has it, and the address of every second home network.
        ip(&lab, side, "link add lan0 type bridge");
        ip(&lab, side, "address add 172.17.0.1/16 dev lan0");
        ip(&lab, side, "link set lan0 up");
    }
    let folder = folder();
    let server = Server::new(folder.path());
    let machines = Side::BOTH.map(|side| {
        let own = harness::subfolder(folder.path(), &format!("{side:?}"));
        Machine::new(&lab, side, &server, &own, ["0.0.0.0:4433", "0.0.0.0:0"])
    });
    let [a, b] = &machines;
    a.know(b);
    b.know(a);
    for machine in &machines {
        for round in 0..number("IROSH_TEST_LOGINS", 10) {
            let mut ssh = machine.client.ssh();
            let output = run(&mut machine.here(ssh.args(["other", "echo in"])));
            assert_eq!(output.stdout.said(), "in\n", "login {round}: {}", output.stderr.said());
        }
    }
}

/// Has the bridge and a native command wait for a host that grants so much and says nothing.
fn given_up_on(streams: u32, bytes: u32) {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let runtime = raw_runtime();
    let host = runtime.block_on(RawHost::granting(streams, bytes));
    client.add_host("mute", &host.ticket());
    std::thread::scope(|scope| {
        let commands = [client.proxy("mute"), under(&["env"], client.native("exec").args(["mute", "true"]))];
        let waiting = commands.map(|mut command| scope.spawn(move || run(&mut command)));
        let (done, over) = tokio::sync::oneshot::channel::<()>();
        let holding = scope.spawn(|| {
            runtime.block_on(async {
                tokio::select! {
                    () = host.hold() => {}
                    _ = over => {}
                }
            });
        });
        let outputs = waiting.map(|command| command.join().expect("no panic"));
        drop(done);
        holding.join().expect("no panic");
        for output in outputs {
            let said = output.stderr.said();
            assert!(
                !output.status.success() && said.contains("the host did not answer within 20 s"),
                "{said}"
            );
        }
    });
}

#[test]
fn a_host_that_grants_no_streams_is_given_up_on() {
    given_up_on(0, 1 << 16);
}

#[test]
fn a_host_that_takes_no_bytes_is_given_up_on() {
    given_up_on(8, 0);
}

#[test]
fn a_host_that_takes_no_more_than_who_we_are_is_given_up_on() {
    // Enough for `Hello`, for a session's header, and for the first bytes of ssh.
    given_up_on(8, 1 << 16);
}

#[test]
fn ssh_that_waits_no_longer_hears_why_there_is_no_answer_yet() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    // Somebody is there, but no host.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let id = iroh::SecretKey::from_bytes(&[3; 32]).public();
    let addr = iroh::EndpointAddr::new(id).with_ip_addr(silent.local_addr().expect("an address"));
    client.add_host("silent", &iroh_tickets::endpoint::EndpointTicket::new(addr).to_string());
    // ssh leaves without waiting for its proxy, whose stderr the pipe's end waits for.
    let output = run(client.ssh().args(["-o", "ConnectTimeout=2", "silent", "true"]));
    let said = output.stderr.said();
    assert!(said.contains("irosh-proxy: silent did not answer within 2 s"), "{said}");
    assert!(said.contains("irosh-proxy: is `irosh host` running there"), "{said}");
}

#[test]
fn ssh_that_waits_no_longer_hears_that_the_host_is_full() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let runtime = raw_runtime();
    let host = runtime.block_on(RawHost::granting(8, 1 << 16));
    client.add_host("full", &host.ticket());
    let mut ssh = client.ssh();
    let (done, over) = tokio::sync::oneshot::channel::<()>();
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(async {
                tokio::select! {
                    () = async { while let Some(incoming) = host.endpoint.accept().await { incoming.refuse() } } => {}
                    _ = over => {}
                }
            });
        });
        let said = run(ssh.args(["-o", "ConnectTimeout=2", "full", "true"])).stderr.said();
        drop(done);
        said
    });
    assert!(said.contains("irosh-proxy: full takes no more connections now"), "{said}");
}

#[test]
fn ssh_that_waits_no_longer_hears_that_the_ssh_server_is_silent() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let host = HostSetup::new(&folder.path().join("host"), "exec:sleep 60").start();
    host.allow(&client.identity);
    client.add_host("box", &host.ticket());
    // The host itself waits 2 s for that server's keys.
    let said = run(client.ssh().args(["-o", "ConnectTimeout=5", "box", "true"])).stderr.said();
    assert!(said.contains("irosh-proxy: the host's ssh server has said nothing for"), "{said}");
}
#[test]
fn a_machine_of_300_addresses_gives_tickets_that_ssh_takes_for_a_name() {
    let Some(lab) = lab() else { return };
    let batch: String = (0..300).fold(String::new(), |batch, number| {
        batch + &format!("address add 10.{}.{}.1/24 dev lab0\n", 100 + number / 250, number % 250)
    });
    let output = harness::feed(lab.command(Side::B, "ip").args(["-batch", "-"]), batch.into_bytes());
    assert!(output.status.success(), "{}", output.stderr.said());
    let folder = folder();
    let server = Server::new(folder.path());
    let [a, b] = Side::BOTH.map(|side| {
        let own = harness::subfolder(folder.path(), &format!("{side:?}"));
        Machine::new(&lab, side, &server, &own, ["0.0.0.0:0", "0.0.0.0:0"])
    });
    let invite = b.host.invite(&[]);
    assert!(invite.len() < 600, "{invite}");
    a.client.add_proxied("invite*");
    let mut ssh = a.client.ssh();
    let output = run(&mut a.here(ssh.args([&invite, "echo in"])));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn a_loopback_of_one_address_is_enough() {
    let Some(lab) = lab() else { return };
    ip(&lab, Side::B, "address del 127.0.0.1/8 dev lo");
    ip(&lab, Side::B, "address add 127.0.0.1/32 dev lo");
    let listener = lab.within(Side::B, || TcpListener::bind("127.0.0.1:0")).expect("the namespace");
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"SSH-2.0-here\r\n");
        }
    });
    let folder = folder();
    let server = Server::new(folder.path());
    let prefix = lab.prefix(Side::B);
    let setup = HostSetup::new(&folder.path().join("host"), &format!("tcp:127.0.0.1:{port}"));
    let host = setup.under(&[&prefix[0], &prefix[1]]).start();
    let client = Client::new(folder.path(), "client", &server);
    host.allow(&client.identity);
    for _ in 0..2 {
        let output = run(&mut under(&prefix, &client.proxy(&host.ticket())));
        assert_eq!(output.stdout.said(), "SSH-2.0-here\r\n", "{}", output.stderr.said());
    }
    let warnings = host.log().matches("sees all peers at one address").count();
    assert_eq!(warnings, 1, "{}", host.log());
}

#[test]
fn a_network_whose_packets_are_too_small_is_named() {
    let Some(lab) = lab() else { return };
    ip(&lab, Side::A, "link set lab0 mtu 1000");
    let folder = folder();
    let server = Server::new(folder.path());
    let mut client = Client::new(folder.path(), "client", &server);
    client.bind("0.0.0.0:0");
    let id = iroh::SecretKey::from_bytes(&[3; 32]).public();
    let addr = iroh::EndpointAddr::new(id).with_ip_addr((Side::B.address(), 4433).into());
    let ticket = iroh_tickets::endpoint::EndpointTicket::new(addr).to_string();
    let said = run(&mut under(&lab.prefix(Side::A), &client.proxy(&ticket))).stderr.said();
    assert!(said.contains("takes packets of 1000 bytes at the most (MTU), and QUIC needs 1228"), "{said}");
}

/// Runs a command that may open no sockets of this family.
const WITHOUT: &str = r"
import ctypes, os, struct, sys
AUDIT_ARCH = {'x86_64': (0xC000003E, 41), 'aarch64': (0xC00000B7, 198)}
arch, socket = AUDIT_ARCH[os.uname().machine]
family, errno = int(sys.argv[1]), 97
rules = [(0x20, 0, 0, 4), (0x15, 0, 5, arch), (0x20, 0, 0, 0), (0x15, 0, 3, socket), (0x20, 0, 0, 16),
         (0x15, 0, 1, family), (0x06, 0, 0, 0x00050000 | errno), (0x06, 0, 0, 0x7FFF0000)]
program = b''.join(struct.pack('HBBI', *rule) for rule in rules)
code = ctypes.create_string_buffer(program)
header = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, header, 0, 0) == 0
os.execvp(sys.argv[2], sys.argv[2:])
";

const AF_INET: &str = "2";
const AF_NETLINK: &str = "16";

#[test]
fn a_machine_without_ipv4_is_reached_by_ipv6() {
    if !harness::have(&["python3"]) || std::net::UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let Some(lab) = lab() else { return };
    let folder = folder();
    let server = Server::new(folder.path());
    let [a, b] = Side::BOTH.map(|side| {
        ip(&lab, side, &format!("address del {}/24 dev lab0", side.address()));
        lab.prefix(side)
    });
    let without = |prefix: [String; 2]| {
        let python = ["python3", "-c", WITHOUT, AF_INET].map(str::to_owned);
        prefix.into_iter().chain(python).collect::<Vec<_>>()
    };
    let setup = HostSetup::new(&folder.path().join("host"), "exec:printf 'SSH-2.0-here\\r\\n'");
    let wrapper = without(b);
    let host = setup.bind("").under(&wrapper.iter().map(String::as_str).collect::<Vec<_>>()).start();
    let mut client = Client::new(folder.path(), "client", &server);
    client.bind("");
    host.allow(&client.identity);
    let output = run(&mut under(&without(a), &client.proxy(&host.ticket())));
    assert_eq!(output.stdout.said(), "SSH-2.0-here\r\n", "{}", output.stderr.said());
}

#[test]
fn a_host_that_knows_no_address_of_its_own_says_so() {
    if !harness::have(&["python3"]) {
        return;
    }
    let folder = folder();
    let setup = HostSetup::new(&folder.path().join("host"), "exec:true");
    let host = setup.bind("").under(&["python3", "-c", WITHOUT, AF_NETLINK]).start();
    host.daemon.stderr.wait_for("no address of this machine is known");
}

#[test]
fn a_native_command_hears_why_the_connection_was_lost() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let host = HostSetup::new(&folder.path().join("host"), &format!("exec:{}", server.command())).start();
    host.allow(&client.identity);
    client.add_host("box", &host.ticket());
    let mut command = client.native("exec");
    let mut running = harness::Daemon::start(command.args(["box", "echo ready; sleep 60"]));
    running.stdout.wait_for("ready");
    for _ in 0..2 {
        host.daemon.signal(nix::sys::signal::Signal::SIGTERM);
        host.wait_event(|event| event["event"] == "draining");
    }
    running.stderr.wait_for("irosh: the connection was lost: the host is stopping");
    running.wait(harness::DEADLINE);
}

#[test]
fn logins_that_are_too_many_at_once_wait_their_turn() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let setup = HostSetup::new(&folder.path().join("host"), "builtin");
    let host = setup.settings("[sshd]\nMaxStartups = \"1:100:1\"\n").start();
    host.allow(&client.identity);
    client.add_host("box", &host.ticket());
    // Holds the one place until it is told to leave: it never logs in.
    let mut first = client.proxy("box");
    let mut first = harness::Running::start(first.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let stdin = first.stdin();
    let mut stdout = first.stdout();
    stdout.read_exact(&mut [0; 4]).expect("a banner");
    std::thread::scope(|scope| {
        let commands = [client.proxy("box"), under(&["env"], client.native("exec").args(["box", "true"]))];
        let waiting = commands.map(|mut command| {
            scope.spawn(move || harness::feed(&mut command, b"SSH-2.0-early\r\n".to_vec()))
        });
        host.daemon.stderr.wait_for("too many logins are under way");
        drop((stdin, stdout));
        let [bridge, native] = waiting.map(|command| command.join().expect("no panic"));
        assert!(bridge.stdout.starts_with(b"SSH-2.0-"), "{}", bridge.stderr.said());
        let said = native.stderr.said();
        assert!(!said.contains("too many logins"), "{said}");
    });
}
