//! `irosh hosts`.

use anyhow::bail;
use clap::Subcommand;
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    files::Paths,
    names::{Aliases, without_secret},
    proxy::load_host_keys,
};
use serde_json::json;

use super::ssh_config;

#[derive(clap::Args)]
#[command(arg = super::no_system())]
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
    },
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

pub(super) fn run(paths: &Paths, arguments: HostsArguments) -> anyhow::Result<()> {
    let file = paths.aliases();
    match arguments.command.unwrap_or(HostsCommand::List) {
        HostsCommand::List => {
            let aliases = Aliases::load(&file)?;
            for name in aliases.hosts.keys() {
                // Without the secret of an invite.
                let target = EndpointTicket::new(aliases.resolve(name)?.addr().clone()).to_string();
                if arguments.json {
                    super::print(&json!({ "name": name, "target": target }).to_string());
                } else {
                    super::print(&format!("{name}  {target}"));
                }
            }
        }
        HostsCommand::Add { name, target } => {
            if Aliases::add(&file, &name, &target)?.is_some() {
                super::print(&format!("{name} stood for another host until now, or for an older ticket"));
            }
            ssh_config::refresh(paths)?;
        }
        HostsCommand::Remove { name } => {
            if Aliases::remove(&file, &name)?.is_none() {
                bail!("no host is called `{}`\n`irosh hosts list` shows all names", without_secret(&name));
            }
            ssh_config::refresh(paths)?;
        }
        HostsCommand::Show { target } => show(paths, &target, arguments.json)?,
    }
    Ok(())
}

fn show(paths: &Paths, target: &str, json: bool) -> anyhow::Result<()> {
    let target = Aliases::load(&paths.aliases())?.resolve(target)?;
    let addr = target.addr();
    let ips: Vec<_> = addr.ip_addrs().map(ToString::to_string).collect();
    let relays: Vec<_> = addr.relay_urls().map(ToString::to_string).collect();
    let keys = load_host_keys(paths, addr.id);
    if json {
        let line = json!({ "endpoint_id": addr.id.to_string(), "addresses": ips, "relays": relays, "host_keys": keys });
        super::print(&line.to_string());
        return Ok(());
    }
    super::print(&format!("endpoint id  {}", addr.id));
    for (what, items) in [("address", ips), ("relay", relays), ("host key", keys)] {
        for item in items {
            super::print(&format!("{what:<11}  {item}"));
        }
    }
    Ok(())
}
