//! Who may come in.

use std::{
    net::Ipv4Addr,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use iroh::{PublicKey, Signature};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    invites::{self, OpenInvite},
    loopback::AddressKey,
    peer_edits::{self, EditError},
    peers::{AuthorizedPeers, Identity, Peer, PeerOptions},
    roll::{Departure, Roll, Standing, Verdict},
    settings::Access,
};
use crate::{
    protocol::{EXPORTER_LENGTH, Hello, Refusal, RefusalCode, proof_message},
    transport::InviteSecret,
};

/// Decides about identities by `authorized_peers`, invites and the access setting.
#[derive(Debug)]
pub struct Admission {
    peers: PathBuf,
    invites: PathBuf,
    address_key: AddressKey,
    access: watch::Sender<Access>,
    reading: Mutex<Reading>,
    /// Held while an invite is used: of two connections of one newcomer, the second finds it on the list.
    redeeming: Mutex<()>,
}

/// The list as it was read last.
#[derive(Debug, Default)]
struct Reading {
    /// What the file looked like then.
    stamp: Stamp,
    roll: Option<Arc<Roll>>,
    /// Whether it could not be read when it was looked at last.
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
}

impl Admission {
    pub(super) fn new(peers: PathBuf, invites: PathBuf, address_key: AddressKey, access: Access) -> Self {
        let access = watch::Sender::new(access);
        Self { peers, invites, address_key, access, reading: Mutex::default(), redeeming: Mutex::default() }
    }

    /// Returns the access before.
    pub(super) fn set_access(&self, access: Access) -> Access {
        self.access.send_replace(access)
    }

    /// The access as it is, and as it will be.
    pub(super) fn access(&self) -> watch::Receiver<Access> {
        self.access.subscribe()
    }

    /// Checks that who says `hello` holds its identity.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::BadProof`] when the signature does not hold on this connection.
    pub(super) fn prove(hello: &Hello, exported: &[u8; EXPORTER_LENGTH]) -> Result<Identity, Refusal> {
        let bad = || {
            let sentence = "the proof of your identity does not hold on this connection\ntry again; if it stays so, something between you and the host is in the way";
            Refusal::new(RefusalCode::BadProof, sentence)
        };
        let key = PublicKey::from_bytes(&hello.identity).map_err(|_| bad())?;
        let signature = Signature::from_bytes(&hello.proof);
        key.verify(&proof_message(exported), &signature).map_err(|_| bad())?;
        Ok(Identity(hello.identity))
    }

    /// Admits an identity, or says why not. Reads and may write files: not for an async task.
    ///
    /// An identity that is on the list is let in whatever invite it shows. An invite counts before standing
    /// as a stranger, where strangers may come in.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for the peer.
    pub fn admit(&self, identity: Identity, invite: Option<&InviteSecret>) -> Result<Admitted, Refusal> {
        let roll = self.load().map_err(|_| unreadable())?;
        match (roll.verdict(&identity, *self.access.borrow(), Timestamp::now()), invite) {
            (Verdict::Listed(peer), _) => Ok(Admitted { peer: peer.clone(), listed: true, invite: None }),
            (Verdict::KeptOut, _) => {
                let sentence =
                    "this host has taken back your admission for good\nonly its owner can let you in again";
                Err(Refusal::new(RefusalCode::NotAdmitted, sentence))
            }
            (Verdict::Expired(_) | Verdict::Unknown, Some(secret)) => self.redeem(identity, secret),
            (Verdict::Expired(_), None) => {
                let sentence = "your admission to this host has expired\nask its owner to extend it, or for a new invite";
                Err(Refusal::new(RefusalCode::Expired, sentence))
            }
            (Verdict::Unknown, None) => {
                let key = identity.openssh();
                let sentence = format!(
                    "this host does not know you\nask its owner for an invite, or to run: irosh peers allow '{key}'"
                );
                Err(Refusal::new(RefusalCode::NotAdmitted, sentence))
            }
            (Verdict::Stranger, Some(secret)) => match self.redeem(identity, secret) {
                Err(refusal) if refusal.code != RefusalCode::Internal => {
                    let reason = refusal.sentence.lines().next().unwrap_or_default();
                    tracing::info!(peer = %identity, "it comes in as a stranger: {reason}");
                    Ok(stranger(identity))
                }
                other => other,
            },
            (Verdict::Stranger, None) => Ok(stranger(identity)),
        }
    }

