//! `irosh hosts discover`.

use std::process::ExitCode;

use irosh::{
    files::Paths,
    host::load_settings,
    log::{complain, one_line},
    names::Aliases,
    proxy::{Dialer, Discovered, Found, discover},
    settings::{ClientSettings, NetworkChoice},
    transport::{KeyFile, NameService, Network, Relay},
};
use serde_json::json;

use super::NetworkArguments;

/// The hosts on this network that let us in, by the names that they go by.
///
/// Each host that announces itself here is asked whether it lets this identity in, so each is told which identity that is
/// (its public key). None is asked elsewhere, and nothing leaves this network.
#[derive(clap::Args)]
pub(super) struct DiscoverArguments {
    #[command(flatten)]
    network: NetworkArguments,
}

pub(super) async fn run(paths: &Paths, arguments: DiscoverArguments, json: bool) -> anyhow::Result<ExitCode> {
    let aliases = Aliases::load(&paths.aliases())?;
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    let network = NetworkChoice::from(arguments.network).or(settings.into());
    let identity = KeyFile::load_or_create(&paths.identity(), &irosh::log::who())?;
    // Neither relays nor the name service have a part in it.
    let network = Network { relay: Relay::None, dns: NameService::None, ..network };
    let dialer = Dialer::bind(network, identity.secret().clone()).await?;
    let discovered = discover(&dialer).await;
    dialer.close().await;
    let Discovered { hosts, refused, silent } = discovered?;
    for host in &hosts {
        super::print(&shown(host, &aliases, json));
    }
    for (count, what) in [(refused, "did not let us in"), (silent, "did not answer")] {
        let more = if hosts.is_empty() { "" } else { "more " };
        let hosts = if count == 1 { "host" } else { "hosts" };
        if count > 0 {
            complain("irosh", &format!("{count} {more}{hosts} on this network {what}"));
        }
    }
    if hosts.is_empty() && refused + silent == 0 {
        complain("irosh", &"no host announces itself on this network");
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(host: &Found, aliases: &Aliases, json: bool) -> String {
    let is_it = |name: &&String| aliases.resolve(name).is_ok_and(|target| target.addr().id == host.id);
    let called: Vec<_> = aliases.hosts.keys().filter(is_it).collect();
    if json {
        let (id, address) = (host.id.to_string(), host.address.to_string());
        return json!({ "name": host.name, "endpoint_id": id, "address": address, "aliases": called })
            .to_string();
    }
    let called = match &called[..] {
        [] => String::new(),
        [name] => format!("  called {name}"),
        [names @ .., last] => {
            let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
            format!("  called {} and {last}", names.join(", "))
        }
    };
    format!("{}  {}  {}{called}", one_line(&host.name), host.id, host.address)
}
