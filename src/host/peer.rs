//! Somebody who may come in, and who may not.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::restrictions::{Restrictions, quoted};
use crate::{log::printable, transport::Identity};

/// One line of `authorized_peers` that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub identity: Identity,
    /// What the line calls them; may be empty.
    pub name: String,
    /// What they may do.
    pub options: PeerOptions,
}

/// What stands before a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerOptions {
    /// The admission ends at this time.
    pub expiry_time: Option<Timestamp>,
    /// The backend that takes this peer's sessions, in place of the host's.
    pub backend: Option<String>,
    /// The login that this peer needs no further proof for at the built-in server.
    pub login: Option<String>,
    /// Lost sessions are not kept.
    pub no_resume: bool,
    /// It is never let in.
    pub revoked: bool,
    /// Its FIDO key need not have been touched.
    pub no_touch_required: bool,
    /// Its FIDO key must have checked a PIN or a finger.
    pub verify_required: bool,
    /// What it may do at the built-in server, whatever it logs in by.
    pub restrictions: Restrictions,
}

/// A line that keeps somebody out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The fingerprint of the identity.
    pub fingerprint: String,
    /// What the line calls them; may be empty.
    pub name: String,
}

impl From<Peer> for Revoked {
    fn from(peer: Peer) -> Self {
        Self { fingerprint: peer.identity.fingerprint(), name: peer.name }
    }
}

impl Revoked {
    /// A line of the file that says so.
    #[must_use]
    pub fn line(&self) -> String {
        format!("revoked {} {}", self.fingerprint, without_controls(&self.name)).trim_end().to_owned()
    }
}

impl Peer {
    /// Whether the admission has ended by `now`.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.options.expiry_time.is_some_and(|expiry| expiry <= now)
    }

    /// The peer as a line of the file.
    #[must_use]
    pub fn line(&self) -> String {
        let name = without_controls(&self.name);
        let options = self.options.to_string();
        let space = if options.is_empty() { "" } else { " " };
        format!("{options}{space}{} {name}", self.identity.openssh()).trim_end().to_owned()
    }

    /// Its name, for a terminal or a log.
    #[must_use]
    pub fn shown_name(&self) -> String {
        printable(&self.name)
    }
}

pub(super) fn without_controls(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}

impl PeerOptions {
    /// These options where `newer` ones change them: what `newer` does not speak of stays, but for an
    /// admission that has ended by `now` or was taken back, since this gives it anew.
    #[must_use]
    pub(super) fn changed_by(&self, newer: &Self, now: Timestamp) -> Self {
        let still = self.expiry_time.filter(|expiry| *expiry > now);
        Self {
            expiry_time: newer.expiry_time.or(still),
            backend: newer.backend.as_ref().or(self.backend.as_ref()).cloned(),
            login: newer.login.as_ref().or(self.login.as_ref()).cloned(),
            no_resume: newer.no_resume || self.no_resume,
            revoked: newer.revoked,
            no_touch_required: newer.no_touch_required || self.no_touch_required,
            verify_required: newer.verify_required || self.verify_required,
            restrictions: self.restrictions.changed_by(&newer.restrictions),
        }
    }

    /// Whether sessions that began under these are what `other` would make them: all but the times match.
    #[must_use]
    pub(super) fn permit_the_same(&self, other: &Self) -> bool {
        Self { expiry_time: other.expiry_time, ..self.clone() } == *other
    }
}

impl fmt::Display for PeerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expiry = |time: &Timestamp| time.strftime("\"%Y%m%d%H%M%SZ\"").to_string();
        let options = [
            self.revoked.then(|| "revoked".to_owned()),
            self.expiry_time.as_ref().map(|time| format!("expiry-time={}", expiry(time))),
            self.backend.as_ref().map(|backend| format!("backend={}", quoted(backend))),
            self.login.as_ref().map(|login| format!("login={}", quoted(login))),
            self.no_resume.then(|| "no-resume".to_owned()),
            self.no_touch_required.then(|| "no-touch-required".to_owned()),
            self.verify_required.then(|| "verify-required".to_owned()),
            Some(self.restrictions.to_string()).filter(|text| !text.is_empty()),
        ];
        f.write_str(&options.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}
