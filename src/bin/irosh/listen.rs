//! `irosh listen`.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use anyhow::{Context, bail};
use irosh::{
    files::Paths,
    host::load_settings,
    names::{Aliases, Place},
    protocol::CloseCode,
    proxy::{
        Credentials, Dialer, Link, ListenError, listen, load_host_keys, public_key_lines, save_host_keys,
    },
    settings::{ClientSettings, NetworkChoice},
    signals::Interrupts,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{completion, network::NetworkArguments};

const HOST_KEYS: &str = "The keys that the server will show are those that the host announces:
    irosh hosts show TARGET           lists them, once the host was reached
    irosh listen --known-hosts ...    prints them as lines of known_hosts for the port
A program that is told to look for them by a name, as ssh is by HostKeyAlias, finds them with:
    irosh-proxy --known-hosts TARGET";

/// Listen at a port whose connections are sessions at a host.
///
/// For programs that have an SSH library of their own and run no ProxyCommand: the port is to them what the port of the
/// host's SSH server would be. All sessions share one connection to the host and outlive the network, as those of ssh do.
/// Connections of other users of this machine are refused, where the system tells whose they are.
#[derive(clap::Args)]
#[command(arg = super::network::no_system(), after_long_help = HOST_KEYS)]
pub(super) struct ListenArguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Also listen at an address that other machines reach
    #[arg(long)]
    any_address: bool,
    /// Print the host's keys, too, as lines of known_hosts for the port
    #[arg(long)]
    known_hosts: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// A name of `irosh hosts`, a ticket, an invite or an endpoint id
    #[arg(add = completion::targets(super::remote::known_names))]
    target: String,
    /// Where to listen; at a free port of 127.0.0.1 unless it is given
    #[arg(value_name = "[ADDRESS:]PORT", default_value = "0", hide_default_value = true)]
    place: Place,
}

pub(super) async fn run(paths: Paths, arguments: ListenArguments) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let target = Aliases::load(&paths.aliases())?.resolve(&arguments.target)?;
    let port = bind(arguments.place, arguments.any_address).await?;
    let at = port.local_addr()?;
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    let credentials = Credentials::load(&paths, settings.identity.as_deref())?;
    let network = NetworkChoice::from(arguments.network).or(settings.into());
    let dialer = Dialer::bind(network, credentials).await?.noted(&paths);
    let link = Link::new(&dialer, &target);
    let stop = CancellationToken::new();
    let serving = async {
        let keys = if arguments.known_hosts { host_keys(&paths, &link, at).await? } else { Vec::new() };
        say(at, &arguments.target, &keys, arguments.json);
        listen(paths, link.clone(), port, complain, stop.clone()).await;
        anyhow::Ok(())
    };
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        _ = interrupts.next() => {
            stop.cancel();
            // Who cannot wait until the host has heard that the sessions are over, says so again.
            tokio::select! {
                served = &mut serving => served,
                _ = interrupts.next() => Ok(()),
            }
        }
    };
    link.close(CloseCode::Done);
    dialer.close().await;
    served.map(|()| ExitCode::SUCCESS)
}

async fn bind(place: Place, any_address: bool) -> anyhow::Result<TcpListener> {
    let elsewhere = place.reached_from_elsewhere();
    if let Some(why) = elsewhere.as_ref().filter(|_| !any_address) {
        bail!("{why}\nlisten at 127.0.0.1, or say --any-address");
    }
    let listener = TcpListener::bind(place.0).await.with_context(|| format!("cannot listen at {place}"))?;
    if elsewhere.is_some() {
        irosh::log::complain("irosh", &format!("whoever can reach {place} reaches the host as this user"));
    }
    Ok(listener)
}

/// The keys that the host announces, as lines of known_hosts for the port.
async fn host_keys(paths: &Paths, link: &Link, at: SocketAddr) -> anyhow::Result<Vec<String>> {
    let id = link.target().addr().id;
    let mut keys = load_host_keys(paths, id);
    if keys.is_empty() {
        let welcome = link.reach().await?.welcome().await?;
        keys = public_key_lines(&welcome.host_keys);
        if let Err(error) = save_host_keys(paths, id, &welcome.host_keys) {
            tracing::debug!("the host's ssh keys are not kept: {error}");
        }
    }
    let name = name_of(at);
    Ok(keys.iter().map(|key| format!("{name} {key}")).collect())
}

/// What a program looks for in known_hosts that connects to an address.
fn name_of(at: SocketAddr) -> String {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "*".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "*".to_owned(),
        ip => ip.to_string(),
    };
    if at.port() == 22 { ip } else { format!("[{ip}]:{}", at.port()) }
}

fn say(at: SocketAddr, target: &str, keys: &[String], json: bool) {
    if json {
        let line = json!({ "listening": at.to_string(), "target": target, "known_hosts": keys });
        return super::print::print(&line.to_string());
    }
    super::print::print(&format!("listening at {at}"));
    for key in keys {
        super::print::print(key);
    }
}

fn complain(from: SocketAddr, error: ListenError) {
    irosh::log::complain_of(
        "irosh",
        &*anyhow::Error::new(error).context(format!("the connection from {from}")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_for_the_name_by_which_a_program_looks_for_them() {
        let name = |text: &str| name_of(text.parse().expect("an address"));
        assert_eq!(name("127.0.0.1:2222"), "[127.0.0.1]:2222");
        assert_eq!(name("[::1]:2222"), "[::1]:2222");
        assert_eq!(name("127.0.0.2:22"), "127.0.0.2");
        assert_eq!(name("0.0.0.0:2222"), "[*]:2222");
    }
}
