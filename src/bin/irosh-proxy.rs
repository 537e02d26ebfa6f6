//! The bridge that ssh runs: `ProxyCommand irosh-proxy %h`.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use irosh::{
    files::Paths,
    host::load_settings,
    names::Aliases,
    proxy::{Dialer, bridge, known_hosts_lines, load_host_keys, public_key_lines, save_host_keys},
    settings::{ClientSettings, NetworkChoice},
    signals::interrupted,
    transport::{Authorities, Bind, KeyFile, NameService, Network, Relay, RelayToken, Target},
};

/// Carry ssh's bytes to a host that has no address.
///
/// ssh runs this; run `irosh ssh-config install`, or put `ProxyCommand irosh-proxy -- '%h'` into ssh_config.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Print known_hosts lines for the host, and for the name by which ssh looks for its keys
    /// (`KnownHostsCommand /usr/bin/irosh-proxy --known-hosts=%H -- %h`)
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
    known_hosts: Option<Option<String>>,
    /// Relay servers: default, none or URLs with commas between them
    #[arg(long, env = "IROSH_RELAY", value_name = "WHICH")]
    relay: Option<Relay>,
    /// Name service: default, none or `PKARR-URL,ORIGIN[,NAMESERVER]`
    #[arg(long, env = "IROSH_DNS", value_name = "WHICH")]
    dns: Option<NameService>,
    /// Addresses to bind: `ADDRESS:PORT[,ADDRESS:PORT]`
    #[arg(long, env = "IROSH_BIND", value_name = "ADDRESS")]
    bind: Option<Bind>,
    /// Authorities that vouch for relays besides the usual: system, or a PEM file
    #[arg(long, env = "IROSH_CA", value_name = "WHICH")]
    ca: Option<Authorities>,
    /// An alias, a ticket, an invite or an endpoint id, with or without .irosh
    target: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    irosh::log::start("warn");
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let result = runtime.block_on(run(arguments));
            // A thread may be waiting for a terminal or a file for ever.
            runtime.shutdown_background();
            result
        });
    if let Err(error) = &result {
        irosh::log::complain_of("irosh-proxy", &**error);
    }
    irosh::log::flush();
    result.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { known_hosts, relay, dns, bind, ca, target: name } = arguments;
    let paths = Paths::of_owner(Paths::of_user)?;
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    let here = NetworkChoice { relay, dns, bind, ca, relay_token: RelayToken::of_environment() };
    let network = here.or(settings.into());
    let target = Aliases::load(&paths.aliases())?.resolve(&name)?;
    if let Some(sought) = known_hosts {
        let keys = host_keys(&paths, network, &target).await?;
        let lines = known_hosts_lines(&name, sought.as_deref(), &keys);
        return Ok(std::io::stdout().write_all(lines.as_bytes())?);
    }
    Ok(bridge(&paths, network, identity(&paths)?.secret().clone(), &target, interrupted()?).await?)
}

fn identity(paths: &Paths) -> anyhow::Result<KeyFile> {
    Ok(KeyFile::load_or_create(&paths.identity(), &irosh::log::who())?)
}

/// What the host announced when ssh's own proxy connected a moment ago, or else says now.
async fn host_keys(paths: &Paths, network: Network, target: &Target) -> anyhow::Result<Vec<String>> {
    let id = target.addr().id;
    let mut keys = load_host_keys(paths, id);
    if keys.is_empty() {
        let dialer = Dialer::bind(network, identity(paths)?.secret().clone()).await?;
        let (host, welcome) = dialer.let_in(target).await?;
        keys = public_key_lines(&welcome.host_keys);
        if let Err(error) = save_host_keys(paths, id, &welcome.host_keys) {
            tracing::debug!("the host's ssh keys are not kept: {error}");
        }
        host.close(irosh::protocol::CloseCode::Done);
        dialer.close().await;
    }
    Ok(keys)
}
