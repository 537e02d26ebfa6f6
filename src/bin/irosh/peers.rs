//! `irosh peers`.

use std::path::Path;

use anyhow::bail;
use clap::Subcommand;
use irosh::{
    host::{
        Admin, AllowedPeer, Authority, Edit, Ended, ListedPeer, Peer, PeerStatus, Revoked, RevokedPeers,
        published_name,
    },
    log::{printable, say},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{
    authorities,
    ended::{counted, tell_ended},
    published_keys,
    status::text,
};

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
    /// List who may come in, the address of each towards sshd, who is here now, and who is kept out
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

impl PeersArguments {
    /// Whether the settings say where keys are fetched, and have to be read for it.
    pub(super) fn read_settings(&self) -> bool {
        let Some(PeersCommand::Allow { key, .. }) = &self.command else { return false };
        published_name(&key.join(" ")).is_some()
    }
}

pub(super) fn peers(host: &Admin, settings: &Path, arguments: PeersArguments) -> anyhow::Result<()> {
    let json = arguments.json;
    match arguments.command.unwrap_or(PeersCommand::List) {
        PeersCommand::List => list(host, json),
        PeersCommand::Allow { key, name, replace, yes } => {
            let (line, edit) = (key.join(" "), if replace { Edit::Replace } else { Edit::Change });
            if let Some(published) = published_name(&line) {
                return published_keys::allow(settings, published, yes, |line| {
                    admit(host, line, name.clone(), edit, json)
                });
            }
            match Authority::parse(&line, &TimeZone::system()) {
                Some(authority) => authorities::allow(host, authority, name, edit, json),
                None => admit(host, &line, name, edit, json),
            }
        }
        PeersCommand::Revoke { who } => take_back(host, &who, json),
    }
}

fn list(host: &Admin, json: bool) -> anyhow::Result<()> {
    let list = host.peers()?;
    for bad in &list.refused {
        tracing::warn!("{bad}");
    }
    if list.peers.is_empty() && list.authorities.is_empty() {
        say("irosh: nobody is on the list yet: `irosh pair` lets a machine in\n");
    }
    let is_listed = |here: &PeerStatus| list.peers.iter().any(|peer| peer.peer == here.peer);
    for peer in &list.peers {
        let here = list.here.as_ref().map(|here| here.iter().find(|here| here.peer == peer.peer));
        show(peer, here, json);
    }
    list.authorities.iter().for_each(|authority| authorities::show(authority, &[], json));
    for stranger in list.here.iter().flatten().filter(|here| !is_listed(here)) {
        show_stranger(stranger, json);
    }
    list.revoked.iter().for_each(|revoked| show_revoked(revoked, None, json));
    Ok(())
}

fn admit(host: &Admin, line: &str, name: Option<String>, edit: Edit, json: bool) -> anyhow::Result<()> {
    let mut peer = Peer::parse(line, &TimeZone::system()).map_err(|reason| {
        anyhow::anyhow!(
            "`{line}` is no line of authorized_peers: {reason}\nthe peer finds its key in ~/.config/irosh/identity.pub, or in what irosh-proxy says when it is refused"
        )
    })?;
    peer.name = name.unwrap_or(peer.name);
    let AllowedPeer { peer, before, ended } = host.allow(&peer, edit)?;
    print_peer(&peer, &[("ended", json!(ended))], &[], json);
    if let Some(before) = before {
        say(&printable(&format!("irosh: it was: {} {}\n", before.options, before.name)));
    }
    ended.iter().for_each(tell_ended);
    Ok(())
}

fn take_back(host: &Admin, who: &str, json: bool) -> anyhow::Result<()> {
    let RevokedPeers { gone, authorities, kept_out, invites, problem, ended } = host.revoke(who)?;
    let ended_of = |peer: &str| ended.as_ref().map(|ended| of(peer, ended));
    for peer in &gone {
        let ended = ended_of(&peer.peer);
        let said = ended.as_ref().map(|ended| format!("    ended: {}", counted(ended)));
        print_peer(peer, &[("ended", json!(ended))], said.as_slice(), json);
    }
    let is_holder = |ended: &&Ended| {
        let is_meant = gone.iter().any(|peer| peer.peer == ended.peer)
            || kept_out.iter().any(|revoked| revoked.fingerprint == ended.peer);
        !is_meant
    };
    let holders: Vec<_> = ended.iter().flatten().filter(is_holder).collect();
    for authority in &authorities {
        authorities::show(authority, &[("revoked", json!(true)), ("ended", json!(holders))], json);
    }
    if !json {
        let line = |ended: &Ended| printable(&format!("    ended: {} of {}", counted(ended), ended.peer));
        holders.iter().for_each(|ended| super::print::print(&line(ended)));
    }
    for revoked in &kept_out {
        // Of who was on the list it is said already.
        let is_told = gone.iter().any(|gone| gone.peer == revoked.fingerprint);
        show_revoked(revoked, ended_of(&revoked.fingerprint).filter(|_| !is_told).as_ref(), json);
    }
    for invite in invites {
        say(&format!("irosh: the invite {invite} brought it and has ended too\n"));
    }
    problem.map_or(Ok(()), |problem| bail!(problem))
}

/// What a peer had at the host; nothing at all, where nothing is said of it.
fn of(peer: &str, ended: &[Ended]) -> Ended {
    let none = || Ended { peer: peer.to_owned(), name: String::new(), connections: 0, sessions: 0 };
    ended.iter().find(|ended| ended.peer == peer).cloned().unwrap_or_else(none)
}

/// `here` is nothing where no host tells of it, and holds nothing of who is not here.
fn show(peer: &ListedPeer, here: Option<Option<&PeerStatus>>, json: bool) {
    let lines = here.flatten().map(text::presence).unwrap_or_default();
    let more = [
        ("listed", json!(true)),
        ("connections", presence(here, |here| json!(here.connections))),
        ("sessions", presence(here, |here| json!(here.sessions))),
    ];
    print_peer(peer, &more, &lines, json);
}

fn presence(here: Option<Option<&PeerStatus>>, what: impl FnOnce(&PeerStatus) -> Value) -> Value {
    here.map_or(Value::Null, |here| here.map_or_else(|| json!([]), what))
}

fn print_peer(peer: &ListedPeer, more: &[(&str, Value)], lines: &[String], json: bool) {
    if json {
        let mut line = json!(peer);
        line["revoked"] = json!(false);
        more.iter().for_each(|(key, value)| line[key] = value.clone());
        return super::print::print(&line.to_string());
    }
    let ListedPeer { name, peer, address, options, .. } = peer;
    let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    super::print::print(&printable(&format!("{peer}  {address:<15}  {name}  {options}")));
    lines.iter().for_each(|line| super::print::print(line));
}

/// Somebody who is here by no line of the list.
fn show_stranger(stranger: &PeerStatus, json: bool) {
    let PeerStatus { name, peer, listed, certificate, connections, sessions } = stranger;
    if json {
        let line = json!({
            "name": name, "peer": peer, "listed": listed, "revoked": false,
            "certificate": certificate, "connections": connections, "sessions": sessions,
        });
        return super::print::print(&line.to_string());
    }
    let by = if certificate.is_some() { "by certificate" } else { "on no list" };
    super::print::print(&printable(&format!("{peer}  {by:<15}  {name}")));
    certificate.iter().for_each(|certificate| super::print::print(&text::certificate(certificate)));
    text::presence(stranger).iter().for_each(|line| super::print::print(line));
}

fn show_revoked(revoked: &Revoked, ended: Option<&Ended>, json: bool) {
    let Revoked { fingerprint, name } = revoked;
    if json {
        let mut line = json!({ "name": name, "peer": fingerprint, "revoked": true, "options": "revoked" });
        if let Some(ended) = ended {
            line["ended"] = json!(ended);
        }
        return super::print::print(&line.to_string());
    }
    super::print::print(&printable(&format!("{fingerprint}  {:<15}  {name}", "kept out")));
    if let Some(ended) = ended {
        super::print::print(&format!("    ended: {}", counted(ended)));
    }
}
