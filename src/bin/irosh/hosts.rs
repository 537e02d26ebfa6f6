//! `irosh hosts`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    files::Paths,
    log::say,
    names::{Aliases, Listens, Place, without_secret},
    proxy::load_host_keys,
};
use serde_json::json;

use super::{
    discover::{self, DiscoverArguments},
    remote, ssh_config,
};

#[derive(clap::Args)]
#[command(arg = super::network::no_system())]
pub(super) struct HostsArguments {
    #[command(subcommand)]
    command: Option<HostsCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum HostsCommand {
    /// List the names
    List,
    /// Give a host a name
    Add {
        /// What to call it
        name: String,
        /// A ticket, an endpoint id, an invite or another name
        target: String,
        /// A port for programs with an SSH library of their own, which the agent has open as `irosh listen` does
        #[arg(long, value_name = "[ADDRESS:]PORT")]
        listen: Option<Place>,
        /// No such port any more
        #[arg(long, conflicts_with = "listen")]
        no_listen: bool,
    },
    /// List the hosts on this network that let us in
    Discover(DiscoverArguments),
    /// Forget a name
    Remove {
        /// Which
        name: String,
    },
    /// Show what a name stands for
    Show {
        /// A name, a ticket, an invite or an endpoint id
        target: String,
    },
}

pub(super) fn run(paths: &Paths, arguments: HostsArguments) -> anyhow::Result<ExitCode> {
    let file = paths.aliases();
    match arguments.command.unwrap_or(HostsCommand::List) {
        HostsCommand::List => {
            let aliases = Aliases::load(&file)?;
            if aliases.hosts.is_empty() {
                say(
                    "irosh: no host has a name here yet: run `irosh pair` on the host, and `irosh join` here\n",
                );
            }
            for name in aliases.hosts.keys() {
                // Without the secret of an invite.
                let target = EndpointTicket::new(aliases.resolve(name)?.addr().clone()).to_string();
                let port = aliases.ports.get(name);
                if arguments.json {
                    super::print::print(
                        &json!({ "name": name, "target": target, "listen": port }).to_string(),
                    );
                } else {
                    let port = port.map(|place| format!("  port {place}")).unwrap_or_default();
                    super::print::print(&format!("{name}  {target}{port}"));
                }
            }
        }
        HostsCommand::Add { name, target, listen, no_listen } => {
            let listens = match listen {
                Some(place) => Listens::At(for_this_machine(place)?),
                None if no_listen => Listens::Nowhere,
                None => Listens::AsBefore,
            };
            if Aliases::add(&file, &name, &target, listens)?.is_some() {
                super::print::print(&format!(
                    "{name} stood for another host until now, or for an older ticket"
                ));
            }
            if let Some(place) = listen {
                super::print::print(&format!(
                    "{place} is {name} for as long as an agent runs, which `irosh agent start` starts"
                ));
            }
            ssh_config::refresh(paths)?;
        }
        HostsCommand::Discover(network) => {
            return remote::run(|| discover::run(paths, network, arguments.json));
        }
        HostsCommand::Remove { name } => {
            if Aliases::remove(&file, &name)?.is_none() {
                bail!("no host is called `{}`\n`irosh hosts list` shows all names", without_secret(&name));
            }
            ssh_config::refresh(paths)?;
        }
        HostsCommand::Show { target } => show(paths, &target, arguments.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A place that nobody gets to from elsewhere.
fn for_this_machine(place: Place) -> anyhow::Result<Place> {
    match place.reached_from_elsewhere() {
        None => Ok(place),
        Some(why) => bail!("{why}\nlisten at 127.0.0.1, or run `irosh listen --any-address`"),
    }
}

fn show(paths: &Paths, target: &str, json: bool) -> anyhow::Result<()> {
    let aliases = Aliases::load(&paths.aliases())?;
    let port = aliases.port(target).map(|place| place.to_string());
    let target = aliases.resolve(target)?;
    let addr = target.addr();
    let ips: Vec<_> = addr.ip_addrs().map(ToString::to_string).collect();
    let relays: Vec<_> = addr.relay_urls().map(ToString::to_string).collect();
    let keys = load_host_keys(paths, addr.id);
    if json {
        let line = json!({ "endpoint_id": addr.id.to_string(), "addresses": ips, "relays": relays, "host_keys": keys, "listen": port });
        super::print::print(&line.to_string());
        return Ok(());
    }
    super::print::print(&format!("endpoint id  {}", addr.id));
    let port = port.into_iter().collect();
    for (what, items) in [("address", ips), ("relay", relays), ("host key", keys), ("port", port)] {
        for item in items {
            super::print::print(&format!("{what:<11}  {item}"));
        }
    }
    Ok(())
}
