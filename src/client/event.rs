//! What happens on a connection besides its sessions.

use std::{fmt, sync::Arc, time::Duration};

/// Something that a program may want to show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// A text that the server wants shown before the login (RFC 4252 section 5.4). It may hold control
    /// characters.
    Banner(String),
    /// A forwarded connection could not be carried.
    ForwardFailed {
        /// The forward, such as `127.0.0.1:8080`.
        forward: String,
        /// Where the connection was to go.
        target: String,
        /// What went wrong.
        error: String,
    },
    /// The host is not reached any more: nothing moves until it is, and nothing is lost.
    Detached {
        /// Why.
        reason: String,
    },
    /// The host is reached again, and all goes on.
    Attached {
        /// After how long.
        after: Duration,
    },
}

#[derive(Clone, Default)]
pub(crate) struct EventSink(pub(crate) Option<Arc<dyn Fn(ConnectionEvent) + Send + Sync>>);

impl EventSink {
    pub(crate) fn tell(&self, event: ConnectionEvent) {
        if let Some(tell) = &self.0 {
            tell(event);
        }
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}
