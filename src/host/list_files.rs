//! The lists of a host as files: what a host does to its own, and a command where there is no host to ask.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use iroh::EndpointAddr;
use jiff::Timestamp;

use super::{
    access::Access,
    authorities::Authority,
    host_keys::{KeptKeys, accept_seen_keys, ask_again, kept_keys, was_asked},
    invites::{Terms, end_invites_of, issue, open_invites, revoke_invites},
    lists::{
        AcceptedKeys, AllowedAuthority, AllowedPeer, InviteStatus, ListedPeer, NewInvite, PeerList,
        RevokedPeers,
    },
    loopback::{AddressKey, Addresses},
    peer::Peer,
    peer_edits::{Allowed, Edit, EditError, Revocation, allow, allow_authority, revoke},
    peers::AuthorizedPeers,
    presence::Presence,
    published_keys::published_name,
    settings::HostSettings,
    vouching::{CannotVouch, can_vouch},
};
use crate::{
    files::Paths,
    log::{machine_name, with_causes},
    settings::{SettingsError, load_settings},
    transport::{Invite, InviteSecret, KeyError, KeyFile},
};

/// How long a running host may take to ask its servers.
const ASKING: Duration = Duration::from_secs(20);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// What was to be done with a host's lists was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] EditError),
    /// The same, of invites.
    #[error("the invite was not made: {0}")]
    NotMade(EditError),
    /// The host's own key, which is its name, could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its settings could not be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No session could have the login.
    #[error(transparent)]
    CannotVouch(#[from] CannotVouch),
    /// There is no such invite.
    #[error("no invite that can still be used has this id\n`irosh invite list` shows those that can")]
    NoInvite,
    /// There is no such peer.
    #[error("no peer is called `{0}`\n`irosh peers list` shows who may come in")]
    NoPeer(String),
    /// There are several.
    #[error("{count} peers are called `{name}`\ngive the fingerprint of one: `irosh peers list` shows them")]
    SeveralPeers {
        /// How many.
        count: usize,
        /// What they are called.
        name: String,
    },
}

impl From<io::Error> for ListError {
    fn from(error: io::Error) -> Self {
        EditError::from(error).into()
    }
}

/// The lists of the host of these folders. All that is done with them blocks.
#[derive(Debug)]
pub(super) struct ListFiles {
    paths: Paths,
}

impl ListFiles {
    pub(super) fn new(paths: Paths) -> Self {
        Self { paths }
    }

    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Makes an invite to a host that is where `addr` says.
    pub(super) fn invite(
        &self,
        terms: &Terms,
        addr: impl FnOnce() -> Result<EndpointAddr, ListError>,
    ) -> Result<NewInvite, ListError> {
        if let Some(login) = &terms.login {
            can_vouch(&self.paths.authorized_peers(), login)?;
        }
        let (file, addr, secret) = (self.paths.invites(), addr()?, InviteSecret::generate());
        let made = named(&file, issue(&file, &secret, terms, Timestamp::now()));
        let kept = made.map_err(ListError::NotMade)?;
        let (id, expires, uses) = (kept.name().to_owned(), kept.expires, kept.uses);
        Ok(NewInvite { invite: Invite { addr, secret }.to_string(), id, expires, uses })
    }

    pub(super) fn invites(&self) -> Result<Vec<InviteStatus>, ListError> {
        let file = self.paths.invites();
        let open = named(&file, open_invites(&file, Timestamp::now()).map_err(EditError::from))?;
        Ok(open.iter().map(InviteStatus::from).collect())
    }

    /// Takes invites back, by their id.
    pub(super) fn revoke_invite(&self, id: &str) -> Result<Vec<InviteStatus>, ListError> {
        let file = self.paths.invites();
        let gone = named(&file, revoke_invites(&file, Timestamp::now(), |invite| invite.name() == id))?;
        if gone.is_empty() {
            return Err(ListError::NoInvite);
        }
        Ok(gone.iter().map(InviteStatus::from).collect())
    }

    pub(super) fn peers(&self) -> Result<PeerList, ListError> {
        let file = self.paths.authorized_peers();
        let list = AuthorizedPeers::load(&file)?;
        let addresses = self.addresses(&list);
        let refused =
            list.refused.iter().map(|bad| format!("{} {bad}; this line admits nobody", file.display()));
        Ok(PeerList {
            peers: list.peers.iter().map(|peer| ListedPeer::new(peer, addresses.as_ref())).collect(),
            authorities: list.authorities.iter().map(Into::into).collect(),
            refused: refused.collect(),
            revoked: list.revoked,
            here: None,
        })
    }

    pub(super) fn allow(&self, peer: &Peer, edit: Edit) -> Result<AllowedPeer, ListError> {
        let file = self.paths.authorized_peers();
        if let Some(login) = &peer.options.login {
            can_vouch(&file, login)?;
        }
        let Allowed { peer, before } = named(&file, allow(&file, peer, edit))?;
        let addresses = self.addresses(&AuthorizedPeers::load(&file)?);
        let listed = |peer: &Peer| ListedPeer::new(peer, addresses.as_ref());
        let before = before.filter(|before| *before != peer);
        Ok(AllowedPeer { peer: listed(&peer), before: before.as_ref().map(listed), ended: None })
    }

