//! Why two machines have not come together.

use crate::{
    log::one_line,
    protocol::{
        CloseCode, FrameError,
        pairing::{Reason, Refused, Role},
    },
    proxy::CannotProve,
    session::{FrameReadError, Lost},
    transport::{BindFailed, Identity},
};

use super::nameplate::Nameplate;

/// Two machines have not come together. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairingError {
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindFailed),
    /// Each nameplate that was tried is somebody else's at the moment.
    #[error("every number that was tried for a code is in use\ntry again in a minute")]
    NoNameplate,
    /// Neither the local network nor a name service can bring the two together, and why.
    #[error(
        "no code can be found or shown from here: {here}, and {elsewhere}\nset dns to a name service, or be on a network with the other machine"
    )]
    NoWay {
        /// On the local network.
        here: &'static str,
        /// By a name service.
        elsewhere: String,
    },
    /// Nobody has typed the code in time.
    #[error("nobody has typed the code in time, and it is of no use any more\nhave a new one shown")]
    Expired,
    /// Somebody has typed other words than those that are shown.
    #[error(
        "somebody typed other words than these: the code is dead, and nothing was told\nhave a new one shown, and type it as it is"
    )]
    Guessed,
    /// Nobody shows a code of this nameplate, as far as can be found.
    #[error("no machine is found that shows a code with the number {nameplate}\n{}", nobody(.fault.as_deref()))]
    Nobody {
        /// Which.
        nameplate: Nameplate,
        /// Why one that is elsewhere cannot be found.
        fault: Option<String>,
    },
    /// Somebody shows one, and was not reached.
    #[error("the machine that shows the code {number} was found, but not reached: {why}\nlook whether it waits there still, and check the networks of both", number = .0, why = .1)]
    Unreached(Nameplate, String),
    /// The words are others than those that are shown.
    #[error(
        "these are not the words of the code: it is dead now, and nothing was told\nhave a new one shown, and type it as it is"
    )]
    Wrong,
    /// Somebody else has typed it.
    #[error("the code is dead: somebody has typed it before\nhave a new one shown")]
    Dead,
    /// Both sides are the same.
    #[error("{}", same(*.0))]
    SameRole(Role),
    /// A person has said that the two machines do not show the same.
    #[error("{} that the two machines do not show the same words: nothing was changed\nsomebody may be in between: have a new code shown, on another network if you can", if *.here { "you said" } else { "it was said on the other machine" })]
    Differs {
        /// Whether it was said here.
        here: bool,
    },
    /// It was asked for there that people compare what both show, and nobody is here to do so.
    #[error(
        "the other machine wants the words compared that both show, and nobody is here to be asked\npair at a terminal, or without --verify there"
    )]
    NobodyCompares,
    /// The host has not let the client in, and why: its words, not ours.
    #[error("the host says: {}", one_line(.0))]
    NotAdmitted(String),
    /// The client's identity was not proved.
    #[error("the client's proof of its identity does not hold on this connection\ntry again with a new code")]
    BadProof,
    /// The client's identity could not be proved here.
    #[error(transparent)]
    CannotProve(#[from] CannotProve),
    /// It is on a FIDO key that nobody has touched.
    #[error("the client's security key {} was not touched, and nobody was let in\nhave one used that has to be touched, or let it in by hand: irosh peers allow 'no-touch-required ...'", .0.fingerprint())]
    Untouched(Identity),
    /// A person has given it up there.
    #[error("the pairing was given up on the other machine\nhave a new code shown to try again")]
    GivenUp,
    /// The other side speaks another revision.
    #[error("the other machine speaks another version of irosh-pair\nuse releases of one time at both ends")]
    Version,
    /// The other side was too slow.
    #[error("the other machine did not answer in time\nhave a new code shown, and try again")]
    Deadline,
    /// The connection was lost.
    #[error("the connection to the other machine was lost: {0}\nhave a new code shown, and try again")]
    Lost(Lost),
    /// The other side does not keep to the protocol.
    #[error("the other machine does not keep to irosh-pair/1: {0}")]
    Protocol(String),
}

fn nobody(fault: Option<&str>) -> String {
    match fault {
        Some(fault) => format!("one that is not on this network cannot be found: {fault}"),
        None => "look whether it waits there still, and for the number".to_owned(),
    }
}

fn same(role: Role) -> &'static str {
    match role {
        Role::Host => {
            "the other machine is a host, too\none of the two is to be reached (irosh pair), and one reaches it (irosh join)"
        }
        Role::Client => {
            "the other machine is a client, too\none of the two reaches (irosh join), and one is to be reached (irosh pair)"
        }
    }
}

impl PairingError {
    /// Whether it says that the words were wrong, or somebody else's were.
    #[must_use]
    pub fn is_wrong_code(&self) -> bool {
        matches!(self, Self::Guessed | Self::Wrong | Self::Dead)
    }
}

impl From<Refused> for PairingError {
    fn from(Refused { reason, sentence }: Refused) -> Self {
        match reason {
            Reason::Wrong => Self::Wrong,
            Reason::Dead => Self::Dead,
            // Of whom it is said, is said by who knows.
            Reason::SameRole => Self::SameRole(Role::Host),
            Reason::Differs => Self::Differs { here: false },
            Reason::NotAdmitted => Self::NotAdmitted(sentence),
            Reason::BadProof => Self::BadProof,
            Reason::Version => Self::Version,
            Reason::Failed => Self::Protocol(one_line(&sentence)),
            Reason::GivenUp => Self::GivenUp,
        }
    }
}

/// Not as a source, since the message says it.
impl From<Lost> for PairingError {
    fn from(lost: Lost) -> Self {
        match lost {
            // Without a word before: it was somebody else's turn.
            Lost::Closed(CloseCode::Refused) => Self::Dead,
            Lost::Closed(CloseCode::Deadline) => Self::Deadline,
            Lost::Closed(CloseCode::GoingAway) => Self::GivenUp,
            other => Self::Lost(other),
        }
    }
}

impl From<FrameError> for PairingError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Version(_) => Self::Version,
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<FrameReadError> for PairingError {
    fn from(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Lost(lost) => lost.into(),
            FrameReadError::Frame(error) => error.into(),
            FrameReadError::Ended => Self::Protocol(error.to_string()),
        }
    }
}
