//! The ways by which two machines find each other: a switch and nothing else, and two routers with a relay and a name
//! server behind them.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::Path,
    process::Command,
    sync::mpsc,
    time::{Duration, Instant},
};

use irosh::{
    pairing::{Code, Nameplate, Options, Showing},
    transport::Network,
};
use tokio_util::sync::CancellationToken;

use crate::{
    AT_ONCE,
    harness::{
        Certificate, Client, Host, HostSetup, IROSH, NameServer, Relay, Said, Server, Shown, folder,
        installed_ssh, program, run, skip, succeed, under,
    },
    lab::{
        Lab, LabUnavailable,
        spec::{LinkSpec, Nat, RouterSpec, Side},
        switch::{Family, Switch},
    },
};

/// How long it may take from a code that is seen to a command that has run there.
const SOON: Duration = Duration::from_secs(5);

/// How long packets take from one side to another.
const DELAY: Duration = Duration::from_millis(5);

/// The port of the name server.
const NAMES: u16 = 8080;

/// What is between the sides.
enum Ground {
    Switch(Switch),
    Routers(Lab),
}

impl Ground {
    fn prefix(&self, side: Side) -> [String; 2] {
        match self {
            Self::Switch(switch) => switch.prefix(side.index()),
            Self::Routers(lab) => lab.prefix(side),
        }
    }

    fn within<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        match self {
            Self::Switch(switch) => switch.within(side.index(), work),
            Self::Routers(lab) => lab.within(side, work),
        }
    }
}

/// A host on side A and a client on side B that do not know each other.
struct Apart {
    ground: Ground,
    client: Client,
    host: Host,
    server: Server,
    /// What both are told of the network.
    settings: Vec<(&'static str, String)>,
    _relay: Option<Relay>,
    folder: tempfile::TempDir,
}

impl Apart {
    /// Without anything between but a switch.
    fn on_a_switch() -> Option<Self> {
        let ground = Ground::Switch(had(Switch::new(2, Family::V4))?);
        let settings = vec![("IROSH_RELAY", "none".to_owned()), ("IROSH_DNS", "none".to_owned())];
        Some(Self::on(ground, settings, None, folder()))
    }

    /// With a third machine at the switch, which is the network to both: a relay, and a name server.
    fn on_a_switch_with_servers() -> Option<Self> {
        let ground = Ground::Switch(had(Switch::new(3, Family::V4))?);
        Some(Self::with_servers(ground, [Switch::address(Side::Net.index()); 2]))
    }

    /// With a router of this kind before each, and a relay and a name server on the network.
    fn behind_routers(nat: Nat) -> Option<Self> {
        let routers = [RouterSpec::of(nat); 2];
        let ground =
            Ground::Routers(had(Lab::new(&LinkSpec { delay: DELAY, routers, ..LinkSpec::default() }))?);
        Some(Self::with_servers(ground, [Side::SERVERS[0], Side::SERVERS[1]]))
    }

    /// With a relay and a name server at these addresses.
    fn with_servers(ground: Ground, [at, names]: [Ipv4Addr; 2]) -> Self {
        let folder = folder();
        let certificate = Certificate::of(&[&at.to_string()], 2999);
        let authority = folder.path().join("authority.pem");
        fs::write(&authority, &certificate.pem).expect("a file");
        let relay = ground.within(Side::Net, || Relay::with_discovery(&certificate, at)).expect("entered");
        let names =
            ground.within(Side::Net, || NameServer::start_at((names, NAMES).into())).expect("entered");
        let settings = vec![
            ("IROSH_RELAY", format!("https://{at}/")),
            ("IROSH_DNS", names.setting()),
            ("IROSH_CA", authority.display().to_string()),
        ];
        Self::on(ground, settings, Some(relay), folder)
    }

