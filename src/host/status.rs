//! What a host tells of itself.

use jiff::Timestamp;
use russh::keys::HashAlg;
use serde::{Deserialize, Serialize};

use super::{access::Access, certificates::UserCertificate, refusals::Turned, roll::Standing};
use crate::transport::PathStatus;

/// A host, and what is going on there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The version of its program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since that was started.
    pub age: u64,
    /// The name that peers are told.
    pub name: String,
    /// Its endpoint id, in hex.
    pub endpoint_id: String,
    /// Its backend, as `--backend` takes it.
    pub backend: String,
    /// Who reaches SSH.
    pub access: Access,
    /// Where it is about to end.
    pub draining: Option<Draining>,
    /// Those who are connected, or have a session.
    pub peers: Vec<PeerStatus>,
    /// Those who were not let in.
    pub refused: Refused,
}

/// A host that takes no new sessions, and ends when the last one has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Draining {
    /// Seconds since it was told to stop.
    pub age: u64,
    /// Seconds after which it ends whatever runs.
    pub left: u64,
}

/// Somebody who came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name in `authorized_peers`.
    pub name: String,
    /// The fingerprint of its identity.
    pub peer: String,
    /// Whether it is on the list, and not only here because everybody may come in.
    pub listed: bool,
    /// By what it came in, where it has no line of its own.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
    /// Its connections.
    pub connections: Vec<ConnectionStatus>,
    /// Its sessions, those without a connection as well.
    pub sessions: Vec<SessionStatus>,
}

/// A user certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// What its authority calls it.
    pub key_id: String,
    /// Its number there.
    pub serial: u64,
    /// Whom it names.
    #[serde(default)]
    pub principals: Vec<String>,
    /// The fingerprint of the authority's key.
    pub authority: String,
    /// When it ends, and its holder's sessions with it; nothing where that is never.
    pub expires: Option<Timestamp>,
}

/// A connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Seconds since its peer came in.
    pub age: u64,
    /// The path that is used.
    pub path: Option<PathStatus>,
    /// How many sessions were opened on it and have not ended.
    pub sessions: u32,
}

/// A session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its short name, as in the log.
    pub session: String,
    /// Seconds since it was opened.
    pub age: u64,
    /// Seconds for which it has waited for its client, where it does.
    pub detached: Option<u64>,
    /// Bytes from the peer to the backend.
    pub received: u64,
    /// Bytes from the backend to the peer.
    pub sent: u64,
}

/// Those who were not let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// How many were refused, or had nothing sensible to say.
    pub count: u64,
    /// How many more were turned away before they could say who they are, as too many came at once.
    pub unheard: u64,
    /// The last ones, the latest first.
    pub last: Vec<LastRefused>,
}

/// Somebody who was not let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LastRefused {
    /// How many seconds ago.
    pub ago: u64,
    /// How many times in a row, for the same reason.
    pub times: u64,
    /// The fingerprint of the identity, if it was proved.
    pub peer: Option<String>,
    /// The direct address, or the relay, the last time.
    pub from: String,
    /// Why.
    pub reason: String,
}

impl PeerStatus {
    pub(super) fn of(standing: &Standing) -> Self {
        let peer = &standing.peer;
        Self {
            name: peer.name.clone(),
            peer: peer.identity.fingerprint(),
            listed: standing.listed,
            certificate: standing.certified.as_ref().map(|certified| (&*certified.certificate).into()),
            connections: Vec::new(),
            sessions: Vec::new(),
        }
    }
}

impl From<&UserCertificate> for CertificateStatus {
    fn from(certificate: &UserCertificate) -> Self {
        Self {
            key_id: certificate.certificate().key_id().to_owned(),
            serial: certificate.certificate().serial(),
            principals: certificate.certificate().valid_principals().to_vec(),
            authority: certificate.authority().fingerprint(HashAlg::Sha256).to_string(),
            expires: certificate.ends(),
        }
    }
}

impl From<Turned> for Refused {
    fn from(turned: Turned) -> Self {
        let last = turned.last.into_iter().rev().map(|last| LastRefused {
            ago: last.at.elapsed().as_secs(),
            times: last.times,
            peer: last.peer.map(|identity| identity.fingerprint()),
            from: last.from,
            reason: last.reason,
        });
        Self { count: turned.count, unheard: turned.unheard, last: last.collect() }
    }
}
