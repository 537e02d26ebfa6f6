//! `irosh peers`.

use anyhow::{Context, bail};
use clap::Subcommand;
use irosh::{
    files::Paths,
    host::{
        Access, AddressKey, Addresses, Allowed, Authority, AuthorizedPeers, Edit, HostSettings, Peer,
        Presence, Revocation, Revoked, allow, can_vouch, end_invites_of, load_settings, published_name,
        revoke,
    },
    log::{printable, say},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

use super::{authorities, published_keys};

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
    /// List who may come in, the address of each towards sshd, and who is kept out
    List,
    /// Admit an identity, or change what it may do: options that are not named stay as they are
    Allow {
        /// `[options] ssh-ed25519 AAAA... comment`, a line of authorized_peers or of a public key file; with
        /// `cert-authority` in front, whoever has a user certificate of that key. `[options] github:NAME` fetches the
        /// keys that NAME has published there, or at `keys-url` of host.toml, and shows them first
        #[arg(required = true, num_args = 1..)]
        key: Vec<String>,
        /// What to call it, in place of the key's comment
        #[arg(long)]
        name: Option<String>,
        /// Start anew, without the options that it has
        #[arg(long)]
        replace: bool,
        /// Admit the keys that were fetched without asking
        #[arg(long)]
        yes: bool,
    },
    /// Take an admission back, end the peer's sessions, and keep it out where everybody may come in
    Revoke {
        /// A name, a fingerprint or a public key
        who: String,
    },
}

pub(super) fn peers(paths: &Paths, arguments: PeersArguments) -> anyhow::Result<()> {
    let json = arguments.json;
    match arguments.command.unwrap_or(PeersCommand::List) {
        PeersCommand::List => list(paths, json),
        PeersCommand::Allow { key, name, replace, yes } => {
            let (line, edit) = (key.join(" "), if replace { Edit::Replace } else { Edit::Change });
            if let Some((options, published)) = published_name(&line) {
                return published_keys::allow(paths, (options, published), yes, |line| {
                    admit(paths, line, name.clone(), edit, json)
                });
            }
            match Authority::parse(&line, &TimeZone::system()) {
                Some(authority) => authorities::allow(paths, authority, name, edit, json),
                None => admit(paths, &line, name, edit, json),
            }
        }
        PeersCommand::Revoke { who } => take_back(paths, &who, json),
    }
}

fn list(paths: &Paths, json: bool) -> anyhow::Result<()> {
    let file = paths.authorized_peers();
    let list = AuthorizedPeers::load(&file)?;
    for bad in &list.refused {
        tracing::warn!("{} {bad}; this line admits nobody", file.display());
    }
    let addresses = addresses(paths, &list);
    list.peers.iter().for_each(|peer| show(peer, addresses.as_ref(), json));
    list.authorities.iter().for_each(|authority| authorities::show(authority, json));
    list.revoked.iter().for_each(|revoked| show_revoked(revoked, json));
    Ok(())
}

fn admit(paths: &Paths, line: &str, name: Option<String>, edit: Edit, json: bool) -> anyhow::Result<()> {
    let file = paths.authorized_peers();
    let mut peer = Peer::parse(line, &TimeZone::system()).map_err(|reason| {
        anyhow::anyhow!(
            "`{line}` is no line of authorized_peers: {reason}\nthe peer finds its key in ~/.config/irosh/identity.pub, or in what irosh-proxy says when it is refused"
        )
    })?;
    if let Some(login) = &peer.options.login {
        can_vouch(&file, login)?;
    }
    peer.name = name.unwrap_or(peer.name);
    let Allowed { peer, before } = allow(&file, &peer, edit)?;
    show(&peer, addresses(paths, &AuthorizedPeers::load(&file)?).as_ref(), json);
    if let Some(before) = before.filter(|before| *before != peer) {
        say(&printable(&format!("irosh: it was: {} {}\n", before.options, before.name)));
    }
    Ok(())
}

fn take_back(paths: &Paths, who: &str, json: bool) -> anyhow::Result<()> {
    let file = paths.authorized_peers();
    let list = AuthorizedPeers::load(&file)?;
    let meant = list.peers.iter().filter(|peer| peer.name == who).count();
    // Keys that were published together go together.
    if meant > 1 && published_name(who).is_none() {
        bail!("{meant} peers are called `{who}`\ngive the fingerprint of one: `irosh peers list` shows them");
    }
    let addresses = addresses(paths, &list);
    let Revocation { gone, authorities: gone_too, kept_out } =
        revoke(&file, who, access(paths)? == Access::Open)?;
    if gone.is_empty() && gone_too.is_empty() && kept_out.is_empty() {
        bail!("no peer is called `{who}`\n`irosh peers list` shows who may come in");
    }
    gone.iter().for_each(|peer| show(peer, addresses.as_ref(), json));
    gone_too.iter().for_each(|authority| authorities::show(authority, json));
    kept_out.iter().for_each(|revoked| show_revoked(revoked, json));
    let fingerprints: Vec<_> = gone.iter().map(|peer| peer.identity.fingerprint()).collect();
    let ended = end_invites_of(&paths.invites(), Timestamp::now(), &fingerprints)
        .context("the peer is revoked, but the invite that brought it is not")?;
    for invite in ended {
        say(&format!("irosh: the invite {} brought it and has ended too\n", invite.name()));
    }
    Ok(())
}

/// Who reaches SSH: by the host that runs, or by its settings.
fn access(paths: &Paths) -> anyhow::Result<Access> {
    match Presence::access_of_running(paths)? {
        Some(access) => Ok(access),
        None => Ok(load_settings::<HostSettings>(&paths.host_settings())?.access.unwrap_or_default()),
    }
}

/// What is done to a peer does not hang on the address that is shown with it.
fn addresses(paths: &Paths, list: &AuthorizedPeers) -> Option<Addresses> {
    let key = AddressKey::load_or_create(&paths.loopback_key());
    let key = key.inspect_err(|error| tracing::warn!("the peers' addresses are not known: {error}")).ok()?;
    Some(Addresses::new(key, list.peers.iter().map(|peer| &peer.identity)))
}

fn show(peer: &Peer, addresses: Option<&Addresses>, json: bool) {
    let Peer { identity, name, options } = peer;
    let (fingerprint, address) = (identity.fingerprint(), addresses.map(|addresses| addresses.of(identity)));
    if json {
        let line = json!({
            "name": name, "peer": fingerprint, "address": address, "login": options.login, "revoked": false,
            "options": options.to_string(), "expires": options.expiry_time,
        });
        return super::print(&line.to_string());
    }
    let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    super::print(&printable(&format!("{fingerprint}  {address:<15}  {name}  {options}")));
}

fn show_revoked(revoked: &Revoked, json: bool) {
    let Revoked { fingerprint, name } = revoked;
    if json {
        let line = json!({ "name": name, "peer": fingerprint, "revoked": true, "options": "revoked" });
        return super::print(&line.to_string());
    }
    super::print(&printable(&format!("{fingerprint}  {:<15}  {name}", "kept out")));
}
