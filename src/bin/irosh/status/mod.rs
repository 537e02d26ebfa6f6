//! `irosh status`.

pub(super) mod text;
mod watch;

use std::process::ExitCode;

use irosh::{agent, files::Paths, host, log::printable};
use nix::unistd::geteuid;
use serde_json::json;

/// What is going on: hosts, peers and sessions
///
/// Of the agent: each host, the path to it with its round-trip time, the sessions there, and what went wrong last, also
/// where ssh has thrown the message away. Of a host (`irosh host`) of this user's, and for root of the system's: who is
/// connected, by which path, sessions that are attached or wait for their client, and who was not let in.
#[derive(clap::Args)]
pub(super) struct StatusArguments {
    /// Print it anew each second until it is interrupted; on a terminal, in place of what was there
    #[arg(short, long)]
    watch: bool,
    /// Print JSON: an object with `agents` and `hosts`, null for one that does not answer; with --watch, one a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(system: bool, paths: Paths, arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let StatusArguments { watch, json } = *arguments;
    let sides = Sides::of(system, paths);
    if watch {
        return super::remote::run(|| watch::run(move || sides.look().shown(json), json));
    }
    super::print::print(&sides.look().shown(json));
    Ok(ExitCode::SUCCESS)
}

/// Whose status is asked for.
#[derive(Clone)]
struct Sides {
    /// Whose agents.
    client: Option<Paths>,
    hosts: Vec<Paths>,
}

/// What there was to find out.
struct Found<'a> {
    client: Option<(&'a Paths, Vec<agent::Running>)>,
    hosts: Vec<host::Running>,
}

impl Sides {
    fn of(system: bool, paths: Paths) -> Self {
        if system {
            return Self { client: None, hosts: vec![paths] };
        }
        let mut hosts = vec![paths.clone()];
        // Under IROSH_HOME, all is in one place.
        if geteuid().is_root() && std::env::var_os("IROSH_HOME").is_none() {
            hosts.push(Paths::of_system());
        }
        Self { client: Some(paths), hosts }
    }

    fn look(&self) -> Found<'_> {
        Found {
            client: self.client.as_ref().map(|paths| (paths, agent::running(paths))),
            hosts: self.hosts.iter().filter_map(host::running).collect(),
        }
    }
}

impl Found<'_> {
    fn shown(&self, json: bool) -> String {
        if json {
            let agents = self.client.iter().flat_map(|(_, agents)| agents).map(|agent| &agent.status);
            let hosts = self.hosts.iter().map(|host| &host.status);
            return json!({ "agents": agents.collect::<Vec<_>>(), "hosts": hosts.collect::<Vec<_>>() })
                .to_string();
        }
        let client = self.client.iter().map(|(paths, agents)| text::agents(paths, agents));
        let mut parts: Vec<_> = client.chain(self.hosts.iter().map(text::host)).collect();
        if parts.is_empty() {
            parts.push(
                "no host is running\nstart it: systemctl start irosh-host, or irosh --system host".to_owned(),
            );
        }
        printable(&parts.join("\n\n"))
    }
}
