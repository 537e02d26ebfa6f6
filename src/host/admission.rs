//! Who may come in.

use std::{
    mem,
    net::Ipv4Addr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    access::Access,
    certificates::{Certified, Objection},
    claim::Claim,
    invites::{self, OpenInvite},
    loopback::AddressKey,
    peer::{Peer, PeerOptions},
    peer_edits::{self, EditError},
    peers::{AuthorizedPeers, Identity},
    revoked_list::RevokedList,
    roll::{Departure, Roll, Standing, Verdict},
};
use crate::{
    protocol::{Refusal, RefusalCode},
    transport::InviteSecret,
};

/// Decides about identities by `authorized_peers`, the list of revoked keys, invites and the access setting.
#[derive(Debug)]
pub struct Admission {
    peers: PathBuf,
    revoked: Mutex<RevokedList>,
    invites: PathBuf,
    address_key: AddressKey,
    access: watch::Sender<Access>,
    reading: Mutex<Reading>,
    /// Held while an invite is used: of two connections of one newcomer, the second finds it on the list.
    redeeming: Mutex<()>,
}

/// The lists as they were read last.
#[derive(Debug, Default)]
struct Reading {
    /// Which files they were, and what these looked like then.
    stamp: Option<(RevokedList, [Stamp; 2])>,
    roll: Option<Arc<Roll>>,
    /// Whether one could not be read when they were looked at last.
    failed: bool,
}

/// Enough of a file's metadata to see that it has changed.
type Stamp = Option<[i64; 5]>;

/// An identity that may come in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Who, by what name, with which options.
    pub peer: Peer,
    /// Whether it is on the list, and not only here because everybody may come in.
    pub listed: bool,
    /// The invite that was used for it just now.
    pub invite: Option<String>,
    /// What the certificate has given it by which it comes in, if it does.
    pub(super) certified: Option<Certified>,
}

impl Admission {
    pub(super) fn new(peers: PathBuf, invites: PathBuf, address_key: AddressKey, access: Access) -> Self {
        let revoked = Mutex::new(RevokedList::new(None, &peers));
        let access = watch::Sender::new(access);
        let (reading, redeeming) = (Mutex::default(), Mutex::default());
        Self { peers, revoked, invites, address_key, access, reading, redeeming }
    }

    /// Has the list of revoked keys be this file, or the usual one. Returns whether that is another than before.
    pub(super) fn set_revoked_keys(&self, named: Option<PathBuf>) -> bool {
        let list = RevokedList::new(named, &self.peers);
        let before =
            mem::replace(&mut *self.revoked.lock().unwrap_or_else(PoisonError::into_inner), list.clone());
        before != list
    }

    /// Returns the access before.
    pub(super) fn set_access(&self, access: Access) -> Access {
        self.access.send_replace(access)
    }

    /// The access as it is, and as it will be.
    pub(super) fn access(&self) -> watch::Receiver<Access> {
        self.access.subscribe()
    }

    /// Admits a peer, or says why not. Reads and may write files: not for an async task.
    ///
    /// An identity that is on the list is let in whatever invite or certificate it shows: whoever has written down what
    /// it may do means it. A certificate counts before an invite, which is then not used, and both before standing as a
    /// stranger, where strangers may come in.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for the peer.
    pub fn admit(&self, claim: impl Into<Claim>, invite: Option<&InviteSecret>) -> Result<Admitted, Refusal> {
        let (claim, now) = (claim.into(), Timestamp::now());
        let identity = claim.identity;
        let roll = self.load().map_err(|_| unreadable())?;
        let verdict = roll.verdict(&identity, *self.access.borrow(), now);
        match verdict {
            Verdict::Listed(peer) => return Admitted::listed(peer, &claim),
            Verdict::KeptOut => {
                let sentence =
                    "this host has taken back your admission for good\nonly its owner can let you in again";
                return Err(Refusal::new(RefusalCode::NotAdmitted, sentence));
            }
            Verdict::Expired(_) | Verdict::Unknown | Verdict::Stranger => {}
        }
        let objection = match certified(&roll, &claim, now) {
            Some(Ok(standing)) => {
                claim.is_present(&standing.peer.options)?;
                return Ok(standing.into());
            }
            Some(Err(objection)) => Some(objection),
            None => None,
        };
        match (verdict, invite) {
            (Verdict::Stranger, Some(secret)) => match self.redeem(&claim, secret) {
                Err(refusal) if refusal.code != RefusalCode::Internal => {
                    let reason = refusal.sentence.lines().next().unwrap_or_default();
                    tracing::info!(peer = %identity, "it comes in as a stranger: {reason}");
                    stranger(&claim)
                }
                other => other,
            },
            (Verdict::Stranger, None) => {
                if let Some(objection) = objection {
                    tracing::info!(peer = %identity, "it comes in as a stranger: its certificate: {objection}");
                }
                stranger(&claim)
            }
            (_, Some(secret)) => self.redeem(&claim, secret),
            (_, None) => Err(not_admitted(&identity, verdict, objection)),
        }
    }

