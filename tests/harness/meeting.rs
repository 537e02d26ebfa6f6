//! A host and a client that do not know each other, and what brings them together: a name server and a relay of their
//! own, on loopback.

use std::{path::PathBuf, process::Command, time::Duration};

use irosh::{
    pairing::Code,
    transport::{Bind, Network},
};
use serde_json::Value;

use super::{
    Client, DEADLINE, Daemon, Host, HostSetup, IROSH, NameServer, Relay, Server, folder, program, succeed,
};

/// A host and a client that can find each other by a code.
pub(crate) struct Meeting {
    pub(crate) client: Client,
    pub(crate) host: Option<Host>,
    pub(crate) server: Server,
    pub(crate) names: NameServer,
    pub(crate) relay: Relay,
    setup: HostSetup,
    host_home: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

impl Meeting {
    /// With a host that runs, in front of sshd.
    pub(crate) fn new() -> Self {
        Self::with_backend(|server| format!("exec:{}", server.command()))
    }

    /// With a host in front of this.
    pub(crate) fn with_backend(backend: impl FnOnce(&Server) -> String) -> Self {
        let mut meeting = Self::without_a_host(backend);
        meeting.start_host();
        meeting
    }

    /// The same, with a host that logs all.
    pub(crate) fn tracing(backend: impl FnOnce(&Server) -> String) -> Self {
        let mut meeting = Self::without_a_host(backend);
        meeting.setup = meeting.setup.log("trace");
        meeting.start_host();
        meeting
    }

    /// With a host that does not run yet.
    pub(crate) fn without_a_host(backend: impl FnOnce(&Server) -> String) -> Self {
        let folder = folder();
        let server = Server::new(folder.path());
        let (names, relay) = (NameServer::start(), Relay::start());
        let mut client = Client::new(folder.path(), "client", &server);
        client.use_relay(relay.url());
        client.bind("127.0.0.1:0");
        let host_home = folder.path().join("host");
        let setup = HostSetup::new(&host_home, &backend(&server)).relay(relay.url());
        let setup = setup.variable("IROSH_DNS", &names.setting());
        Self { client, host: None, server, names, relay, setup, host_home, folder }
    }

    pub(crate) fn start_host(&mut self) {
        self.host = Some(self.setup.clone().start());
    }

    pub(crate) fn host(&self) -> &Host {
        self.host.as_ref().expect("a host that runs")
    }

    /// How both reach the network.
    pub(crate) fn network(&self) -> Network {
        Network {
            relay: self.relay.url().parse().expect("a relay"),
            dns: self.names.setting().parse().expect("a name service"),
            bind: "127.0.0.1:0".parse::<Bind>().expect("an address"),
            ..Network::default()
        }
    }

    /// A command, with what both are told of the network.
    pub(crate) fn on_the_network(&self, mut command: Command) -> Command {
        command.env("IROSH_RELAY", self.relay.url()).env("IROSH_DNS", self.names.setting());
        command
    }

    /// `irosh` on the host's machine.
    pub(crate) fn at_host(&self, arguments: &[&str]) -> Command {
        let mut irosh = program(IROSH, &self.host_home);
        irosh.args(arguments).env("USER", "hostuser").env_remove("LOGNAME").env_remove("SUDO_USER");
        self.on_the_network(irosh)
    }

    /// `irosh` on the client's machine.
    pub(crate) fn at_client(&self, arguments: &[&str]) -> Command {
        self.on_the_network(self.client.irosh(arguments))
    }

    /// Has the host show a code.
    pub(crate) fn pair(&self, arguments: &[&str]) -> Shown {
        Shown::start(self.at_host(&[&["pair", "--json"], arguments].concat()))
    }

    /// ssh, as somebody runs it after `irosh join`, with what that has installed.
    pub(crate) fn ssh(&self) -> Command {
        installed_ssh(&self.client, &self.server)
    }

    /// The same where questions are answered.
    pub(crate) fn ssh_that_asks(&self) -> Command {
        ssh_as_installed(&self.client)
    }

    /// Those whom the host lets in.
    pub(crate) fn peers(&self) -> String {
        succeed(&mut self.at_host(&["peers", "list"]))
    }
}

/// ssh with what `irosh ssh-config install` has written. ssh itself looks for that in the home of the account, so it is
/// told in full.
pub(crate) fn installed_ssh(client: &Client, server: &Server) -> Command {
    let mut ssh = ssh_as_installed(client);
    ssh.arg("-i").arg(server.user_key()).args(["-o", "BatchMode=yes"]);
    ssh
}

fn ssh_as_installed(client: &Client) -> Command {
    let own = client.home().join(".ssh/irosh_config");
    assert!(own.exists(), "nothing was installed");
    let included = std::fs::read_to_string(client.home().join(".ssh/config")).expect("ssh's configuration");
    assert_eq!(included, "Include irosh_config\n");
    let config = client.home().join("installed");
    std::fs::write(&config, format!("Include \"{}\"\n", own.display())).expect("a configuration");
    let mut ssh = client.command("ssh");
    ssh.arg("-F").arg(config);
    ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=/dev/null"]);
    ssh
}

/// A command that shows a code, and waits.
pub(crate) struct Shown {
    pub(crate) daemon: Daemon,
    pub(crate) code: String,
}

impl Shown {
    pub(crate) fn start(mut command: Command) -> Self {
        let daemon = Daemon::start(command.stdin(std::process::Stdio::null()));
        let mut shown = Self { daemon, code: String::new() };
        let code = shown.event("code")["code"].as_str().expect("a code").to_owned();
        shown.code = code;
        shown
    }

    /// Waits for an event.
    pub(crate) fn event(&self, kind: &str) -> Value {
        let event = |line: &str| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value["event"] == kind || (kind == "joined" && value["ssh"].is_string())).then_some(value)
        };
        let found = self.daemon.stdout.find(DEADLINE, event);
        found.unwrap_or_else(|| panic!("no {kind}: {}", self.said()))
    }

    /// Waits for its end; says what it exits with.
    pub(crate) fn ends(&mut self, within: Duration) -> Option<i32> {
        self.daemon.wait(within).code()
    }

    /// What it has said on stderr.
    pub(crate) fn said(&self) -> String {
        self.daemon.stderr.all().join("\n")
    }

    /// A code of the same nameplate with another word.
    pub(crate) fn wrong(&self) -> String {
        let parts: Vec<_> = self.code.split('-').collect();
        let other = if parts[2] == "otter" { "badger" } else { "otter" };
        let wrong = format!("{}-{}-{other}", parts[0], parts[1]);
        assert!(wrong.parse::<Code>().is_ok());
        wrong
    }
}
