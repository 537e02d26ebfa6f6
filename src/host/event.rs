//! What a host tells the program that runs it.

use serde::Serialize;

use crate::protocol::BackendKind;

/// Something that happened, as `irosh host --json` prints it.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The host accepts connections.
    Ready {
        /// Its endpoint id, 64 hex digits.
        endpoint_id: String,
        /// Its ticket.
        ticket: String,
        /// Its backend, as `--backend` takes it.
        backend: String,
        /// Its process.
        pid: u32,
        /// Why its backend cannot be used as it is, if it cannot.
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// A backend shows SSH host keys that are not announced until they are accepted.
    HostKeysChanged {
        /// The backend, as `--backend` takes it.
        backend: String,
        /// The fingerprints of those keys.
        keys: Vec<String>,
    },
    /// An invite was used up for a new identity.
    Admitted {
        /// The identity's fingerprint.
        peer: String,
        /// The invite's short name.
        invite: String,
    },
    /// A peer was turned away.
    Refused {
        /// The identity's fingerprint, if it was proved.
        peer: Option<String>,
        /// The direct address, or the relay.
        from: String,
        /// Why.
        reason: String,
    },
    /// A session has begun.
    SessionStarted {
        /// The session's short name.
        session: String,
        /// The identity's name in `authorized_peers`.
        name: String,
        /// The identity's fingerprint.
        peer: String,
        /// The direct address, or the relay.
        from: String,
        /// What takes it.
        backend: BackendKind,
    },
    /// A session has lost its client, and waits for it.
    SessionDetached {
        /// The session's short name.
        session: String,
        /// The identity's fingerprint.
        peer: String,
        /// What became of the connection.
        reason: String,
    },
    /// A session has its client back.
    SessionResumed {
        /// The session's short name.
        session: String,
        /// The identity's fingerprint.
        peer: String,
        /// For how long it was away.
        seconds: f64,
    },
    /// A session has ended.
    SessionEnded {
        /// The session's short name.
        session: String,
        /// The identity's fingerprint.
        peer: String,
        /// Bytes from the peer to the backend.
        received: u64,
        /// Bytes from the backend to the peer.
        sent: u64,
        /// How long it lasted.
        seconds: f64,
        /// Why it ended.
        reason: String,
    },
    /// More of the same than is told one by one.
    Repeated {
        /// `refusals`, `admissions` or `sessions`.
        what: String,
        /// The address or network that the refused came from, or the fingerprint of the identity.
        of: String,
        /// How many more there were.
        more: u64,
        /// In how long.
        seconds: u64,
    },
    /// Nobody read the events that were to follow the last one.
    Dropped {
        /// How many there were.
        events: u64,
    },
    /// No new sessions are taken; the host ends when the last one has, or after its drain time.
    Draining {
        /// Sessions that still run.
        sessions: usize,
    },
    /// The program starts anew, and the one that follows goes on with these sessions.
    HandingOver {
        /// How many there are.
        sessions: usize,
    },
}
