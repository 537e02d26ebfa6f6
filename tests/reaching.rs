//! Ways to a host: several addresses, some of which are somebody else's, and relays that come and go.

mod harness;
mod lab;

use std::process::Command;

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
        // Docker's, on every machine that has it.
        ip(&lab, side, "link add docker0 type bridge");
        ip(&lab, side, "address add 172.17.0.1/16 dev docker0");
        ip(&lab, side, "link set docker0 up");
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
