//! Channels for the connections of a forward that begins at this side.

use std::{net::SocketAddr, sync::Arc};

use super::place::Place;
use crate::client::{
    channel::{OpenError, RawChannel, Wanted},
    connection::Connection,
    event::ConnectionEvent,
};

/// What opens them.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub(super) connection: Connection,
    /// Where the forward listens, for people.
    pub(super) name: Arc<str>,
}

impl Opening {
    /// Opens a channel to a place.
    pub(super) async fn open(
        &self,
        place: Place,
        from: Option<SocketAddr>,
    ) -> Result<Arc<RawChannel>, OpenError> {
        let originator =
            from.map_or_else(|| ("127.0.0.1".to_owned(), 0), |from| (from.ip().to_string(), from.port()));
        let wanted = match place {
            Place::Tcp { host, port } => Wanted::Tcp { host, port, originator },
            Place::Socket(path) => Wanted::Socket { path },
        };
        RawChannel::open(self.connection.link(), wanted).await
    }

    pub(super) fn failed(&self, target: &str, error: &str) {
        tracing::info!("forward from {} to {target}: {error}", self.name);
        self.connection.link().shared().events.tell(ConnectionEvent::ForwardFailed {
            forward: self.name.to_string(),
            target: target.to_owned(),
            error: error.to_owned(),
        });
    }
}
