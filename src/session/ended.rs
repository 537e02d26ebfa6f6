//! How a session has ended.

use std::{fmt, io};

use super::{
    leg::LegEnd,
    machine::{Broken, End, Role},
};
use crate::protocol::CloseCode;

/// How a session ended and what it moved.
#[derive(Debug)]
pub struct Report {
    /// Bytes that the local end sent.
    pub from_local: u64,
    /// Bytes that the local end was sent.
    pub to_local: u64,
    /// Why it ended.
    pub ended: Ended,
    /// Whether the other side could be told: not while there is no leg.
    pub told: bool,
}

/// Why a session ended.
#[derive(Debug)]
pub enum Ended {
    /// The server side sent its last byte and the client side has it.
    ServerClosed,
    /// The client side stopped reading and has nothing more to send.
    ClientClosed,
    /// This side, or the other one, has ended it before its time.
    Cut {
        /// Why.
        code: CloseCode,
        /// Whether the other side has.
        by_peer: bool,
    },
    /// The connection was lost, and the session is not one that waits.
    Lost(LegEnd),
    /// The other side does not keep to the protocol.
    Broken(Broken),
    /// The local end failed: whose it is.
    Failed(Role, io::Error),
    /// It goes on, in another process.
    HandedOver,
}

impl Ended {
    /// `said_all` is whether the local end has sent its last byte.
    pub(super) fn of(role: Role, end: Option<End>, said_all: bool, failed: Option<io::Error>) -> Self {
        match (end, failed) {
            (Some(End::Broken(broken)), _) => Self::Broken(broken),
            (Some(End::Closed { reason, by_peer }), _) if reason != CloseCode::Done as u32 => {
                let code = CloseCode::from_number(reason.into()).unwrap_or(CloseCode::Protocol);
                Self::Cut { code, by_peer }
            }
            (_, Some(error)) => Self::Failed(role, error),
            (Some(End::ServerClosed), None) => Self::ServerClosed,
            // A client is done when the server is, or when it has lost its reader.
            (Some(End::Closed { .. }), None) if role == Role::Client || said_all => Self::ServerClosed,
            _ => Self::ClientClosed,
        }
    }

    /// What the other side is told of an end.
    pub(super) fn code(end: &End) -> CloseCode {
        match end {
            End::ServerClosed | End::ClientClosed => CloseCode::Done,
            End::Closed { reason, .. } => CloseCode::from_number((*reason).into()).unwrap_or(CloseCode::Done),
            End::Broken(_) => CloseCode::Protocol,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerClosed => f.write_str("the ssh server closed it"),
            Self::ClientClosed => f.write_str("the ssh client closed it"),
            Self::Cut { code, .. } => write!(f, "{code}"),
            Self::Lost(why) => write!(f, "{why}"),
            Self::Broken(broken) => write!(f, "the other side broke the protocol: {broken}"),
            Self::Failed(Role::Host, error) => write!(f, "the ssh server's side failed: {error}"),
            Self::HandedOver => f.write_str("another process goes on with it"),
            Self::Failed(Role::Client, error) => write!(f, "the ssh client's side failed: {error}"),
        }
    }
}