    pub(super) fn allow_authority(
        &self,
        authority: &Authority,
        edit: Edit,
    ) -> Result<AllowedAuthority, ListError> {
        let file = self.paths.authorized_peers();
        if let Some(login) = &authority.options.login {
            can_vouch(&file, login)?;
        }
        let (authority, before) = named(&file, allow_authority(&file, authority, edit))?;
        let before = before.filter(|before| *before != authority);
        let before = before.as_ref().map(Into::into);
        Ok(AllowedAuthority { authority: (&authority).into(), before, ended: None })
    }

    /// Takes an admission back, by name, fingerprint or key.
    pub(super) fn revoke(&self, who: &str, access: Access) -> Result<RevokedPeers, ListError> {
        let file = self.paths.authorized_peers();
        let list = AuthorizedPeers::load(&file)?;
        let count = list.peers.iter().filter(|peer| peer.name == who).count();
        // Keys that were published together go together.
        if count > 1 && published_name(who).is_none() {
            return Err(ListError::SeveralPeers { count, name: who.to_owned() });
        }
        let addresses = self.addresses(&list);
        let Revocation { gone, authorities, kept_out } =
            named(&file, revoke(&file, who, access == Access::Open))?;
        if gone.is_empty() && authorities.is_empty() && kept_out.is_empty() {
            return Err(ListError::NoPeer(who.to_owned()));
        }
        let authorities = authorities.iter().map(Into::into).collect();
        let gone: Vec<_> = gone.iter().map(|peer| ListedPeer::new(peer, addresses.as_ref())).collect();
        let fingerprints: Vec<_> = gone.iter().map(|peer| peer.peer.clone()).collect();
        let file = self.paths.invites();
        let (invites, problem) = match named(&file, end_invites_of(&file, Timestamp::now(), &fingerprints)) {
            Ok(ended) => (ended.iter().map(|invite| invite.name().to_owned()).collect(), None),
            Err(error) => {
                let what = "the peer is revoked, but the invite that brought it is not";
                (Vec::new(), Some(format!("{what}: {}", with_causes(&error))))
            }
        };
        Ok(RevokedPeers { gone, authorities, kept_out, invites, problem, ended: None })
    }

    /// What is done to a peer does not hang on the address that is shown with it.
    fn addresses(&self, list: &AuthorizedPeers) -> Option<Addresses> {
        let key = AddressKey::load_or_create(&self.paths.loopback_key());
        let key =
            key.inspect_err(|error| tracing::warn!("the peers' addresses are not known: {error}")).ok()?;
        Some(Addresses::new(key, list.peers.iter().map(|peer| &peer.identity)))
    }

    /// Announces what servers show; returns what has changed, and all.
    pub(super) fn accept_host_keys(&self) -> Result<AcceptedKeys, ListError> {
        let file = self.paths.kept_host_keys();
        let accepted = named(&file, accept_seen_keys(&file))?;
        Ok(AcceptedKeys { accepted, kept: self.host_keys()? })
    }

    pub(super) fn host_keys(&self) -> Result<Vec<KeptKeys>, ListError> {
        let file = self.paths.kept_host_keys();
        Ok(named(&file, kept_keys(&file))?)
    }

    /// Has a host that runs, and cannot be told so otherwise, ask its servers for their keys.
    pub(super) fn have_servers_asked(&self) -> Result<(), ListError> {
        if Presence::of_running(&self.paths)?.is_none() {
            return Ok(());
        }
        let file = self.paths.kept_host_keys();
        named(&file, ask_again(&file))?;
        let end = Instant::now() + ASKING;
        while !was_asked(&file)? {
            if Instant::now() > end {
                tracing::warn!("the running host does not ask its servers; what follows is what it saw last");
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Where the host is, for who cannot ask it: what it has noted, or its bare endpoint id where it does not run.
    pub(super) fn addr(&self) -> Result<EndpointAddr, ListError> {
        if let Some(addr) = Presence::of_running(&self.paths)? {
            return Ok(addr);
        }
        // The system's service makes its key itself, so that it is the service's.
        let key = if self.paths == Paths::of_system() {
            KeyFile::load(&self.paths.host_key())?
        } else {
            KeyFile::load_or_create(&self.paths.host_key(), &format!("irosh host {}", machine_name()))?
        };
        tracing::warn!(
            "the host is not running, so its addresses are not in the ticket: start it with `irosh host`"
        );
        Ok(key.secret().public().into())
    }

    /// Who reaches SSH: by the note of a host that runs, or by its settings.
    pub(super) fn access(&self) -> Result<Access, ListError> {
        match Presence::access_of_running(&self.paths)? {
            Some(access) => Ok(access),
            None => {
                let settings: HostSettings = load_settings(&self.paths.host_settings())?;
                Ok(settings.access.unwrap_or_default())
            }
        }
    }
}

/// Has what the system says of a file begin with its name.
fn named<T>(file: &Path, done: Result<T, EditError>) -> Result<T, EditError> {
    done.map_err(|error| match error {
        EditError::Io(error) if error.raw_os_error().is_some() => {
            io::Error::new(error.kind(), format!("{}: {error}", file.display())).into()
        }
        other => other,
    })
}
