//! The list of peers as it was read last, and what it says of somebody.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
};

use jiff::Timestamp;
use russh::keys::HashAlg;

use super::{
    access::Access,
    certificates::{Certified, Objection, UserCertificate},
    loopback::{AddressKey, Addresses},
    peer::{Peer, PeerOptions},
    peers::{AuthorizedPeers, Identity},
    restrictions::Restrictions,
};
use crate::{protocol::CloseCode, server::revoked::RevokedKeys};

/// A list, ready to be asked again and again.
#[derive(Debug)]
pub(super) struct Roll {
    list: AuthorizedPeers,
    /// Which line counts.
    lines: HashMap<Identity, usize>,
    /// The fingerprints of those whom a line keeps out.
    kept_out: HashSet<String>,
    /// What keeps keys and certificates out besides.
    revoked: RevokedKeys,
    addresses: Addresses,
}

/// What a list says of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// It is on the list.
    Listed(&'a Peer),
    /// It was, until its time came.
    Expired(&'a Peer),
    /// It is on no list, and everybody may come in.
    Stranger,
    /// It is on no list.
    Unknown,
    /// A line keeps it out, or one that is not understood speaks of it.
    KeptOut,
}

/// What there is between a host and somebody who came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// The line, or a nameless one of who is on no list.
    pub(super) peer: Peer,
    /// Whether it is on the list, and not only here because everybody may come in.
    pub(super) listed: bool,
    /// By what it came in, where it has no line of its own.
    pub(super) certified: Option<Certified>,
}

/// Why somebody who came in may not stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Departure {
    /// It may not come in any more.
    #[error("no longer admitted")]
    Revoked,
    /// It may come in again, on other terms.
    #[error("what it may do has changed")]
    Changed,
}

impl From<Departure> for CloseCode {
    fn from(departure: Departure) -> Self {
        match departure {
            Departure::Revoked => Self::Revoked,
            Departure::Changed => Self::Changed,
        }
    }
}

impl Roll {
    pub(super) fn new(list: AuthorizedPeers, revoked: RevokedKeys, key: AddressKey) -> Self {
        let mut lines = HashMap::new();
        for (index, peer) in list.peers.iter().enumerate() {
            lines.entry(peer.identity).or_insert(index);
        }
        let addresses = Addresses::new(key, list.peers.iter().map(|peer| &peer.identity));
        let kept_out = list.revoked.iter().map(|revoked| revoked.fingerprint.clone()).collect();
        Self { list, lines, kept_out, revoked, addresses }
    }

    /// What the list says.
    pub(super) fn verdict(&self, identity: &Identity, access: Access, now: Timestamp) -> Verdict<'_> {
        let line = self.lines.get(identity).and_then(|index| self.list.peers.get(*index));
        if self.keeps_out(identity) {
            return Verdict::KeptOut;
        }
        match (line, access) {
            (Some(peer), _) if peer.expired(now) => Verdict::Expired(peer),
            (Some(peer), _) => Verdict::Listed(peer),
            (None, Access::Invited) => Verdict::Unknown,
            // What is not understood may have been meant to keep it out.
            (None, Access::Open) if self.is_misread(identity) => Verdict::KeptOut,
            (None, Access::Open) => Verdict::Stranger,
        }
    }

    fn keeps_out(&self, identity: &Identity) -> bool {
        let by_line = !self.kept_out.is_empty() && self.kept_out.contains(&identity.fingerprint());
        by_line || !self.revoked.is_empty() && self.revoked.revokes(identity.public_key().key_data())
    }

    /// What a certificate gives an identity that is not kept out, and has no line of its own that is in force.
    pub(super) fn certified(
        &self,
        identity: &Identity,
        certificate: &Arc<UserCertificate>,
        now: Timestamp,
    ) -> Result<Standing, Objection> {
        let (peer, logins) = certificate.admits(identity, self.list.authorities.iter(), now)?;
        let authority = certificate.authority().fingerprint(HashAlg::Sha256).to_string();
        let by_list = !self.revoked.is_empty() && self.revoked.revokes_certificate(certificate.certificate());
        if by_list || self.kept_out.contains(&authority) {
            return Err(Objection::Revoked);
        }
        // What is not understood may have been meant to keep it out.
        if self.is_misread(identity) {
            return Err(Objection::Misread);
        }
        let denied = certificate.denied();
        let certified = Certified { certificate: Arc::clone(certificate), logins, denied };
        Ok(Standing { peer, listed: true, certified: Some(certified) })
    }

    /// Who somebody is now who came in as `before`, if nothing is different that matters to what it has open.
    pub(super) fn reconsider(
        &self,
        before: &Standing,
        access: Access,
        now: Timestamp,
    ) -> Result<Standing, Departure> {
        let identity = &before.peer.identity;
        let after = match (self.verdict(identity, access, now), &before.certified) {
            (Verdict::Listed(peer), _) => Standing { peer: peer.clone(), listed: true, certified: None },
            (Verdict::KeptOut, _) => return Err(Departure::Revoked),
            (_, Some(Certified { certificate, .. })) => {
                self.certified(identity, certificate, now).map_err(|_| Departure::Revoked)?
            }
            (Verdict::Stranger, None) if !before.listed => before.clone(),
            _ => return Err(Departure::Revoked),
        };
        if after.permits_the_same(before) { Ok(after) } else { Err(Departure::Changed) }
    }

    /// The address from which an identity's sessions come.
    pub(super) fn address_of(&self, identity: &Identity) -> Ipv4Addr {
        self.addresses.of(identity)
    }

    fn is_misread(&self, identity: &Identity) -> bool {
        self.list.refused.iter().any(|bad| bad.identity.as_ref() == Some(identity))
    }
}

