//! Who may come in.

use std::{
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use iroh::{PublicKey, Signature};
use jiff::Timestamp;

use super::{
    invites::{self, OpenInvite},
    peers::{self, AuthorizedPeers, Identity, Peer, PeerOptions},
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
    access: Mutex<Access>,
    /// The peers as last read, with what the file looked like.
    cached: Mutex<Option<(Stamp, Arc<AuthorizedPeers>)>>,
}

/// Enough of a file's metadata to see that it has changed.
type Stamp = Option<(u64, u64, SystemTime)>;

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
    pub(super) fn new(peers: PathBuf, invites: PathBuf, access: Access) -> Self {
        Self { peers, invites, access: Mutex::new(access), cached: Mutex::new(None) }
    }

    pub(super) fn set_access(&self, access: Access) {
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
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
    /// An identity that is admitted already is let in whatever invite it shows.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for the peer.
    pub fn admit(&self, identity: Identity, invite: Option<&InviteSecret>) -> Result<Admitted, Refusal> {
        match self.standing(&identity)? {
            Some((peer, listed)) if !peer.expired(Timestamp::now()) => {
                return Ok(Admitted { peer, listed, invite: None });
            }
            Some(_) if invite.is_none() => {
                let sentence = "your admission to this host has expired\nask its owner to extend it, or for a new invite";
                return Err(Refusal::new(RefusalCode::Expired, sentence));
            }
            _ => {}
        }
        match invite {
            Some(secret) => self.redeem(identity, secret),
            None => Err(Refusal::new(
                RefusalCode::NotAdmitted,
                format!(
                    "this host does not know you\nask its owner for an invite, or to run: irosh peers allow '{}'",
                    identity.openssh()
                ),
            )),
        }
    }

    /// The line of an identity, or a nameless one where everybody may come in; and whether there is
    /// a line.
    fn standing(&self, identity: &Identity) -> Result<Option<(Peer, bool)>, Refusal> {
        let listed = self.load().map_err(|error| internal(&error))?.find(identity).cloned();
        let stranger = || Peer { identity: *identity, name: String::new(), options: PeerOptions::default() };
        Ok(match listed {
            Some(peer) => Some((peer, true)),
            None => self.is_open().then(|| (stranger(), false)),
        })
    }

    fn is_open(&self) -> bool {
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) == Access::Open
    }

    /// Says which identities may be here, as the list is now. Reads a file: not for an async task.
    pub(super) fn roll_call(&self) -> impl Fn(&Identity) -> bool + use<> {
        let (list, open, now) = (self.load().ok(), self.is_open(), Timestamp::now());
        move |identity| match &list {
            Some(list) => list.find(identity).map_or(open, |peer| !peer.expired(now)),
            // A list that cannot be read now throws nobody out.
            None => true,
        }
    }

    /// Uses the invite and puts the identity on the list: both or neither.
    fn redeem(&self, identity: Identity, secret: &InviteSecret) -> Result<Admitted, Refusal> {
        let now = Timestamp::now();
        let admit = |invite: &OpenInvite| {
            let day = now.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d");
            let name = format!("invited {day} by {}", invite.name());
            let options = PeerOptions { login: invite.login.clone(), ..PeerOptions::default() };
            let peer = Peer { identity, name, options };
            peers::allow(&self.peers, &peer)?;
            Ok(Admitted { peer, listed: true, invite: Some(invite.name().to_owned()) })
        };
        match invites::redeem(&self.invites, secret, &identity, now, admit)
            .map_err(|error| internal(&error))?
        {
            // Another connection of this identity may have used it a moment ago.
            Err(refusal) => match self.standing(&identity)? {
                Some((peer, listed)) if !peer.expired(now) => Ok(Admitted { peer, listed, invite: None }),
                _ => Err(refusal),
            },
            admitted => admitted,
        }
    }

    /// The list as it is now; a line that is refused is logged once a change of the file.
    pub(super) fn load(&self) -> std::io::Result<Arc<AuthorizedPeers>> {
        let stamp = self.stamp();
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read_at, peers)) = &*cached
            && *read_at == stamp
        {
            return Ok(peers.clone());
        }
        let peers = Arc::new(AuthorizedPeers::load(&self.peers)?);
        for bad in &peers.refused {
            tracing::warn!("{} {bad}; this line admits nobody", self.peers.display());
        }
        *cached = Some((stamp, peers.clone()));
        Ok(peers)
    }

    fn stamp(&self) -> Stamp {
        let metadata = std::fs::metadata(&self.peers).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
    }
}

