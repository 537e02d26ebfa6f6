//! What goes on at a running host.

use std::collections::BTreeMap;

use super::{
    peers::Identity,
    registry::Connected,
    sessions::HostedSession,
    shared::Shared,
    status::{ConnectionStatus, Draining, PeerStatus, SessionStatus, Status},
};
use crate::transport::path_of;

impl Shared {
    /// What is going on.
    pub(super) fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            age: self.started.elapsed().as_secs(),
            name: self.name.clone(),
            endpoint_id: self.id.to_string(),
            backend: self.backend.to_string(),
            access: *self.admission.access().borrow(),
            draining: self.draining.get().map(|(since, drain)| Draining {
                age: since.elapsed().as_secs(),
                left: drain.saturating_sub(since.elapsed()).as_secs(),
            }),
            peers: self.here(),
            refused: self.audit.turned().into(),
        }
    }

    /// Who is connected, or has a session.
    pub(super) fn here(&self) -> Vec<PeerStatus> {
        let mut peers: BTreeMap<Identity, PeerStatus> = BTreeMap::new();
        for Connected { standing, connection, since, sessions } in self.registry.connected() {
            let peer = peers.entry(standing.peer.identity).or_insert_with(|| PeerStatus::of(&standing));
            let (age, path) = (since.elapsed().as_secs(), path_of(&connection));
            peer.connections.push(ConnectionStatus { age, path, sessions });
        }
        for (session, detached) in self.sessions.all() {
            let standing = &session.standing;
            let peer = peers.entry(standing.peer.identity).or_insert_with(|| PeerStatus::of(standing));
            let HostedSession { id, started, counters, .. } = &*session;
            peer.sessions.push(SessionStatus {
                session: id.to_string(),
                age: started.elapsed().as_secs(),
                detached: detached.map(|since| since.elapsed().as_secs()),
                received: counters.to_local(),
                sent: counters.from_local(),
            });
        }
        let mut peers: Vec<_> = peers.into_values().collect();
        peers.sort_by(|one, other| one.name.cmp(&other.name));
        for peer in &mut peers {
            // The oldest first, as they came.
            peer.connections.sort_by_key(|connection| std::cmp::Reverse(connection.age));
            peer.sessions.sort_by_key(|session| std::cmp::Reverse(session.age));
        }
        peers
    }
}
