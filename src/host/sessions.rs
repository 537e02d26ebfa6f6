//! The sessions of a running host: those that have a leg, and those that wait for one.

use std::{
    collections::{HashMap, hash_map},
    mem,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::{
    hand_over::Left, limit_settings::LimitSettings, peers::Identity, process::descriptor_of, roll::Standing,
};
use crate::{
    protocol::{CloseCode, Instance, Refusal, RefusalCode, SessionId},
    session::{Counters, Word},
};

/// Who has which session, and where it is told what.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    entries: HashMap<SessionId, Entry>,
    /// Another process goes on with them: none is taken in any more.
    leaving: bool,
    /// What those that have ended had moved, since this was asked last.
    moved: u64,
}

struct Entry {
    session: Arc<HostedSession>,
    words: mpsc::Sender<Word>,
    /// Since when it waits for a leg.
    detached: Option<Instant>,
}

/// What does not change of a session, whoever carries it.
pub(super) struct HostedSession {
    pub(super) id: SessionId,
    pub(super) standing: Arc<Standing>,
    pub(super) instance: Instance,
    pub(super) started: Instant,
    pub(super) counters: Arc<Counters>,
    /// Whether its beginning was told, and its end is to be.
    pub(super) told: bool,
    /// Its backend's, for another process to go on with.
    pub(super) socket: OwnedFd,
    pub(super) pid: Option<i32>,
}

/// A session's place, given back when dropped.
pub(super) struct SessionEntry {
    sessions: Sessions,
    id: SessionId,
}

impl Sessions {
    /// Takes a session in.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::CannotResume`] when there is one of this number: whoever opens it again does not know that.
    /// [`RefusalCode::GoingAway`] when another process is about to go on with all of them.
    pub(super) fn enter(
        &self,
        session: Arc<HostedSession>,
        words: mpsc::Sender<Word>,
    ) -> Result<SessionEntry, Refusal> {
        let id = session.id;
        let mut table = self.table();
        if table.leaving {
            return Err(Refusal::new(RefusalCode::GoingAway, "the host is starting anew\nconnect again"));
        }
        match table.entries.entry(id) {
            hash_map::Entry::Occupied(_) => {
                let sentence = "the host has a session of this number already\nconnect again";
                Err(Refusal::new(RefusalCode::CannotResume, sentence))
            }
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Entry { session, words, detached: None });
                Ok(SessionEntry { sessions: self.clone(), id })
            }
        }
    }

    /// Where an identity's session is told what; nothing of anybody else's.
    pub(super) fn of(&self, identity: &Identity, id: SessionId) -> Option<mpsc::Sender<Word>> {
        let table = self.table();
        let entry = table.entries.get(&id).filter(|entry| entry.identity() == identity)?;
        Some(entry.words.clone())
    }

    /// By what right the session of each is here.
    pub(super) fn standings(&self) -> Vec<(SessionId, Arc<Standing>)> {
        self.table().entries.iter().map(|(id, entry)| (*id, entry.session.standing.clone())).collect()
    }

    /// All of them, and since when those that have no leg wait for one.
    pub(super) fn all(&self) -> Vec<(Arc<HostedSession>, Option<Instant>)> {
        self.table().entries.values().map(|entry| (entry.session.clone(), entry.detached)).collect()
    }

    /// How many bytes those had moved that have ended since this was asked last.
    pub(super) fn moved(&self) -> u64 {
        mem::take(&mut self.table().moved)
    }

    /// Ends a session.
    pub(super) async fn close(&self, id: SessionId, code: CloseCode) {
        let words = self.table().entries.get(&id).map(|entry| entry.words.clone());
        tell(words.into_iter().collect(), code).await;
    }

    /// Ends what instances of an identity have left behind.
    pub(super) async fn gone(&self, identity: &Identity, instances: &[Instance]) {
        let of_them =
            |entry: &&Entry| entry.identity() == identity && instances.contains(&entry.session.instance);
        let words = self.table().entries.values().filter(of_them).map(|entry| entry.words.clone()).collect();
        tell(words, CloseCode::Gone).await;
    }

    /// Ends them all.
    pub(super) async fn close_all(&self, code: CloseCode) {
        let words = self.table().entries.values().map(|entry| entry.words.clone()).collect();
        tell(words, code).await;
    }

    /// Lets go of all of them, for another process to go on with.
    pub(super) async fn leave(&self) -> Vec<Left> {
        let all: Vec<_> = {
            let mut table = self.table();
            table.leaving = true;
            let each = |entry: &Entry| (entry.session.clone(), entry.words.clone(), entry.detached);
            table.entries.values().map(each).collect()
        };
        let leaving = all.into_iter().map(async |(session, words, detached)| {
            // While it is this process's child, its number is its own.
            let process = session.pid.and_then(|pid| Some((pid, descriptor_of(pid)?)));
            let (successor, frozen) = oneshot::channel();
            words.send(Word::Freeze(successor)).await.ok()?;
            // One that is over by then has nothing to leave.
            let frozen = frozen.await.ok()?;
            let socket = session.socket.try_clone().ok()?;
            let HostedSession { id, instance, started, told, .. } = *session;
            let standing = Standing::clone(&session.standing);
            Some(Left { id, standing, instance, started, detached, told, socket, process, frozen })
        });
        join_all(leaving).await.into_iter().flatten().collect()
    }

    /// Ends sessions that have waited longest, where more wait than may: of an identity, and in all.
    pub(super) async fn evict(&self, limits: &LimitSettings) {
        let words = self.too_many(limits);
        tell(words, CloseCode::Evicted).await;
    }

    fn too_many(&self, limits: &LimitSettings) -> Vec<mpsc::Sender<Word>> {
        let table = self.table();
        let mut waiting: Vec<_> =
            table.entries.values().filter_map(|entry| Some((entry.detached?, entry))).collect();
        // The latest first.
        waiting.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
        let mut of_each: HashMap<&Identity, u32> = HashMap::new();
        let mut in_all = 0;
        waiting.retain(|(_, entry)| {
            let held = of_each.entry(entry.identity()).or_default();
            let stays = *held < limits.max_detached_per_peer && in_all < limits.max_detached;
            *held += u32::from(stays);
            in_all += u32::from(stays);
            !stays
        });
        waiting.into_iter().map(|(_, entry)| entry.words.clone()).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn identity(&self) -> &Identity {
        &self.session.standing.peer.identity
    }
}

impl SessionEntry {
    /// Notes that the session has a leg; says for how long it had none, if it had.
    pub(super) fn attached(&self) -> Option<Duration> {
        let since = self.sessions.table().entries.get_mut(&self.id)?.detached.take()?;
        Some(since.elapsed())
    }

    /// Notes that the session waits for a leg.
    pub(super) fn detached(&self) {
        if let Some(entry) = self.sessions.table().entries.get_mut(&self.id) {
            entry.detached.get_or_insert_with(Instant::now);
        }
    }

    /// Notes that the session has waited for a leg for so long already.
    pub(super) fn was_detached(&self, away: Duration) {
        if let Some(entry) = self.sessions.table().entries.get_mut(&self.id) {
            entry.detached = Instant::now().checked_sub(away);
        }
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        let mut table = self.sessions.table();
        if let Some(Entry { session, .. }) = table.entries.remove(&self.id) {
            table.moved += session.counters.from_local() + session.counters.to_local();
        }
    }
}

/// A session that has ended meanwhile takes no word.
async fn tell(words: Vec<mpsc::Sender<Word>>, code: CloseCode) {
    for words in words {
        let _ = words.send(Word::Close(code)).await;
    }
}