    /// Whether a peer may come in without an invite.
    pub(super) fn lets_in(&self, claim: &Claim) -> bool {
        let now = Timestamp::now();
        self.load().is_ok_and(|roll| match roll.verdict(&claim.identity, *self.access.borrow(), now) {
            Verdict::Listed(_) | Verdict::Stranger => true,
            Verdict::KeptOut => false,
            Verdict::Expired(_) | Verdict::Unknown => matches!(certified(&roll, claim, now), Some(Ok(_))),
        })
    }

    /// Says who may stay, as the list is now. Reads a file: not for an async task.
    ///
    /// While the list cannot be read, whoever is here stays, but for those whose time comes by what was read
    /// last.
    pub(super) fn roll_call(&self) -> impl Fn(&Standing) -> Result<(), Departure> + use<> {
        let roll = self.load().ok().or_else(|| self.reading().roll.clone());
        let (access, now) = (*self.access.borrow(), Timestamp::now());
        move |standing| match &roll {
            Some(roll) => roll.reconsider(standing, access, now).map(drop),
            None => Ok(()),
        }
    }

    /// Who somebody is now who came in earlier, and the address of its sessions. Reads a file: not for an
    /// async task.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for the session.
    pub(super) fn look_up_again(&self, standing: &Standing) -> Result<(Standing, Ipv4Addr), Refusal> {
        let roll = self.load().map_err(|_| unreadable())?;
        match roll.reconsider(standing, *self.access.borrow(), Timestamp::now()) {
            Ok(standing) => {
                let address = roll.address_of(&standing.peer.identity);
                Ok((standing, address))
            }
            Err(departure) => Err(departure.refusal()),
        }
    }

    /// What keeps the lists from being read, in a sentence. Reads files: not for an async task.
    pub(super) fn problem(&self) -> Option<String> {
        self.load().err().map(|error| format!("nobody new comes in, and nobody is thrown out: {error}"))
    }

    /// Uses the invite, and then puts the identity on the list. What fails in between costs the invite a use,
    /// and the identity that it was for may come back.
    fn redeem(&self, claim: &Claim, secret: &InviteSecret) -> Result<Admitted, Refusal> {
        let _one_at_a_time = self.redeeming.lock().unwrap_or_else(PoisonError::into_inner);
        let (identity, now) = (claim.identity, Timestamp::now());
        let roll = self.load().map_err(|_| unreadable())?;
        let before = match roll.verdict(&identity, *self.access.borrow(), now) {
            Verdict::Listed(peer) => return Admitted::listed(peer, claim),
            Verdict::Expired(peer) => Some(peer),
            _ => None,
        };
        claim.is_present(&before.map(|peer| peer.options.clone()).unwrap_or_default())?;
        let fits = |invite: &OpenInvite| go_together(before, invite);
        let invite = invites::consume(&self.invites, secret, &identity, now, fits).map_err(internal)??;
        let change = |before: Option<&Peer>| invited(identity, before, &invite, now);
        let peer = peer_edits::update(&self.peers, &identity, change).map_err(internal)?.peer;
        if let Err(error) = invites::settle(&self.invites, &[identity.fingerprint()]) {
            tracing::warn!("cannot note that the invite {} has admitted {identity}: {error}", invite.name());
        }
        Ok(Admitted { peer, listed: true, invite: Some(invite.name().to_owned()), certified: None })
    }

    /// The lists as they are now. A line that is refused is logged once a change of the files, and so is a file
    /// that cannot be read.
    fn load(&self) -> std::io::Result<Arc<Roll>> {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stamps = [stamp(&self.peers), stamp(revoked.path())];
        let stamp = Some((revoked.clone(), stamps));
        let mut reading = self.reading();
        if let Some(roll) = reading.roll.as_ref().filter(|_| reading.stamp == stamp && !reading.failed) {
            return Ok(roll.clone());
        }
        let read = AuthorizedPeers::load(&self.peers).and_then(|peers| Ok((peers, revoked.load()?)));
        let (peers, revoked) = read.inspect_err(|error| {
            if !std::mem::replace(&mut reading.failed, true) {
                tracing::error!("nobody new comes in, and nobody is thrown out: {error}");
            }
        })?;
        if std::mem::take(&mut reading.failed) {
            tracing::info!("{} can be read again", self.peers.display());
        }
        for bad in &peers.refused {
            tracing::warn!("{} {bad}; this line admits nobody", self.peers.display());
        }
        let roll = Arc::new(Roll::new(peers, revoked, self.address_key.clone()));
        (reading.stamp, reading.roll) = (stamp, Some(roll.clone()));
        Ok(roll)
    }

