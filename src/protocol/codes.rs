//! Why something is refused or closed.

use std::fmt;

use super::{
    frame_error::FrameError,
    numbers::numbered,
    wire::{Reader, Writer, packet},
};

numbered! {
    /// Why a host refuses a peer or a session.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum RefusalCode {
        /// The identity is not admitted and showed no invite.
        NotAdmitted = 1,
        /// The invite is unknown or wrong.
        InviteUnknown = 2,
        /// The invite's time is over.
        InviteExpired = 3,
        /// The invite has been used as often as it may.
        InviteUsed = 4,
        /// The identity's proof does not hold.
        BadProof = 5,
        /// The host has no room now; trying again later may help.
        Busy = 6,
        /// This identity has as many sessions or connections as it may.
        TooMany = 7,
        /// The SSH server behind the host could not be reached.
        Backend = 8,
        /// The host is stopping.
        GoingAway = 9,
        /// A session cannot be resumed.
        CannotResume = 10,
        /// The peer speaks a revision of the protocol that the host does not.
        Version = 11,
        /// The admission of this identity has ended.
        Expired = 12,
        /// Something failed on the host.
        Internal = 13,
    }
}

/// A refusal: a code for programs and a sentence for the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// What a person can do about it; one line, or two with the next step on the second.
    pub sentence: String,
}

impl Refusal {
    /// The longest sentence in bytes.
    pub const MAX_SENTENCE: usize = 1024;

    /// A refusal with a sentence, which is cut to [`Self::MAX_SENTENCE`].
    #[must_use]
    pub fn new(code: RefusalCode, sentence: impl Into<String>) -> Self {
        let mut sentence: String = sentence.into();
        sentence.truncate(sentence.floor_char_boundary(Self::MAX_SENTENCE));
        sentence.retain(|c| !c.is_control() || c == '\n');
        Self { code, sentence }
    }

    /// A frame of this type that says it.
    pub(super) fn encode(&self, kind: u8) -> Vec<u8> {
        packet(kind).uint32(self.code as u32).string(self.sentence.as_bytes())
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            // Of an unknown one, the sentence still says what happened.
            code: RefusalCode::from_number(reader.uint32()?.into()).unwrap_or(RefusalCode::Internal),
            sentence: reader.lines(Self::MAX_SENTENCE)?,
        })
    }
}

numbered! {
    /// Application error codes with which a QUIC connection or stream of `irosh/1` is closed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CloseCode {
        /// All sessions have ended.
        Done = 0,
        /// The peer sent what the protocol does not allow.
        Protocol = 1,
        /// The peer let a deadline pass.
        Deadline = 2,
        /// The peer was refused; a `Refused` frame says why.
        Refused = 3,
        /// The host is stopping.
        GoingAway = 4,
        /// The peer is no longer admitted.
        Revoked = 5,
        /// The reader of this direction is gone.
        ReaderGone = 6,
        /// The client was told to stop, or its ssh vanished.
        Interrupted = 7,
        /// What the peer may do at the host has changed; it may connect again.
        Changed = 8,
        /// The session has another leg, or waits for one.
        Detached = 9,
        /// The session has waited for its client for as long as the host keeps sessions.
        Expired = 10,
        /// The session waited for its client, and others needed its place.
        Evicted = 11,
        /// The client's process was gone, and the client said so.
        Gone = 12,
    }
}

impl From<CloseCode> for iroh::endpoint::VarInt {
    fn from(code: CloseCode) -> Self {
        (code as u32).into()
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "all sessions have ended",
            Self::Protocol => "the other side broke the protocol",
            Self::Deadline => "the other side took too long",
            Self::Refused => "the host refused us",
            Self::GoingAway => "the host is stopping",
            Self::Revoked => "the host has revoked this identity",
            Self::ReaderGone => "nobody reads there any more",
            Self::Interrupted => "the client was stopped",
            Self::Changed => "the host has changed what this identity may do",
            Self::Detached => "the session goes on elsewhere",
            Self::Expired => "the client was away for longer than the host keeps sessions",
            Self::Evicted => "the client was away, and the host needed the place",
            Self::Gone => "the client's process was gone",
        })
    }
}
