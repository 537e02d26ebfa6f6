//! What has happened: each admission, refusal and session once, in the log and as an event.
//!
//! What strangers, or a peer in a loop, can make happen at will is told one by one up to some number a
//! minute, and in sum from there.

use std::{
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use russh::keys::HashAlg;

use super::{
    admission::Admitted, backend::Backend, certificates::Certified, event::Event, host_keys::Events,
    newcomers::Origin, peer::Peer, peers::Identity, refusals::Turned,
};
use crate::{
    protocol::{Refusal, SessionId},
    repeats::Repeats,
    session::{Ended, LegEnd, Report},
};

/// Refusals that are told one by one in a minute: of one source, and in all.
const REFUSALS: (u32, u32) = (10, 200);

/// Connections, and sessions, of a peer that are told one by one in a minute: far more than a person makes.
const OF_A_PEER: u32 = 3000;

/// Writes down what happens.
pub(super) struct Audit {
    events: Events,
    turned: Mutex<Turned>,
    refusals: Mutex<Repeats<String>>,
    admissions: Mutex<Repeats<Identity>>,
    sessions: Mutex<Repeats<Identity>>,
}

impl Audit {
    pub(super) fn new(events: Events) -> Self {
        let of_peers = || Mutex::new(Repeats::new(OF_A_PEER, u32::MAX));
        let refusals = Mutex::new(Repeats::new(REFUSALS.0, REFUSALS.1));
        let turned = Mutex::default();
        Self { events, turned, refusals, admissions: of_peers(), sessions: of_peers() }
    }

    pub(super) fn event(&self, event: Event) {
        (self.events)(event);
    }

    /// A peer may come in.
    pub(super) fn admitted(&self, admitted: &Admitted) {
        let Admitted { peer: Peer { identity, name, .. }, listed, invite, certified } = admitted;
        let peer = identity.fingerprint();
        if let Some(invite) = invite {
            tracing::info!(name, peer, invite, "admitted by an invite");
            self.event(Event::Admitted { peer, invite: invite.clone() });
        } else if tell(&self.admissions, *identity) {
            match certified {
                Some(Certified { certificate, logins, .. }) => {
                    let authority = certificate.authority().fingerprint(HashAlg::Sha256);
                    let principals = certificate.certificate().valid_principals();
                    let certificate = certificate.shown();
                    tracing::info!(
                        name, peer, certificate, ?principals, %authority, ?logins, "admitted by a certificate"
                    );
                }
                None => tracing::info!(name, peer, listed, "admitted"),
            }
        }
    }

    /// A connection is refused.
    pub(super) fn refused(
        &self,
        identity: Option<&Identity>,
        origin: &Origin,
        from: &str,
        refusal: &Refusal,
    ) {
        let reason = first_line(refusal);
        self.turn(identity, origin, from, &reason);
        if !tell(&self.refusals, origin.to_string()) {
            return;
        }
        let peer = identity.map(Identity::fingerprint);
        tracing::info!(peer = peer.as_deref().unwrap_or("unproved"), "refused: {reason}");
        self.event(Event::Refused { peer, from: from.to_owned(), reason });
    }

    /// A connection is closed that has not come as far as to be refused.
    pub(super) fn closed(&self, origin: &Origin, from: &str, why: &str) {
        self.turn(None, origin, from, why);
        if tell(&self.refusals, origin.to_string()) {
            tracing::info!("closed: {why}");
        }
    }

    /// A connection is turned away before it can say who it is.
    pub(super) fn unheard(&self) {
        self.all_turned().unheard += 1;
    }

    /// Those who were not let in.
    pub(super) fn turned(&self) -> Turned {
        self.all_turned().clone()
    }

    fn turn(&self, identity: Option<&Identity>, origin: &Origin, from: &str, why: &str) {
        self.all_turned().note(identity.copied(), origin.to_string(), from, why, Instant::now());
    }

    fn all_turned(&self) -> MutexGuard<'_, Turned> {
        self.turned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session is refused.
    pub(super) fn session_refused(&self, peer: &Peer, refusal: &Refusal) {
        if tell(&self.sessions, peer.identity) {
            let (name, peer, reason) = (&peer.name, peer.identity.fingerprint(), first_line(refusal));
            tracing::warn!(name, peer, "session refused: {reason}");
        }
    }

    /// Whether the next session of a peer is told of, from its beginning to its end.
    pub(super) fn tells_of_session(&self, peer: &Peer) -> bool {
        tell(&self.sessions, peer.identity)
    }

    /// A session that is told of has begun on such a backend.
    pub(super) fn session_started(&self, peer: &Peer, session: SessionId, from: &str, backend: &Backend) {
        let (name, peer) = (peer.name.clone(), peer.identity.fingerprint());
        tracing::info!(%session, name, peer, %backend, "session started");
        let (session, from, backend) = (session.to_string(), from.to_owned(), backend.kind());
        self.event(Event::SessionStarted { session, name, peer, from, backend });
    }

    /// A session that was told of has lost its client, and waits for it.
    pub(super) fn session_detached(&self, peer: &Peer, session: SessionId, why: &LegEnd) {
        let (name, peer) = (&peer.name, peer.identity.fingerprint());
        tracing::info!(%session, name, peer, "session detached: {why}");
        let (session, reason) = (session.to_string(), why.to_string());
        self.event(Event::SessionDetached { session, peer, reason });
    }

    /// The client is back.
    pub(super) fn session_resumed(&self, peer: &Peer, session: SessionId, away: Duration) {
        let (name, peer, seconds) = (&peer.name, peer.identity.fingerprint(), away.as_secs_f64());
        tracing::info!(%session, name, peer, seconds, "session resumed");
        self.event(Event::SessionResumed { session: session.to_string(), peer, seconds });
    }

    /// A session that was told of has ended.
    pub(super) fn session_ended(&self, peer: &Peer, session: SessionId, lasted: Duration, report: &Report) {
        let (name, peer, seconds) = (&peer.name, peer.identity.fingerprint(), lasted.as_secs_f64());
        if report.from_local == 0 && matches!(report.ended, Ended::ServerClosed) {
            tracing::warn!(%session, "the backend ended the session before its first word");
        }
        let (received, sent, reason) = (report.to_local, report.from_local, report.ended.to_string());
        tracing::info!(%session, name, peer, received, sent, seconds, "session ended: {reason}");
        self.event(Event::SessionEnded {
            session: session.to_string(),
            peer,
            received,
            sent,
            seconds,
            reason,
        });
    }

    /// Tells in sum what was not told one by one in the last minute.
    pub(super) fn sum_up(&self) {
        for (of, more) in sums(&self.refusals) {
            self.repeated("refusals", of, more);
        }
        for (what, repeats) in [("admissions", &self.admissions), ("sessions", &self.sessions)] {
            for (of, more) in sums(repeats) {
                self.repeated(what, of.map(|identity| identity.fingerprint()), more);
            }
        }
    }

    fn repeated(&self, what: &str, of: Option<String>, more: u64) {
        let (seconds, of) = (Repeats::<()>::WINDOW.as_secs(), of.unwrap_or_else(|| "others".to_owned()));
        tracing::info!(of, "{more} more {what} in {seconds} s");
        self.event(Event::Repeated { what: what.to_owned(), of, more, seconds });
    }
}

fn tell<K: Hash + Eq>(repeats: &Mutex<Repeats<K>>, kind: K) -> bool {
    repeats.lock().unwrap_or_else(PoisonError::into_inner).tell(kind, Instant::now())
}

fn sums<K: Hash + Eq>(repeats: &Mutex<Repeats<K>>) -> Vec<(Option<K>, u64)> {
    repeats.lock().unwrap_or_else(PoisonError::into_inner).sum_up(Instant::now())
}

fn first_line(refusal: &Refusal) -> String {
    refusal.sentence.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{host::peer::PeerOptions, protocol::RefusalCode};

    /// An audit, and how many events it has told.
    fn audit() -> (Audit, Arc<AtomicUsize>) {
        let told = Arc::new(AtomicUsize::new(0));
        let counter = told.clone();
        (Audit::new(Arc::new(move |_| _ = counter.fetch_add(1, Ordering::Relaxed))), told)
    }

    #[test]
    fn strangers_do_not_flood_the_log() {
        let (audit, told) = audit();
        let refusal = Refusal::new(RefusalCode::NotAdmitted, "no");
        for host in 0..100 {
            let origin = Origin::V6(host % 4);
            (0..100).for_each(|_| audit.refused(None, &origin, "somewhere", &refusal));
        }
        assert_eq!(told.load(Ordering::Relaxed), 40);
    }

    #[test]
    fn a_peer_in_a_loop_does_not_flood_the_log_and_what_is_told_is_told_to_its_end() {
        let (audit, told) = audit();
        let peer = Peer {
            identity: Identity::ed25519([1; 32]),
            name: String::new(),
            options: PeerOptions::default(),
        };
        let start = |_: &u32| {
            let told = audit.tells_of_session(&peer);
            if told {
                audit.session_started(&peer, SessionId::generate(), "there", &Backend::Builtin);
            }
            told
        };
        assert_eq!((0..10_000).filter(start).count(), OF_A_PEER as usize);
        assert_eq!(told.load(Ordering::Relaxed), OF_A_PEER as usize);
    }

    #[test]
    fn every_invite_that_is_used_is_told() {
        let (audit, told) = audit();
        let peer = Peer {
            identity: Identity::ed25519([1; 32]),
            name: String::new(),
            options: PeerOptions::default(),
        };
        let invite = Some("an invite".to_owned());
        let admitted = Admitted { peer, listed: true, invite, certified: None };
        (0..1000).for_each(|_| audit.admitted(&admitted));
        assert_eq!(told.load(Ordering::Relaxed), 1000);
    }
}
