//! Ways to a host: several addresses, some of which are somebody else's, and relays that come and go.

mod harness;
mod lab;

use std::process::Command;

use harness::{Client, HostSetup, Said, Server, folder, number, run, succeed, under};
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
    fn new(lab: &Lab, side: Side, server: &Server, folder: &std::path::Path, [host, client]: [&str; 2]) -> Self {
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
