//! The one door to a host's lists: the host that runs, or else its files.

use iroh::EndpointAddr;

use super::{
    authorities::Authority,
    control::{ControlError, RunningHost},
    host_keys::KeptKeys,
    invites::Terms,
    list_files::{ListError, ListFiles},
    lists::{
        AcceptedKeys, AllowedAuthority, AllowedPeer, InviteStatus, NewInvite, PeerList, Reloaded,
        RevokedPeers,
    },
    peer::Peer,
    peer_edits::Edit,
};
use crate::files::{OwnerError, Paths};

/// Looks after who may come in to a host: asks the host where it runs, so that what is changed is in use at once and
/// one process alone writes its files, and works on those files where it does not.
///
/// All of it blocks: see [`RunningHost`].
///
/// ```no_run
/// use irosh::{files::Paths, host::{Admin, Edit, Peer}};
/// use jiff::tz::TimeZone;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = Admin::of(Paths::of_user()?)?;
/// let peer = Peer::parse("no-pty ssh-ed25519 AAAA... laptop", &TimeZone::system())?;
/// let allowed = host.allow(&peer, Edit::Change)?;
/// println!("{} may come in", allowed.peer.peer);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Admin(Way);

#[derive(Debug)]
enum Way {
    Asks(RunningHost),
    /// And why nobody is asked, or who cannot do it all.
    Works(ListFiles, Result<RunningHost, ControlError>),
}

/// What was to be done with a host's lists was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The host that runs has not done it.
    #[error(transparent)]
    Host(#[from] ControlError),
    /// Its files could not be worked on.
    #[error(transparent)]
    Files(#[from] ListError),
    /// Root could not become the user whose they are.
    #[error(transparent)]
    Owner(#[from] OwnerError),
}

impl Admin {
    /// Of the host of these folders.
    ///
    /// # Errors
    ///
    /// [`ControlError::OtherVersion`] where one runs of which it is not known what it makes of its files. One that does
    /// not say a word, or is so old that it cannot be asked, looks at its files itself.
    pub fn of(paths: Paths) -> Result<Self, AdminError> {
        match RunningHost::find(&paths) {
            // Root can write lists that are shut to the host.
            Ok(host) if paths.are_of_several() => Ok(Self(Way::Works(ListFiles::new(paths), Ok(host)))),
            Ok(host) => Ok(Self(Way::Asks(host))),
            Err(why @ (ControlError::NotRunning | ControlError::Older | ControlError::Silent)) => {
                Ok(Self(Way::Works(ListFiles::new(paths), Err(why))))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The same for root, whom the folders may not belong to: it asks the host as it is, and turns to the files as
    /// `owned` says, which becomes their owner.
    ///
    /// # Errors
    ///
    /// As [`Self::of`], and those of `owned`.
    pub fn of_owner(
        paths: Paths,
        owned: impl FnOnce() -> Result<Paths, OwnerError>,
    ) -> Result<Self, AdminError> {
        match Self::of(paths)? {
            Self(Way::Works(_, Err(ControlError::Silent))) => {
                Ok(Self(Way::Works(ListFiles::new(owned()?), Err(ControlError::Silent))))
            }
            // The folders of a user are others for that user than for root, and so may the host be.
            Self(Way::Works(..)) => Self::of(owned()?),
            asks => Ok(asks),
        }
    }

    /// Where the host is; its endpoint id alone where it does not run.
    ///
    /// # Errors
    ///
    /// [`AdminError`], as all that follow.
    pub fn ticket(&self) -> Result<EndpointAddr, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.ticket()?),
            Way::Works(files, host) => Ok(works(files, host).addr()?),
        }
    }

    /// Makes an invite.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn invite(&self, terms: &Terms) -> Result<NewInvite, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.invite(terms)?),
            Way::Works(files, host) => Ok(works(files, host).invite(terms, || files.addr())?),
        }
    }

    /// The invites that can still be used.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn invites(&self) -> Result<Vec<InviteStatus>, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.invites()?),
            Way::Works(files, host) => Ok(works(files, host).invites()?),
        }
    }

    /// Takes an invite back, by its id; returns it as it was.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn revoke_invite(&self, id: &str) -> Result<Vec<InviteStatus>, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.revoke_invite(id)?),
            Way::Works(files, host) => Ok(works(files, host).revoke_invite(id)?),
        }
    }

    /// Who may come in, and who is here.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn peers(&self) -> Result<PeerList, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.peers()?),
            Way::Works(files, host) => Ok(works(files, host).peers()?),
        }
    }

    /// Admits an identity, or changes its line.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn allow(&self, peer: &Peer, edit: Edit) -> Result<AllowedPeer, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.allow(peer, edit)?),
            Way::Works(files, host) => Ok(works(files, host).allow(peer, edit)?),
        }
    }

    /// Has the certificates of an authority admit, or changes its line.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn allow_authority(&self, authority: &Authority, edit: Edit) -> Result<AllowedAuthority, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.allow_authority(authority, edit)?),
            Way::Works(files, host) => Ok(works(files, host).allow_authority(authority, edit)?),
        }
    }

    /// Takes an admission back, by name, fingerprint or key, and ends what the peer has here.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn revoke(&self, who: &str) -> Result<RevokedPeers, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.revoke(who)?),
            Way::Works(files, host) => Ok(works(files, host).revoke(who, files.access()?)?),
        }
    }

    /// The SSH host keys of the servers, which a host that runs asks for them now.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn host_keys(&self) -> Result<Vec<KeptKeys>, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.host_keys()?),
            Way::Works(files, host) => Ok(asks_servers(files, host)?.host_keys()?),
        }
    }

    /// Has the keys announced that the servers show now, or showed last where no host runs.
    ///
    /// # Errors
    ///
    /// [`AdminError`].
    pub fn accept_host_keys(&self) -> Result<AcceptedKeys, AdminError> {
        match &self.0 {
            Way::Asks(host) => Ok(host.accept_host_keys()?),
            Way::Works(files, host) => Ok(asks_servers(files, host)?.accept_host_keys()?),
        }
    }

    /// Has the host read settings and lists again.
    ///
    /// # Errors
    ///
    /// [`AdminError::Host`] where none runs that could be asked, or the settings are wrong and stay as they were.
    pub fn reload(self) -> Result<Reloaded, AdminError> {
        match self.0 {
            Way::Asks(host) | Way::Works(_, Ok(host)) => Ok(host.reload()?),
            Way::Works(_, Err(why)) => Err(why.into()),
        }
    }
}

/// The files, while a host may stand still that would have to know.
fn works<'a>(files: &'a ListFiles, host: &Result<RunningHost, ControlError>) -> &'a ListFiles {
    if let Err(ControlError::Silent) = host {
        tracing::warn!("the host that runs does not answer; what is changed, it sees when it goes on");
    }
    files
}

/// The same, once the host has asked its servers, if it is one that may.
fn asks_servers<'a>(
    files: &'a ListFiles,
    host: &Result<RunningHost, ControlError>,
) -> Result<&'a ListFiles, ListError> {
    match host {
        Err(ControlError::Silent) => {}
        _ => files.have_servers_asked()?,
    }
    Ok(works(files, host))
}
