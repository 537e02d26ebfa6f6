//! A client and a host with a network between them: plain, or with routers and relays.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    net::Ipv4Addr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{Certificate, Chat, Client, Host, HostSetup, Relay, Server, folder, skip, succeed},
    lab::{
        Lab,
        spec::{Change, LinkSpec, Nat, RouterChange, RouterSpec, Side},
    },
};

/// How long packets take from one side to another.
const DELAY: Duration = Duration::from_millis(5);

/// For how long packets are counted to tell which way lines go.
const WATCH: Duration = Duration::from_millis(300);

/// A client (on side B) and a host (on side A).
pub(crate) struct Street {
    pub(crate) lab: Lab,
    pub(crate) client: Client,
    pub(crate) host: Host,
    pub(crate) server: Server,
    relays: Vec<Option<Relay>>,
    certificate: Certificate,
    _folder: tempfile::TempDir,
}

/// What a street is made of.
#[derive(Default)]
pub(crate) struct Plan {
    /// What the client is behind.
    pub(crate) client: Nat,
    /// What the host is behind.
    pub(crate) host: Nat,
    /// How many relays both know.
    pub(crate) relays: usize,
    /// The host's `host.toml`.
    pub(crate) settings: &'static str,
}

/// The way that packets take between client and host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Relayed,
}

impl Street {
    /// None where this machine or user can have no namespaces.
    pub(crate) fn new(settings: &'static str) -> Option<Self> {
        Self::of(&Plan { settings, ..Plan::default() })
    }

    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let routers = [plan.host, plan.client].map(RouterSpec::of);
        let spec = LinkSpec { delay: DELAY, routers, ..LinkSpec::default() };
        let lab = Lab::new(&spec).map_err(|why| skip(&why.to_string())).ok()?;
        let folder = folder();
        let server = Server::new(folder.path());
        let addresses = &Side::SERVERS[..plan.relays];
        let names = addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        let certificate = Certificate::of(&names.iter().map(String::as_str).collect::<Vec<_>>(), 2999);
        let authority = folder.path().join("authority.pem");
        fs::write(&authority, &certificate.pem).expect("a file");
        let relays: Vec<_> = addresses.iter().map(|at| Some(relay(&lab, &certificate, *at))).collect();
        let urls = match names.iter().map(|name| format!("https://{name}/")).collect::<Vec<_>>() {
            none if none.is_empty() => "none".to_owned(),
            urls => urls.join(","),
        };
        let mut client = Client::new(folder.path(), "client", &server);
        client.use_relay(&urls);
        client.bind("0.0.0.0:0");
        client.trust(&authority);
        let [enter, namespace] = lab.prefix(Side::A);
        let setup = HostSetup::new(&folder.path().join("host"), &format!("exec:{}", server.command()));
        let setup =
            setup.settings(plan.settings).relay(&urls).variable("IROSH_CA", &authority.to_string_lossy());
        let host = setup.under(&[&enter, &namespace, "env", "IROSH_BIND=0.0.0.0:0"]).start();
        host.allow(&client.identity);
        client.add_host("box", &host.ticket());
        Some(Self { lab, client, host, server, relays, certificate, _folder: folder })
    }

    /// Lines both ways through a session of plain ssh.
    pub(crate) fn chat(&self) -> Chat {
        self.chat_by(self.client.ssh())
    }

    /// The same by a command that takes a host and what to run there.
    pub(crate) fn chat_by(&self, mut command: Command) -> Chat {
        self.lab.within(Side::B, || Chat::by(&mut command)).expect("entered")
    }

    pub(crate) fn down(&self) {
        self.lab.set(Change::Down);
    }

    pub(crate) fn up(&self) {
        self.lab.set(Change::Up);
    }

    /// Has a side have another address, at once.
    pub(crate) fn moves(&self, side: Side, from: &str, to: &str) {
        let ip = |words: &str| succeed(self.lab.command(side, "ip").args(words.split(' ')));
        // The other way round, the new one would go with the old one; and so do routes.
        ip(&format!("address del {from}/24 dev lab0"));
        ip(&format!("address add {to}/24 dev lab0"));
        ip("route replace default dev lab0");
    }

    /// Has both routers forget, and be somewhere else if that is said.
    pub(crate) fn forget(&self, elsewhere: Option<[Ipv4Addr; 2]>) {
        for side in Side::BOTH {
            let outside = elsewhere.map(|addresses| RouterChange::Outside(addresses[side.index()]));
            self.lab.set_router(side, outside.unwrap_or(RouterChange::Flush));
        }
    }

    pub(crate) fn kill_relay(&mut self, nth: usize) {
        self.relays[nth] = None;
    }

    /// Whether UDP reaches the host.
    pub(crate) fn udp(&self, passes: bool) {
        self.lab.set_router(Side::A, RouterChange::Udp(passes));
    }

    /// Which way lines go now.
    pub(crate) fn way(&self, chat: &Chat) -> Way {
        let counts = || {
            let of = |from, to| self.lab.carried(from, to);
            (of(Side::A, Side::B), of(Side::A, Side::Net))
        };
        let (direct, relayed) = counts();
        thread::sleep(WATCH);
        chat.flows();
        let (direct, relayed) = (counts().0 - direct, counts().1 - relayed);
        if direct > relayed { Way::Direct } else { Way::Relayed }
    }

    /// Waits until lines go this way; says how long that took.
    pub(crate) fn goes(&self, chat: &Chat, way: Way) -> Duration {
        let begun = Instant::now();
        while self.way(chat) != way {
            assert!(begun.elapsed() < Duration::from_secs(20), "not {way:?}");
        }
        begun.elapsed()
    }
}

fn relay(lab: &Lab, certificate: &Certificate, at: Ipv4Addr) -> Relay {
    lab.within(Side::Net, || Relay::with_discovery(certificate, at)).expect("entered")
}
