//! The inboxes of a connection's channels.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use russh::ChannelId;

use super::channel::Inbox;

/// The inboxes of all open channels; shared by those who carry them.
#[derive(Debug, Clone, Default)]
pub(super) struct Inboxes(Arc<Mutex<HashMap<ChannelId, Arc<Inbox>>>>);

impl Inboxes {
    fn map(&self) -> MutexGuard<'_, HashMap<ChannelId, Arc<Inbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inbox of a channel, new if need be: whoever comes first, the client's data or who takes it.
    pub(super) fn get_or_add(&self, id: ChannelId) -> Arc<Inbox> {
        Arc::clone(self.map().entry(id).or_default())
    }

    pub(super) fn get(&self, id: ChannelId) -> Option<Arc<Inbox>> {
        self.map().get(&id).cloned()
    }

    /// The client has closed a channel; whether anybody is there to answer.
    pub(super) fn close(&self, id: ChannelId) -> bool {
        let inbox = self.get(id);
        if let Some(inbox) = &inbox {
            inbox.close();
        }
        inbox.is_some()
    }

    /// This side has closed a channel.
    pub(super) fn forget(&self, id: ChannelId) {
        self.map().remove(&id);
    }

    pub(super) fn len(&self) -> usize {
        self.map().len()
    }

    /// The client is gone.
    pub(super) fn close_all(&self) {
        for (_, inbox) in self.map().drain() {
            inbox.close();
        }
    }
}