    fn reading(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    fn listed(peer: &Peer, claim: &Claim) -> Result<Self, Refusal> {
        claim.is_present(&peer.options)?;
        Ok(Self { peer: peer.clone(), listed: true, invite: None, certified: None })
    }

    pub(super) fn standing(&self) -> Standing {
        let Self { peer, listed, certified, .. } = self.clone();
        Standing { peer, listed, certified }
    }
}

impl From<Standing> for Admitted {
    fn from(standing: Standing) -> Self {
        let Standing { peer, listed, certified } = standing;
        Self { peer, listed, invite: None, certified }
    }
}

impl Departure {
    /// What a session hears that would begin now.
    fn refusal(self) -> Refusal {
        let sentence = match self {
            Self::Revoked => "this host does not admit you any more\nask its owner",
            Self::Changed => "what you may do at this host has changed\nconnect again",
        };
        Refusal::new(RefusalCode::NotAdmitted, sentence)
    }
}

/// What a file looks like by now.
fn stamp(file: &Path) -> Stamp {
    let file = std::fs::metadata(file).ok()?;
    let number = i64::try_from(file.ino()).unwrap_or_default();
    let changes = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    let [mtime, mtime_nsec, ctime, ctime_nsec] = changes;
    Some([number, mtime, mtime_nsec, ctime, ctime_nsec])
}

/// What a peer's certificate gives it, if it shows one.
fn certified(roll: &Roll, claim: &Claim, now: Timestamp) -> Option<Result<Standing, Objection>> {
    let shown = claim.certificate.as_ref()?;
    let read = shown.as_ref().map_err(Objection::clone);
    Some(read.and_then(|certificate| roll.certified(&claim.identity, certificate, now)))
}

fn stranger(claim: &Claim) -> Result<Admitted, Refusal> {
    let standing = Standing::of_stranger(claim.identity);
    claim.is_present(&standing.peer.options)?;
    Ok(standing.into())
}

/// What somebody hears who may not come in.
fn not_admitted(identity: &Identity, verdict: Verdict<'_>, objection: Option<Objection>) -> Refusal {
    let is_expired = matches!(verdict, Verdict::Expired(_));
    let code = match &objection {
        None if is_expired => RefusalCode::Expired,
        Some(Objection::Expired(_)) => RefusalCode::Expired,
        _ => RefusalCode::NotAdmitted,
    };
    if let Some(objection) = objection {
        let sentence = format!(
            "this host does not take your certificate: {objection}\nask for another one, or the host's owner to look at its list"
        );
        return Refusal::new(code, sentence);
    }
    if is_expired {
        let sentence =
            "your admission to this host has expired\nask its owner to extend it, or for a new invite";
        return Refusal::new(code, sentence);
    }
    let key = identity.openssh();
    let sentence = format!(
        "this host does not know you\nask its owner for an invite, or to run: irosh peers allow '{key}'"
    );
    Refusal::new(code, sentence)
}

/// The line of who comes in by an invite. What it had stays, but for the end of its admission and the login,
/// which are the invite's.
fn invited(identity: Identity, before: Option<&Peer>, invite: &OpenInvite, now: Timestamp) -> Peer {
    let old = before.map(|peer| peer.options.clone()).unwrap_or_default();
    let restrictions =
        if old.restrictions.is_empty() { invite.restrictions.clone() } else { old.restrictions.clone() };
    let options =
        PeerOptions { expiry_time: None, login: invite.login.clone(), restrictions, revoked: false, ..old };
    let name = before.map(|peer| peer.name.clone()).filter(|name| !name.is_empty());
    let day = now.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d");
    let name = name.unwrap_or_else(|| format!("invited {day} by {}", invite.name()));
    Peer { identity, name, options }
}

/// Neither what restricts the line nor what restricts the invite may get lost.
fn go_together(before: Option<&Peer>, invite: &OpenInvite) -> Result<(), Refusal> {
    let old = before.map(|peer| &peer.options.restrictions).filter(|old| !old.is_empty());
    if invite.restrictions.is_empty() || old.is_none_or(|old| *old == invite.restrictions) {
        return Ok(());
    }
    let sentence = "your line on this host's list and this invite restrict you in different ways\nask its owner to run: irosh peers allow";
    Err(Refusal::new(RefusalCode::InviteUsed, sentence))
}

fn internal(error: EditError) -> Refusal {
    tracing::error!("cannot use an invite: {error}");
    let sentence =
        "the host cannot write its list of peers or its invites\nits log says why; try again later";
    Refusal::new(RefusalCode::Internal, sentence)
}

fn unreadable() -> Refusal {
    let sentence = "the host cannot read its list of peers\nits log says why";
    Refusal::new(RefusalCode::Internal, sentence)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