    /// Whether an identity may come in without an invite.
    pub(super) fn lets_in(&self, identity: &Identity) -> bool {
        let now = Timestamp::now();
        self.load().is_ok_and(|roll| {
            matches!(
                roll.verdict(identity, *self.access.borrow(), now),
                Verdict::Listed(_) | Verdict::Stranger
            )
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
    pub(super) fn look_up_again(&self, standing: &Standing) -> Result<(Peer, Ipv4Addr), Refusal> {
        let roll = self.load().map_err(|_| unreadable())?;
        match roll.reconsider(standing, *self.access.borrow(), Timestamp::now()) {
            Ok(standing) => {
                let address = roll.address_of(&standing.peer.identity);
                Ok((standing.peer, address))
            }
            Err(departure) => Err(departure.refusal()),
        }
    }

    /// Uses the invite, and then puts the identity on the list. What fails in between costs the invite a use,
    /// and the identity that it was for may come back.
    fn redeem(&self, identity: Identity, secret: &InviteSecret) -> Result<Admitted, Refusal> {
        let _one_at_a_time = self.redeeming.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        let roll = self.load().map_err(|_| unreadable())?;
        let before = match roll.verdict(&identity, *self.access.borrow(), now) {
            Verdict::Listed(peer) => return Ok(Admitted { peer: peer.clone(), listed: true, invite: None }),
            Verdict::Expired(peer) => Some(peer),
            _ => None,
        };
        let fits = |invite: &OpenInvite| go_together(before, invite);
        let invite = invites::consume(&self.invites, secret, &identity, now, fits).map_err(internal)??;
        let change = |before: Option<&Peer>| invited(identity, before, &invite, now);
        let peer = peer_edits::update(&self.peers, &identity, change).map_err(internal)?.peer;
        if let Err(error) = invites::settle(&self.invites, &[identity.fingerprint()]) {
            tracing::warn!("cannot note that the invite {} has admitted {identity}: {error}", invite.name());
        }
        Ok(Admitted { peer, listed: true, invite: Some(invite.name().to_owned()) })
    }

    /// The list as it is now. A line that is refused is logged once a change of the file, and so is a file
    /// that cannot be read.
    fn load(&self) -> std::io::Result<Arc<Roll>> {
        let stamp = self.stamp();
        let mut reading = self.reading();
        if let Some(roll) = reading.roll.as_ref().filter(|_| reading.stamp == stamp && !reading.failed) {
            return Ok(roll.clone());
        }
        let peers = AuthorizedPeers::load(&self.peers).inspect_err(|error| {
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
        let roll = Arc::new(Roll::new(peers, self.address_key.clone()));
        (reading.stamp, reading.roll) = (stamp, Some(roll.clone()));
        Ok(roll)
    }

    fn reading(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self) -> Stamp {
        let file = std::fs::metadata(&self.peers).ok()?;
        let number = i64::try_from(file.ino()).unwrap_or_default();
        let changes = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
        let [mtime, mtime_nsec, ctime, ctime_nsec] = changes;
        Some([number, mtime, mtime_nsec, ctime, ctime_nsec])
    }
}

impl Admitted {
    pub(super) fn standing(&self) -> Standing {
        Standing { peer: self.peer.clone(), listed: self.listed }
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

fn stranger(identity: Identity) -> Admitted {
    let Standing { peer, listed } = Standing::of_stranger(identity);
    Admitted { peer, listed, invite: None }
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