    fn on(
        ground: Ground,
        mut settings: Vec<(&'static str, String)>,
        relay: Option<Relay>,
        folder: tempfile::TempDir,
    ) -> Self {
        settings.push(("IROSH_BIND", "0.0.0.0:0".to_owned()));
        settings.push(("IROSH_LAN", "true".to_owned()));
        let server = Server::new(folder.path());
        let client = Client::new(folder.path(), "client", &server);
        let setup = HostSetup::new(&folder.path().join("host"), &format!("exec:{}", server.command()));
        let [enter, namespace] = ground.prefix(Side::A);
        let words: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut wrapper = vec![enter.as_str(), &namespace, "env"];
        wrapper.extend(words.iter().map(String::as_str));
        let host = setup.under(&wrapper).start();
        Self { ground, client, host, server, settings, _relay: relay, folder }
    }

    /// A command on a side, with what both are told of the network.
    fn at(&self, side: Side, mut command: Command) -> Command {
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        under(&self.ground.prefix(side), &command)
    }

    fn pair(&self) -> Shown {
        let mut pair = program(IROSH, self.host.home());
        pair.args(["pair", "--json"]);
        Shown::start(self.at(Side::A, pair))
    }

    fn join(&self, code: &str) -> Command {
        self.at(Side::B, self.client.irosh(&["join", "--json", code, "box"]))
    }

    /// The same for a program of the test's own, at an address, which leaves the switch alone.
    fn network(&self, at: Ipv4Addr) -> Network {
        let setting = |name: &str| {
            let found = self.settings.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).expect("a setting")
        };
        Network {
            relay: setting("IROSH_RELAY").parse().expect("a relay"),
            dns: setting("IROSH_DNS").parse().expect("a name service"),
            ca: Some(setting("IROSH_CA").into()),
            bind: format!("{at}:0").parse().expect("an address"),
            lan: false,
            ..Network::default()
        }
    }

    /// From a code to a command that has run, in no time.
    fn gets_together(&self) -> Duration {
        let mut shown = self.pair();
        let begun = Instant::now();
        succeed(&mut self.join(&shown.code));
        let output =
            run(self.at(Side::B, installed_ssh(&self.client, &self.server)).args(["box", "echo in"]));
        let took = begun.elapsed();
        assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
        assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
        took
    }
}

fn had<T>(ground: Result<T, LabUnavailable>) -> Option<T> {
    ground.map_err(|why| skip(&why.to_string())).ok()
}

#[test]
fn a_switch_is_all_that_is_needed() {
    let Some(apart) = Apart::on_a_switch() else { return };
    let took = apart.gets_together();
    eprintln!("from the code to a command's output: {took:?}");
    assert!(took < SOON, "{took:?}");
}

/// With `lan = false`, neither side says or asks anything there.
#[test]
fn who_does_not_want_the_local_network_leaves_it_alone() {
    let Some(apart) = Apart::on_a_switch() else { return };
    let alone = |side, mut command: Command, settings: &Path| {
        command.env_remove("IROSH_LAN");
        let mut command = apart.at(side, command);
        command.env_remove("IROSH_LAN");
        fs::write(settings, "lan = false\n").expect("settings");
        command
    };
    let mut shown = apart.pair();
    let join = apart.client.irosh(&["join", &shown.code, "box"]);
    let begun = Instant::now();
    let output = run(&mut alone(Side::B, join, &apart.client.home().join("config.toml")));
    let said = output.stderr.said();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("the local network is not asked (lan = false), and no name service is set"),
        "{said}"
    );
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    // Who is asked for all the same is found.
    fs::remove_file(apart.client.home().join("config.toml")).expect("removed");
    succeed(&mut apart.join(&shown.code));
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    let mut pair = program(IROSH, apart.host.home());
    pair.args(["pair", "--json"]);
    let output = run(&mut alone(Side::A, pair, &apart.host.home().join("host.toml")));
    let said = output.stderr.said();
    assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(1), ""), "{said}");
    assert!(
        said.contains("the local network is not asked (lan = false), and no name service is set"),
        "{said}"
    );
}

