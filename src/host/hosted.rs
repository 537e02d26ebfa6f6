//! A session of this host: what moves its bytes, and tells of it.

use std::{sync::Arc, time::Duration};

use super::{
    backend::{BackendChild, BackendStream},
    hand_over::{Found, Inherited},
    sessions::{HostedSession, SessionEntry},
    shared::Shared,
};
use crate::session::{Ended, LocalReader, LocalWriter, News, Role, Session};

impl HostedSession {
    /// Moves the bytes until the session is over, or another process goes on with it.
    pub(super) async fn carry(
        self: Arc<Self>,
        shared: Arc<Shared>,
        session: Box<Session>,
        entry: SessionEntry,
        child: Option<BackendChild>,
    ) {
        let (hosted, of_host) = (self.clone(), shared.clone());
        let report = session.telling(move |news| hosted.note(&of_host, &entry, &news)).run().await;
        if matches!(report.ended, Ended::HandedOver) {
            return child.into_iter().for_each(BackendChild::leave);
        }
        drop(child);
        if self.told {
            shared.audit.session_ended(&self.standing.peer, self.id, self.started.elapsed(), &report);
        }
    }

    fn note(&self, shared: &Arc<Shared>, entry: &SessionEntry, news: &News) {
        let peer = &self.standing.peer;
        match news {
            News::Attached => {
                if let Some(away) = entry.attached().filter(|_| self.told) {
                    shared.audit.session_resumed(peer, self.id, away);
                }
            }
            News::Detached(why) => {
                entry.detached();
                if self.told {
                    shared.audit.session_detached(peer, self.id, why);
                }
                let shared = shared.clone();
                tokio::spawn(async move {
                    let limits = shared.limits.read().await.clone();
                    shared.sessions.evict(&limits).await;
                });
            }
            News::Opened | News::Delivered => {}
        }
    }
}

impl Shared {
    /// Goes on with what an earlier process has left.
    pub(super) async fn inherit(self: &Arc<Self>, inherited: Inherited) {
        let limits = self.limits.read().await.clone();
        let (mut sessions, mut lost) = (0, 0);
        for found in inherited.into_sessions() {
            let patience = limits.resume(&found.standing.peer.options);
            match self.take_on(found, patience) {
                Some(()) => sessions += 1,
                None => lost += 1,
            }
        }
        tracing::info!(sessions, "sessions of the host before go on");
        if lost > 0 {
            tracing::error!(sessions = lost, "sessions of the host before could not go on, and have ended");
        }
    }

    fn take_on(self: &Arc<Self>, found: Found, patience: Duration) -> Option<()> {
        let Found { id, standing, instance, started, told, detached, socket, process, frozen } = found;
        let mut stream = BackendStream::inherited(socket, process).ok()?;
        let place = stream.hold(self.registry.inherit(standing.peer.identity));
        let BackendStream { reader, writer, child, socket, .. } = stream;
        let local = (LocalReader::from(reader), LocalWriter::from(writer));
        let waits = (patience, patience.saturating_sub(detached));
        let (session, words) = Session::thaw(id, Role::Host, frozen, waits, local)?;
        let pid = child.as_ref().and_then(BackendChild::pid);
        let standing = Arc::new(standing);
        let counters = session.counters();
        let hosted = HostedSession { id, standing, instance, started, counters, told, socket, pid };
        let hosted = Arc::new(hosted);
        let entry = self.sessions.enter(hosted.clone(), words).ok()?;
        entry.was_detached(detached);
        let shared = self.clone();
        tokio::spawn(async move {
            hosted.carry(shared, session, entry, child).await;
            drop(place);
        });
        Some(())
    }
}
