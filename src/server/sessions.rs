//! The session channels of a connection.

use std::collections::HashMap;

use russh::ChannelId;

use super::session::SessionChannel;

/// The session channels that are open.
#[derive(Default)]
pub(super) struct Sessions(HashMap<ChannelId, SessionChannel>);

impl Sessions {
    pub(super) fn add(&mut self, id: ChannelId, channel: SessionChannel) {
        self.0.insert(id, channel);
    }

    pub(super) fn get(&mut self, id: ChannelId) -> Option<&mut SessionChannel> {
        self.0.get_mut(&id)
    }

    /// Forgets a channel in which nothing has been started; whether there is such a one.
    pub(super) fn remove_idle(&mut self, id: ChannelId) -> bool {
        let idle = self.0.get(&id).is_some_and(|channel| !channel.has_started());
        if idle {
            self.0.remove(&id);
        }
        idle
    }

    /// How many are open; those that this side has closed are forgotten.
    pub(super) fn len(&mut self) -> usize {
        self.0.retain(|_, channel| !channel.is_over());
        self.0.len()
    }
}
