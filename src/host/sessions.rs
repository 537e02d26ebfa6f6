//! The sessions of a running host: those that have a leg, and those that wait for one.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{peers::Identity, roll::Standing, settings::LimitSettings};
use crate::{
    protocol::{CloseCode, Instance, Refusal, RefusalCode, SessionId},
    session::Word,
};

/// Who has which session, and where it is told what.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<SessionId, Entry>>>);

struct Entry {
    standing: Arc<Standing>,
    instance: Instance,
    words: mpsc::Sender<Word>,
    /// Since when it waits for a leg.
    detached: Option<Instant>,
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
    pub(super) fn enter(
        &self,
        id: SessionId,
        standing: Arc<Standing>,
        instance: Instance,
        words: mpsc::Sender<Word>,
    ) -> Result<SessionEntry, Refusal> {
        match self.entries().entry(id) {
            hash_map::Entry::Occupied(_) => {
                let sentence = "the host has a session of this number already\nconnect again";
                Err(Refusal::new(RefusalCode::CannotResume, sentence))
            }
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Entry { standing, instance, words, detached: None });
                Ok(SessionEntry { sessions: self.clone(), id })
            }
        }
    }

    /// Where an identity's session is told what; nothing of anybody else's.
    pub(super) fn of(&self, identity: &Identity, id: SessionId) -> Option<mpsc::Sender<Word>> {
        let entries = self.entries();
        let entry = entries.get(&id).filter(|entry| entry.identity() == identity)?;
        Some(entry.words.clone())
    }

    /// By what right the session of each is here.
    pub(super) fn standings(&self) -> Vec<(SessionId, Arc<Standing>)> {
        self.entries().iter().map(|(id, entry)| (*id, entry.standing.clone())).collect()
    }

    /// Ends a session.
    pub(super) async fn close(&self, id: SessionId, code: CloseCode) {
        let words = self.entries().get(&id).map(|entry| entry.words.clone());
        tell(words.into_iter().collect(), code).await;
    }

    /// Ends what instances of an identity have left behind.
    pub(super) async fn gone(&self, identity: &Identity, instances: &[Instance]) {
        let of_them = |entry: &&Entry| entry.identity() == identity && instances.contains(&entry.instance);
        let words = self.entries().values().filter(of_them).map(|entry| entry.words.clone()).collect();
        tell(words, CloseCode::Gone).await;
    }

    /// Ends them all.
    pub(super) async fn close_all(&self, code: CloseCode) {
        let words = self.entries().values().map(|entry| entry.words.clone()).collect();
        tell(words, code).await;
    }

    /// Ends sessions that have waited longest, where more wait than may: of an identity, and in all.
    pub(super) async fn evict(&self, limits: &LimitSettings) {
        let words = self.too_many(limits);
        tell(words, CloseCode::Evicted).await;
    }

    fn too_many(&self, limits: &LimitSettings) -> Vec<mpsc::Sender<Word>> {
        let entries = self.entries();
        let mut waiting: Vec<_> =
            entries.values().filter_map(|entry| Some((entry.detached?, entry))).collect();
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

    fn entries(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn identity(&self) -> &Identity {
        &self.standing.peer.identity
    }
}

impl SessionEntry {
    /// Notes that the session has a leg; says for how long it had none, if it had.
    pub(super) fn attached(&self) -> Option<Duration> {
        let since = self.sessions.entries().get_mut(&self.id)?.detached.take()?;
        Some(since.elapsed())
    }

    /// Notes that the session waits for a leg.
    pub(super) fn detached(&self) {
        if let Some(entry) = self.sessions.entries().get_mut(&self.id) {
            entry.detached.get_or_insert_with(Instant::now);
        }
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        self.sessions.entries().remove(&self.id);
    }
}

/// A session that has ended meanwhile takes no word.
async fn tell(words: Vec<mpsc::Sender<Word>>, code: CloseCode) {
    for words in words {
        let _ = words.send(Word::Close(code)).await;
    }
}
