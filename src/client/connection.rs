//! One SSH connection, which carries any number of channels.

use std::fmt;

use crate::client::{link::Link, metadata::RemoteMetadata, state::Disconnected};

/// A handle to a connection; cheap to clone. The connection ends when the last of its handles, sessions,
/// streams and forwards is gone.
#[must_use = "it ends with its last handle"]
#[derive(Clone)]
pub struct Connection(Link);

impl From<Link> for Connection {
    fn from(link: Link) -> Self {
        Self(link)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// What is known of the server.
    #[must_use]
    pub fn remote_metadata(&self) -> RemoteMetadata {
        self.0.shared().metadata()
    }

    /// Why the connection is gone; `None` while it lives.
    #[must_use]
    pub fn disconnected(&self) -> Option<Disconnected> {
        self.0.disconnected()
    }

    /// Waits until the connection is gone. Cancel safe.
    pub async fn wait_disconnected(&self) -> Disconnected {
        self.0.wait_disconnected().await
    }

    /// Says goodbye (SSH_DISCONNECT_BY_APPLICATION), closes every channel and waits until all of that is
    /// sent, for as long as it moves. Not cancel safe: the goodbye may not have been said.
    pub async fn disconnect(&self) {
        self.0.disconnect().await;
    }

    /// Changes the keys now.
    pub async fn rekey(&self) {
        self.0.rekey().await;
    }

    /// What carries its channels.
    pub(crate) fn link(&self) -> &Link {
        &self.0
    }
}