impl Standing {
    /// Of somebody on no list.
    pub(super) fn of_stranger(identity: Identity) -> Self {
        let peer = Peer { identity, name: String::new(), options: PeerOptions::default() };
        Self { peer, listed: false, certified: None }
    }

    /// The logins at the built-in server that need no further proof.
    pub(super) fn logins(&self) -> Vec<String> {
        match &self.certified {
            Some(certified) => certified.logins.clone(),
            None => self.peer.options.login.iter().cloned().collect(),
        }
    }

    /// What restricts a login at the built-in server.
    pub(super) fn restrictions(&self) -> Restrictions {
        let of_line = &self.peer.options.restrictions;
        self.certified.as_ref().map_or_else(|| of_line.clone(), |certified| of_line.and(&certified.denied))
    }

    /// Whether sessions that began under this are what `other` would make them.
    fn permits_the_same(&self, other: &Self) -> bool {
        self.peer.options.permit_the_same(&other.peer.options)
            && self.logins() == other.logins()
            && self.restrictions() == other.restrictions()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn identity() -> Identity {
        Identity::ed25519(*iroh::SecretKey::from_bytes(&[1; 32]).public().as_bytes())
    }

    fn roll(lines: &[&str]) -> Roll {
        let key = identity().openssh();
        let text: String = lines.iter().map(|options| format!("{options} {key} one\n")).collect();
        let key = AddressKey::load_or_create(&tempfile::tempdir().expect("a folder").path().join("key"));
        Roll::new(AuthorizedPeers::parse(&text, &TimeZone::UTC), RevokedKeys::default(), key.expect("a key"))
    }

    fn verdict(lines: &[&str], access: Access) -> String {
        let text = format!("{:?}", roll(lines).verdict(&identity(), access, Timestamp::now()));
        text.split('(').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_list_says_who_may_come_in() {
        use Access::{Invited, Open};
        for (lines, access, expected) in [
            (&[][..], Invited, "Unknown"),
            (&[], Open, "Stranger"),
            (&["no-resume"], Invited, "Listed"),
            (&["no-resume", "revoked"], Invited, "KeptOut"),
            (&["revoked"], Open, "KeptOut"),
            (&["expiry-time=\"20200101\""], Open, "Expired"),
            // It might have been meant to keep it out.
            (&["revoked,frobnicate"], Open, "KeptOut"),
            (&["frobnicate"], Invited, "Unknown"),
            (&["frobnicate", "no-resume"], Open, "Listed"),
        ] {
            assert_eq!(verdict(lines, access), expected, "{lines:?} {access:?}");
        }
    }

    /// What becomes of who came in by one line when it is another.
    fn becomes(before: &[&str], after: &[&str], access: Access) -> Result<bool, Departure> {
        let before = match roll(before).verdict(&identity(), access, Timestamp::now()) {
            Verdict::Listed(peer) => Standing { peer: peer.clone(), listed: true, certified: None },
            _ => Standing::of_stranger(identity()),
        };
        roll(after).reconsider(&before, access, Timestamp::now()).map(|standing| standing.listed)
    }

    #[test]
    fn who_is_here_stays_unless_its_terms_change() {
        use Access::{Invited, Open};
        let (revoked, changed) = (Err(Departure::Revoked), Err(Departure::Changed));
        for (before, after, access, expected) in [
            (&["no-pty"][..], &["no-pty"][..], Invited, Ok(true)),
            (&["no-pty"], &["expiry-time=\"20400101\",no-pty"], Invited, Ok(true)),
            (&["no-pty"], &["expiry-time=\"20200101\",no-pty"], Invited, revoked),
            (&["no-pty"], &[], Invited, revoked),
            // What it had by its line is not what strangers have.
            (&["no-pty"], &[], Open, revoked),
            (&["login=\"root\""], &["login=\"bob\""], Invited, changed),
            (&["login=\"root\""], &["no-resume"], Invited, changed),
            (&["no-resume"], &["no-resume,backend=\"exec:/bin/x\""], Invited, changed),
            (&["no-pty"], &["no-pty,command=\"x\""], Invited, changed),
            (&[], &[], Open, Ok(false)),
            (&[], &["revoked"], Open, revoked),
            (&[], &["restrict"], Open, changed),
        ] {
            assert_eq!(becomes(before, after, access), expected, "{before:?} {after:?} {access:?}");
        }
    }
}
