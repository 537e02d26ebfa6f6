//! Why a host could not be reached.

use std::time::Duration;

use iroh::endpoint::{
    ConnectError, ConnectWithOptsError, ConnectingError, ConnectionError, TransportErrorCode,
};

use super::obstacles::Obstacles;
use crate::{log::one_line, transport::BindFailed};

/// A host could not be reached. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindFailed),
    /// An endpoint id without addresses, and no name service that knows some.
    #[error("no address is known for {name}{}{}", if *.nearby { ", and nobody on this network says to be it" } else { "" }, if *.asked { "\nis `irosh host` running there, with a network? else use a ticket: run `irosh ticket` there" } else { "\nthe name service is turned off: use a ticket (run `irosh ticket` there), or set --dns" })]
    NameNotFound {
        /// The host.
        name: String,
        /// Whether a name service was asked.
        asked: bool,
        /// Whether it was asked for on this network.
        nearby: bool,
    },
    /// Nothing answered.
    #[error(
        "{name} did not answer within {:.0} s{obstacles}\n{}", .waited.as_secs_f32(), .obstacles.advice()
    )]
    NobodyHome {
        /// The host.
        name: String,
        /// How long was waited.
        waited: Duration,
        /// What is in the way, as far as it is known.
        obstacles: Obstacles,
    },
    /// An endpoint id without addresses, and a name service that is not reached from here.
    #[error(
        "the name service at {service} cannot be asked where {name} is: {fault}\ncheck this network and its name servers, or use a ticket: it says where the host is"
    )]
    NoNameService {
        /// The host.
        name: String,
        /// Where it should be.
        service: String,
        /// What is wrong.
        fault: String,
    },
    /// The only way to the host is a relay, and relays are turned off.
    #[error(
        "{name} is only known by a relay, and relays are turned off\nset --relay default, or IROSH_RELAY"
    )]
    RelaysOff {
        /// The host.
        name: String,
    },
    /// Something else answered at the address.
    #[error(
        "what answers at the address of {name} does not hold its key\nthe ticket may be old: get a new one with `irosh ticket` on the host"
    )]
    WrongKey {
        /// The host.
        name: String,
    },
    /// The host turned the connection away before it heard who we are.
    #[error("{name} takes no more connections now\ntry again in a minute")]
    TurnedAway {
        /// The host.
        name: String,
    },
    /// The host waits for a proof that somebody has to confirm.
    #[error(
        "{name} is reached, and waits for the proof of who we are\ntouch or confirm your key when the ssh-agent asks for it"
    )]
    Unproved {
        /// The host.
        name: String,
    },
    /// The host speaks something else.
    #[error(
        "{name} does not speak irosh/1\nits irosh may be of another age: bring both sides to the same version"
    )]
    WrongProtocol {
        /// The host.
        name: String,
    },
    /// A target that is this very process's endpoint, or anything else that is not a network's fault.
    #[error("cannot connect to {name}: {reason}")]
    Other {
        /// The host.
        name: String,
        /// What the transport said.
        reason: String,
    },
}

/// How a try to connect went wrong, with what tells most about the host last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missed {
    /// There is nothing to try.
    NoAddress,
    /// Nothing answered.
    Silent,
    /// Anything else.
    Other(String),
    /// What answers holds another key.
    WrongKey,
    /// What answers does not know our protocol.
    WrongProtocol,
    /// What answers takes no more connections.
    TurnedAway,
}

/// TLS alerts (RFC 8446 section 6.2): how a wrong key and a wrong protocol show.
const UNKNOWN_CA: u8 = 48;
const NO_APPLICATION_PROTOCOL: u8 = 120;

impl Missed {
    pub(super) fn of(error: &ConnectError) -> Self {
        let connection = match error {
            ConnectError::Connect { source: ConnectWithOptsError::NoAddress { .. }, .. } => {
                return Self::NoAddress;
            }
            ConnectError::Connection { source, .. }
            | ConnectError::Connecting { source: ConnectingError::ConnectionError { source, .. }, .. } => {
                source
            }
            other => return Self::Other(one_line(&other.to_string())),
        };
        match connection {
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
            {
                Self::TurnedAway
            }
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL) =>
            {
                Self::WrongProtocol
            }
            ConnectionError::TransportError(error)
                if error.code == TransportErrorCode::crypto(UNKNOWN_CA) =>
            {
                Self::WrongKey
            }
            other => Self::Other(one_line(&other.to_string())),
        }
    }

    /// Whether somebody answered, who may not be the host: nothing before the end of the handshake proves it.
    pub(super) fn was_answered(&self) -> bool {
        !matches!(self, Self::NoAddress | Self::Silent)
    }
}
