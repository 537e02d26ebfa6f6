//! Why a session did not come about, or broke.

use std::{io, sync::Arc};

use super::{dial_error::DialError, session_error::SessionError};

/// A bridge could not be built, or broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The host was not reached.
    #[error(transparent)]
    Dial(#[from] Arc<DialError>),
    /// The host took no session.
    #[error(transparent)]
    Session(#[from] Arc<SessionError>),
    /// stdin or stdout cannot be used.
    #[error("cannot use stdin and stdout: {0}\nirosh-proxy is run by ssh: see `irosh ssh-config print`")]
    Stdio(io::Error),
    /// stdout took no more.
    #[error("cannot write to ssh: {0}")]
    Write(io::Error),
}