fn internal(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!("cannot decide about a peer: {error}");
    let sentence = "the host cannot read its list of peers\nits log says why";
    Refusal::new(RefusalCode::Internal, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::invites::Terms;

    struct Place {
        _folder: tempfile::TempDir,
        admission: Admission,
    }

    fn place(access: Access) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let admission = Admission::new(folder.path().join("peers"), folder.path().join("invites"), access);
        Place { _folder: folder, admission }
    }

    fn identity(seed: u8) -> Identity {
        Identity(*iroh::SecretKey::from_bytes(&[seed; 32]).public().as_bytes())
    }

    #[test]
    fn a_stranger_is_told_what_to_ask_for() {
        let place = place(Access::Invited);
        let refusal = place.admission.admit(identity(1), None).expect_err("refused");
        assert_eq!(refusal.code, RefusalCode::NotAdmitted);
        assert!(refusal.sentence.contains("irosh peers allow 'ssh-ed25519 "), "{refusal}");
    }

    #[test]
    fn open_access_lets_anybody_reach_ssh() {
        let place = place(Access::Open);
        place.admission.admit(identity(1), None).expect("admitted");
    }

    #[test]
    fn an_invite_admits_for_good_and_is_used_once() {
        let place = place(Access::Invited);
        let secret = InviteSecret::generate();
        invites::issue(&place.admission.invites, &secret, &Terms::default(), Timestamp::now())
            .expect("issued");
        assert!(place.admission.admit(identity(1), Some(&secret)).expect("admitted").invite.is_some());
        assert!(place.admission.admit(identity(1), None).expect("admitted").invite.is_none());
        place.admission.admit(identity(1), Some(&secret)).expect("whatever invite it shows");
        peers::revoke(&place.admission.peers, &identity(1).fingerprint()).expect("revoked");
        let revoked = place.admission.admit(identity(1), Some(&secret)).expect_err("refused");
        assert!(revoked.sentence.contains("taken back"), "{revoked}");
        let late = place.admission.admit(identity(2), Some(&secret)).expect_err("refused");
        assert_eq!(late.code, RefusalCode::InviteUsed);
    }

    #[test]
    fn an_invite_is_not_used_up_when_the_list_cannot_be_written() {
        let place = place(Access::Invited);
        let secret = InviteSecret::generate();
        invites::issue(&place.admission.invites, &secret, &Terms::default(), Timestamp::now())
            .expect("issued");
        std::fs::create_dir(&place.admission.peers).expect("something in the way");
        assert!(place.admission.admit(identity(1), Some(&secret)).is_err());
        std::fs::remove_dir(&place.admission.peers).expect("away again");
        place.admission.admit(identity(1), Some(&secret)).expect("admitted");
    }

    #[test]
    fn two_connections_of_one_newcomer_are_both_admitted_by_one_invite() {
        let place = place(Access::Invited);
        let secret = InviteSecret::generate();
        invites::issue(&place.admission.invites, &secret, &Terms::default(), Timestamp::now())
            .expect("issued");
        std::thread::scope(|scope| {
            let admit = || place.admission.admit(identity(1), Some(&secret)).expect("admitted");
            let both = [scope.spawn(admit), scope.spawn(admit)];
            let used = both.into_iter().filter_map(|one| one.join().expect("no panic").invite).count();
            assert_eq!(used, 1);
        });
    }

    #[test]
    fn a_revoked_or_expired_peer_may_not_stay() {
        let place = place(Access::Invited);
        let peer = Peer { identity: identity(1), name: "one".to_owned(), options: PeerOptions::default() };
        peers::allow(&place.admission.peers, &peer).expect("allowed");
        assert!(place.admission.roll_call()(&identity(1)));
        peers::revoke(&place.admission.peers, "one").expect("revoked");
        assert!(!place.admission.roll_call()(&identity(1)));
        let options = PeerOptions {
            expiry_time: Some(Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(1)),
            ..PeerOptions::default()
        };
        peers::allow(&place.admission.peers, &Peer { options, ..peer }).expect("allowed");
        assert!(!place.admission.roll_call()(&identity(1)));
        let refusal = place.admission.admit(identity(1), None).expect_err("refused");
        assert_eq!(refusal.code, RefusalCode::Expired);
    }

    #[test]
    fn a_proof_holds_on_its_own_connection_only() {
        let key = iroh::SecretKey::from_bytes(&[5; 32]);
        let exported = [1; EXPORTER_LENGTH];
        let proof = key.sign(&proof_message(&exported)).to_bytes();
        let hello = Hello::new(*key.public().as_bytes(), proof, None);
        assert!(Admission::prove(&hello, &exported).is_ok());
        let elsewhere = Admission::prove(&hello, &[2; EXPORTER_LENGTH]).expect_err("refused");
        assert_eq!(elsewhere.code, RefusalCode::BadProof);
    }
}
