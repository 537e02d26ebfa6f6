//! `irosh hosts discover`.

use std::process::ExitCode;

use irosh::{
    files::Paths,
    host::load_settings,
    log::{complain, one_line},
    names::Aliases,
    proxy::{Credentials, Dialer, Discovered, Found, Proofs, discover},
    settings::{ClientSettings, NetworkChoice},
    transport::{NameService, Network, Relay},
};
use serde_json::json;

use super::network::NetworkArguments;

/// The hosts on this network that let us in, by the names that they go by.
///
/// Each host that announces itself here is asked whether it lets this identity in, so each is told which identity that is
/// (its public key). None is asked elsewhere, and nothing leaves this network.
///
/// An identity in an ssh-agent may have to be confirmed, or its key touched, for each of them. So none is asked then, and
/// all are listed, unless --prove is given.
#[derive(clap::Args)]
pub(super) struct DiscoverArguments {
    /// Ask each host whether it lets us in, also where a key has to be touched or confirmed for each
    #[arg(long)]
    prove: bool,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(super) async fn run(paths: &Paths, arguments: DiscoverArguments, json: bool) -> anyhow::Result<ExitCode> {
    let aliases = Aliases::load(&paths.aliases())?;
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    let credentials = Credentials::load(paths, settings.identity.as_deref())?;
    let network = NetworkChoice::from(arguments.network).or(settings.into());
    // Neither relays nor the name service have a part in it.
    let network = Network { relay: Relay::None, dns: NameService::None, ..network };
    let proofs = if arguments.prove { Proofs::Always } else { Proofs::IfNobodyIsAsked };
    if arguments.prove {
        credentials.check().await?;
    }
    let dialer = Dialer::bind(network, credentials).await?;
    let discovered = discover(&dialer, proofs).await;
    dialer.close().await;
    let discovered = discovered?;
    let mut is_new = false;
    for host in &discovered.hosts {
        let called = names_of(host, &aliases);
        is_new |= called.is_empty();
        super::print::print(&shown(host, &called, json));
    }
    if is_new {
        complain("irosh", &"to have a name for one, run: irosh hosts add NAME ENDPOINT_ID");
    }
    tell_of_others(&discovered);
    Ok(ExitCode::SUCCESS)
}

/// Says what the list does not.
fn tell_of_others(discovered: &Discovered) {
    let Discovered { hosts, refused, silent } = discovered;
    if hosts.iter().any(|host| host.name.is_none()) {
        let why = "where no name is shown, the host was not asked whether it lets us in: your key may have to be touched \
                   or confirmed for each\nrun `irosh hosts discover --prove` to ask them one after the other";
        complain("irosh", &why);
    }
    for (count, what) in [(*refused, "did not let us in"), (*silent, "did not answer")] {
        let more = if hosts.is_empty() { "" } else { "more " };
        let hosts = if count == 1 { "host" } else { "hosts" };
        if count > 0 {
            complain("irosh", &format!("{count} {more}{hosts} on this network {what}"));
        }
    }
    if hosts.is_empty() && refused + silent == 0 {
        complain("irosh", &"no host announces itself on this network");
    }
}

/// What the user calls a host.
fn names_of<'a>(host: &Found, aliases: &'a Aliases) -> Vec<&'a str> {
    let is_it = |name: &&str| aliases.resolve(name).is_ok_and(|target| target.addr().id == host.id);
    aliases.hosts.keys().map(String::as_str).filter(is_it).collect()
}

fn shown(host: &Found, called: &[&str], json: bool) -> String {
    if json {
        let (id, address) = (host.id.to_string(), host.address.to_string());
        return json!({ "name": host.name, "endpoint_id": id, "address": address, "aliases": called })
            .to_string();
    }
    let called = match called {
        [] => String::new(),
        [name] => format!("  called {name}"),
        [names @ .., last] => format!("  called {} and {last}", names.join(", ")),
    };
    let name = host.name.as_deref().map_or_else(|| "-".to_owned(), one_line);
    format!("{name}  {}  {}{called}", host.id, host.address)
}