#[test]
fn a_wrong_word_on_a_switch_is_refused_at_once() {
    let Some(apart) = Apart::on_a_switch() else { return };
    let mut shown = apart.pair();
    let begun = Instant::now();
    let output = run(&mut apart.join(&shown.wrong()));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.said().contains("these are not the words of the code"), "{}", output.stderr.said());
    assert_eq!(shown.ends(AT_ONCE), Some(1));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[test]
fn a_nameplate_that_another_machine_on_the_switch_has_is_left_to_it() {
    let Some(apart) = Apart::on_a_switch() else { return };
    let mut all = Vec::new();
    for number in 0..10 {
        let home = apart.folder.path().join(format!("host{number}"));
        let mut pair = program(IROSH, &home);
        pair.args(["pair", "--json"]);
        all.push(Shown::start(apart.at(Side::BOTH[number % 2], pair)));
    }
    let mut nameplates: Vec<_> = all.iter().map(|shown| shown.code.split('-').next()).collect();
    nameplates.sort_unstable();
    nameplates.dedup();
    assert_eq!(nameplates.len(), all.len());
}

#[test]
fn two_routers_with_a_relay_between_are_no_obstacle() {
    for nat in [Nat::Easy, Nat::Hard] {
        let Some(apart) = Apart::behind_routers(nat) else { return };
        let took = apart.gets_together();
        eprintln!("{nat:?}: from the code to a command's output: {took:?}");
        assert!(took < SOON, "{nat:?}: {took:?}");
    }
}

/// A host of a program's own, on the network itself, that shows a code of this nameplate whoever has it; until it is told
/// to stop. It lets nobody in, but says who was there.
fn another_host(
    network: &Network,
    nameplate: Nameplate,
    told: &mpsc::Sender<String>,
    stop: &CancellationToken,
) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = Options { ttl: Duration::from_secs(60), nameplate: Some(nameplate) };
        let mut showing = Showing::begin(network, options).await.expect("a code");
        told.send(showing.code().to_string()).expect("somebody waits");
        let mut met = stop.run_until_cancelled(showing.client(false)).await?.ok()?;
        let client = met.introduction().await.expect("a client");
        met.refuse("not today").await;
        Some(client.name)
    })
}

/// One of them is found on the switch, and the other by a name server, so that neither knows of the other. Whoever types
/// the code of one of them comes to that one, and the other one has at the most seen a wrong guess.
#[test]
fn of_two_hosts_on_one_nameplate_the_right_one_is_found() {
    for here_is_right in [true, false] {
        let Some(apart) = Apart::on_a_switch_with_servers() else { return };
        let network = apart.network(Switch::address(Side::Net.index()));
        let mut pair = program(IROSH, apart.host.home());
        pair.args(["pair", "--json"]);
        let mut pair = apart.at(Side::A, pair);
        // On the switch alone.
        pair.env("IROSH_DNS", "none");
        let mut here = Shown::start(pair);
        let nameplate = here.code.parse::<Code>().expect("a code").nameplate();
        let ((told, other), stop) = (mpsc::channel(), CancellationToken::new());
        let (output, there) = std::thread::scope(|scope| {
            let (ground, network, stopping) = (&apart.ground, &network, stop.clone());
            let showing = scope.spawn(move || {
                ground
                    .within(Side::Net, || another_host(network, nameplate, &told, &stopping))
                    .expect("entered")
            });
            let there = other.recv().expect("a code");
            assert_ne!(here.code, there, "the same words by chance");
            let output = run(&mut apart.join(if here_is_right { &here.code } else { &there }));
            stop.cancel();
            (output, showing.join().expect("no panic"))
        });
        let said = output.stderr.said();
        if here_is_right {
            assert!(output.status.success(), "{said}");
            assert_eq!((here.ends(AT_ONCE), there), (Some(0), None), "{}", here.said());
        } else {
            assert!(said.contains("the host says: not today"), "{said}");
            assert!(there.is_some());
            let list = std::fs::read_to_string(apart.host.home().join("authorized_peers"));
            assert_eq!(list.unwrap_or_default(), "");
        }
    }
}
