//! `irosh ticket`, `irosh invite` and `irosh peers`.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use iroh::EndpointAddr;
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    files::Paths,
    host::{AuthorizedPeers, Identity, Peer, PeerOptions, Presence, Terms, address_of, allow, issue, revoke},
    transport::{Invite, InviteSecret, KeyFile},
};
use jiff::Timestamp;
use serde_json::json;

#[derive(clap::Args)]
pub(super) struct TicketArguments {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct InviteArguments {
    /// How long it may be used, such as 30m, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = duration)]
    ttl: Duration,
    /// How many peers it may admit
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// The login that the peer needs no further proof for at the built-in server
    #[arg(long)]
    login: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct PeersArguments {
    #[command(subcommand)]
    command: Option<PeersCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum PeersCommand {
    /// List who may come in, and the address of each towards sshd
    List,
    /// Admit an identity: the one line of its public key file
    Allow {
        /// `ssh-ed25519 AAAA... comment`
        #[arg(required = true, num_args = 1..)]
        key: Vec<String>,
        /// What to call it, in place of the key's comment
        #[arg(long)]
        name: Option<String>,
    },
    /// Take an admission back, and end the peer's sessions
    Revoke {
        /// A name, a fingerprint or a public key
        who: String,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time span: use 90s, 30m, 24h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(split);
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    count.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Where this host is: what the running one says, or its bare endpoint id.
fn addr(paths: &Paths) -> anyhow::Result<EndpointAddr> {
    if let Some(addr) = Presence::of_running(paths)? {
        return Ok(addr);
    }
    // The system's service makes its key itself, so that it is the service's.
    let key = if *paths == Paths::of_system() {
        KeyFile::load(&paths.host_key())?
    } else {
        let name = irosh::log::machine_name();
        KeyFile::load_or_create(&paths.host_key(), &format!("irosh host {name}"))?
    };
    tracing::warn!(
        "the host is not running, so its addresses are not in the ticket: start it with `irosh host`"
    );
    Ok(key.secret().public().into())
}

pub(super) fn ticket(paths: &Paths, arguments: &TicketArguments) -> anyhow::Result<()> {
    let addr = addr(paths)?;
    let id = addr.id.to_string();
    let ticket = EndpointTicket::new(addr).to_string();
    if arguments.json {
        super::print(&json!({ "endpoint_id": id, "ticket": ticket }).to_string());
    } else {
        super::print(&ticket);
    }
    Ok(())
}

pub(super) fn invite(paths: &Paths, arguments: InviteArguments) -> anyhow::Result<()> {
    let InviteArguments { ttl, uses, login, json } = arguments;
    let addr = addr(paths)?;
    let secret = InviteSecret::generate();
    let terms = Terms { ttl, uses, login };
    let kept =
        issue(&paths.invites(), &secret, &terms, Timestamp::now()).context("the invite was not made")?;
    let invite = Invite { addr, secret }.to_string();
    if json {
        super::print(&json!({ "invite": invite, "expires": kept.expires, "uses": kept.uses }).to_string());
    } else {
        super::print(&invite);
    }
    Ok(())
}

pub(super) fn peers(paths: &Paths, arguments: PeersArguments) -> anyhow::Result<()> {
    let file = paths.authorized_peers();
    match arguments.command.unwrap_or(PeersCommand::List) {
        PeersCommand::List => list(&AuthorizedPeers::load(&file)?, &file, arguments.json),
        PeersCommand::Allow { key, name } => {
            let key = key.join(" ");
            let Some(identity) = Identity::from_openssh(&key) else {
                bail!(
                    "`{key}` is not an ssh-ed25519 public key\nthe peer finds its own in ~/.config/irosh/identity.pub, or in what irosh-proxy says when it is refused"
                );
            };
            let comment = key.split_ascii_whitespace().skip(2).collect::<Vec<_>>().join(" ");
            let peer = Peer { identity, name: name.unwrap_or(comment), options: PeerOptions::default() };
            allow(&file, &peer)?;
            show(&[peer], arguments.json);
        }
        PeersCommand::Revoke { who } => {
            let meant =
                AuthorizedPeers::load(&file)?.peers.into_iter().filter(|peer| peer.name == who).count();
            if meant > 1 {
                bail!(
                    "{meant} peers are called `{who}`\ngive the fingerprint of one: `irosh peers list` shows them"
                );
            }
            let gone = revoke(&file, &who)?;
            if gone.is_empty() {
                bail!("no peer is called `{who}`\n`irosh peers list` shows who may come in");
            }
            show(&gone, arguments.json);
        }
    }
    Ok(())
}

fn list(peers: &AuthorizedPeers, file: &std::path::Path, json: bool) {
    for bad in &peers.refused {
        tracing::warn!("{} {bad}; this line admits nobody", file.display());
    }
    show(&peers.peers, json);
}

fn show(peers: &[Peer], json: bool) {
    for peer in peers {
        let (fingerprint, address) = (peer.identity.fingerprint(), address_of(&peer.identity));
        let expires = peer.options.expiry_time;
        if json {
            let line = json!({ "name": peer.name, "peer": fingerprint, "address": address, "options": peer.options.to_string(), "expires": expires });
            super::print(&line.to_string());
        } else {
            super::print(&format!("{fingerprint}  {address:<15}  {}  {}", peer.name, peer.options));
        }
    }
}
