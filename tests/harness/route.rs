//! The routes from a client to an SSH server that a scenario runs over.

use super::{Client, Host, HostSetup, Relay, Server, Sshd, folder};

/// How ssh's bytes reach sshd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Over TCP, without us: the oracle.
    Direct,
    /// Through a host that runs an sshd for each session.
    Exec,
    /// Through a host that connects to a listening sshd.
    Tcp,
    /// As [`Route::Exec`], with a relay server between client and host and no other way.
    Relayed,
    /// Through a host whose sessions the built-in server takes, with sshd's own configuration.
    Builtin,
}

impl Route {
    pub(crate) const ALL: [Self; 5] = [Self::Direct, Self::Exec, Self::Tcp, Self::Relayed, Self::Builtin];
    /// Plain ssh, and one way through us to each server.
    pub(crate) const FEW: [Self; 3] = [Self::Direct, Self::Tcp, Self::Builtin];
}

/// A client that reaches an SSH server under the name `box`.
pub(crate) struct Line {
    pub(crate) route: Route,
    pub(crate) client: Client,
    pub(crate) host: Option<Host>,
    pub(crate) sshd: Option<Sshd>,
    pub(crate) relay: Option<Relay>,
    pub(crate) server: Server,
    pub(crate) folder: tempfile::TempDir,
}

impl Line {
    pub(crate) fn new(route: Route) -> Self {
        Self::with_settings(route, "")
    }

    /// A line whose host has this `host.toml`.
    pub(crate) fn with_settings(route: Route, settings: &str) -> Self {
        let folder = folder();
        let server = Server::new(folder.path());
        let mut client = Client::new(folder.path(), "client", &server);
        let sshd = matches!(route, Route::Direct | Route::Tcp).then(|| server.listen());
        let relay = (route == Route::Relayed).then(Relay::start);
        let backend = match (&sshd, route) {
            (Some(sshd), _) => sshd.backend(),
            (None, Route::Builtin) => format!("exec:{}", server.builtin_command()),
            (None, _) => format!("exec:{}", server.command()),
        };
        let mut setup = HostSetup::new(&folder.path().join("host"), &backend).settings(settings);
        if let Some(relay) = &relay {
            setup = setup.relay(relay.url());
            client.use_relay(relay.url());
        }
        let host = (route != Route::Direct).then(|| setup.start());
        match (&host, &sshd) {
            (Some(host), _) => {
                host.allow(&client.identity);
                let ticket = if relay.is_some() { host.relay_ticket() } else { host.ticket() };
                client.add_host("box", &ticket);
            }
            (None, Some(sshd)) => client.add_direct("box", &server, sshd),
            (None, None) => unreachable!("every route has a server"),
        }
        Self { route, client, host, sshd, relay, server, folder }
    }

    pub(crate) fn host(&self) -> &Host {
        self.host.as_ref().expect("a route with a host")
    }

    /// Another client, whom the host does not know yet, with `box` as its name for the host.
    pub(crate) fn stranger(&self, name: &str) -> Client {
        let client = Client::new(self.folder.path(), name, &self.server);
        client.add_host("box", &self.host().ticket());
        client
    }
}

/// Runs a scenario over each of the routes, or over the one of them that `IROSH_TEST_ROUTE` names.
pub(crate) fn over(routes: &[Route], scenario: impl Fn(&Line)) {
    let only = std::env::var("IROSH_TEST_ROUTE").ok();
    let wanted = |route: &&Route| only.as_ref().is_none_or(|only| *only == format!("{route:?}"));
    for route in routes.iter().filter(wanted) {
        // Shown when the test fails: the last one is where.
        eprintln!("route: {route:?}");
        scenario(&Line::new(*route));
    }
}
