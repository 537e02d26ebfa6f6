//! The inboxes of a connection's channels.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use russh::ChannelId;

use crate::client::{inbox::Inbox, state::Disconnected};

/// The inboxes of all open channels; shared by those who carry them.
#[derive(Debug, Default)]
pub(crate) struct Inboxes(Mutex<HashMap<ChannelId, Arc<Inbox>>>);

impl Inboxes {
    fn map(&self) -> MutexGuard<'_, HashMap<ChannelId, Arc<Inbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inbox of a channel, new if need be: whoever comes first, the server's data or who takes it.
    pub(crate) fn get_or_add(&self, id: ChannelId) -> Arc<Inbox> {
        Arc::clone(self.map().entry(id).or_default())
    }

    pub(crate) fn get(&self, id: ChannelId) -> Option<Arc<Inbox>> {
        self.map().get(&id).cloned()
    }

    /// This side has done with a channel.
    pub(crate) fn forget(&self, id: ChannelId) {
        self.map().remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.map().len()
    }

    /// The connection is gone.
    pub(crate) fn disconnect_all(&self, why: &Disconnected) {
        let all: Vec<_> = self.map().drain().collect();
        for (_, inbox) in all {
            inbox.disconnect(why.clone());
        }
    }
}
