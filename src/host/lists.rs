//! What people and programs are told of a host's lists, and of what a change of them has come to.

use std::{fmt, net::Ipv4Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    authorities::Authority,
    host_keys::KeptKeys,
    invites::OpenInvite,
    loopback::Addresses,
    peer::{Peer, Revoked},
    roll::Standing,
    status::PeerStatus,
};

/// An invite that was made just now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewInvite {
    /// The invite itself, which admits whoever has it; nobody is told of it again.
    pub invite: String,
    /// By what it is taken back.
    pub id: String,
    /// When it ends.
    pub expires: Timestamp,
    /// How many identities it admits.
    pub uses: u32,
}

impl fmt::Debug for NewInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewInvite").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An invite that can still be used, without its secret, which nobody has but who was given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteStatus {
    /// By what it is taken back.
    pub id: String,
    /// How many identities it still admits.
    pub uses: u32,
    /// When it ends.
    pub expires: Timestamp,
    /// The login that comes with it.
    pub login: Option<String>,
    /// What those may do at the built-in server whom it admits.
    pub options: String,
}

impl From<&OpenInvite> for InviteStatus {
    fn from(invite: &OpenInvite) -> Self {
        let OpenInvite { expires, uses, login, restrictions, .. } = invite;
        let (id, options) = (invite.name().to_owned(), restrictions.to_string());
        Self { id, uses: *uses, expires: *expires, login: login.clone(), options }
    }
}

/// Somebody whom a line of `authorized_peers` admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedPeer {
    /// What the line calls them; may be empty.
    pub name: String,
    /// The fingerprint of the identity.
    pub peer: String,
    /// From where its sessions come towards an SSH server on loopback, where that is known.
    pub address: Option<Ipv4Addr>,
    /// The login that it needs no further proof for at the built-in server.
    pub login: Option<String>,
    /// All options of the line.
    pub options: String,
    /// When the admission ends.
    pub expires: Option<Timestamp>,
}

impl ListedPeer {
    pub(super) fn new(peer: &Peer, addresses: Option<&Addresses>) -> Self {
        let Peer { identity, name, options } = peer;
        Self {
            name: name.clone(),
            peer: identity.fingerprint(),
            address: addresses.map(|addresses| addresses.of(identity)),
            login: options.login.clone(),
            options: options.to_string(),
            expires: options.expiry_time,
        }
    }
}

/// An authority whose certificates a line of `authorized_peers` has admit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedAuthority {
    /// What the line calls it; may be empty.
    pub name: String,
    /// The fingerprint of the key that signs them.
    pub authority: String,
    /// A certificate must name one of these, where there are any.
    pub principals: Option<Vec<String>>,
    /// The login that all who come in by it need no further proof for at the built-in server.
    pub login: Option<String>,
    /// All options of the line.
    pub options: String,
    /// When the admission ends.
    pub expires: Option<Timestamp>,
}

impl From<&Authority> for ListedAuthority {
    fn from(authority: &Authority) -> Self {
        let Authority { name, principals, options, .. } = authority;
        Self {
            name: name.clone(),
            authority: authority.fingerprint(),
            principals: principals.clone(),
            login: options.login.clone(),
            options: authority.all_options(),
            expires: options.expiry_time,
        }
    }
}

/// Who may come in to a host, who may not, and who is there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PeerList {
    /// Those whom a line admits, in order.
    pub peers: Vec<ListedPeer>,
    /// Those whose certificates a line has admit, in order.
    #[serde(default)]
    pub authorities: Vec<ListedAuthority>,
    /// Those whom a line keeps out.
    pub revoked: Vec<Revoked>,
    /// What is wrong with the lines that are not understood, and admit nobody.
    pub refused: Vec<String>,
    /// Those who are connected or have a session; nothing where no host runs that could be asked.
    pub here: Option<Vec<PeerStatus>>,
}

/// Somebody who was admitted, or whose line was changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AllowedPeer {
    /// Its line now.
    pub peer: ListedPeer,
    /// Its line before, if that was another one.
    pub before: Option<ListedPeer>,
    /// What has ended since it may do something else now; nothing where no host runs that could be asked.
    pub ended: Option<Ended>,
}

/// An authority whose certificates admit from now on, or whose line was changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AllowedAuthority {
    /// Its line now.
    pub authority: ListedAuthority,
    /// Its line before, if that was another one.
    pub before: Option<ListedAuthority>,
    /// What has ended of those who are here by its certificates and may do something else now; nothing where no host
    /// runs that could be asked.
    pub ended: Option<Vec<Ended>>,
}

/// Those whose admission was taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokedPeers {
    /// Who may no longer come in.
    pub gone: Vec<ListedPeer>,
    /// Whose certificates admit nobody any more.
    #[serde(default)]
    pub authorities: Vec<ListedAuthority>,
    /// Whom a line now keeps out, whatever the access; among them may be some who never were in.
    pub kept_out: Vec<Revoked>,
    /// The ids of the invites that brought them, and which others could still have used: they have ended, too.
    pub invites: Vec<String>,
    /// Why those have not.
    pub problem: Option<String>,
    /// What they, and those who came in by the authorities' certificates, had at the host; nothing where no host runs that could be asked.
    pub ended: Option<Vec<Ended>>,
}

/// What somebody had who may not stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The fingerprint of the identity.
    pub peer: String,
    /// What its line called it.
    pub name: String,
    /// How many connections were closed.
    pub connections: usize,
    /// How many sessions were ended.
    pub sessions: usize,
}

impl Ended {
    /// Nothing yet, of somebody who was here by this right.
    pub(super) fn of(standing: &Standing) -> Self {
        let (peer, name) = (standing.peer.identity.fingerprint(), standing.peer.name.clone());
        Self { peer, name, connections: 0, sessions: 0 }
    }
}

/// SSH host keys that were accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AcceptedKeys {
    /// The servers whose keys are announced in place of others from now on.
    pub accepted: Vec<KeptKeys>,
    /// Every server, as it is now.
    pub kept: Vec<KeptKeys>,
}

/// What reading settings and lists again has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Settings that were changed and are in use now, as they are called in `host.toml`.
    pub taken: Vec<String>,
    /// Settings that are others than those in use, until the host is started anew.
    pub waiting: Vec<String>,
    /// What is wrong with the lines of `authorized_peers` that are not understood, and admit nobody; and with the list
    /// of revoked keys, without which nobody new comes in.
    pub refused: Vec<String>,
    /// What has ended since somebody may not stay.
    pub ended: Vec<Ended>,
}
