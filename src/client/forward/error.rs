//! Why a forward could not be set up.

use std::io;

use crate::client::state::Disconnected;

/// A forward could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// This side cannot listen there.
    #[error("cannot listen on {place}: {error}")]
    Listen {
        /// Where.
        place: String,
        /// What the system says.
        error: io::Error,
    },
    /// The server does not listen there: it is not allowed, or the place is taken.
    #[error("the server does not listen on {0}: it is not allowed there, or taken")]
    Refused(String),
    /// There is a forward there already.
    #[error("there is a forward on {0} already")]
    Twice(String),
    /// The connection is gone.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
}
