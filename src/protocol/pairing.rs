//! `irosh-pair/1` as `PROTOCOL.md` has it: what two machines say to each other that a code has brought together.
//!
//! Frames are those of `irosh/1` in form. One side *types* the code that the other one *shows*; apart from that, one is
//! the *host* and one the *client*.

use super::{
    extensions::Extensions,
    frame_error::FrameError,
    host_keys,
    numbers::{MAX_NAME, numbered},
    proof::Manner,
    wire::{Reader, Writer, cut_name, framed, packet},
};

/// The revision that this code speaks.
pub const VERSION: u32 = 1;

/// The longest frame until both sides have proved that they know the words, in bytes, without its header.
pub const MAX_STRANGERS_FRAME: usize = 2 << 10;

/// The longest frame from then on.
pub const MAX_FRAME: usize = 32 << 10;

/// Bytes of a message of SPAKE2: a letter for its sender, and a point of the curve.
pub const MESSAGE_LENGTH: usize = 33;

/// Bytes of what a side adds to the verifier.
pub const NONCE_LENGTH: usize = 16;

/// Bytes of the promise of a nonce (SHA-256).
pub const COMMITMENT_LENGTH: usize = 32;

/// Bytes of a MAC (HMAC-SHA-256).
pub const MAC_LENGTH: usize = 32;

/// The label under which both sides export keying material of the TLS session for the key exchange (RFC 8446 section
/// 7.5). There is no context.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-irosh-pair/1";

/// The same for the proof of the client's identity, which is otherwise that of `Hello`; its public key is the context.
pub const IDENTITY_EXPORTER_LABEL: &[u8] = b"EXPORTER-irosh-pair/1 identity";

const MAX_TICKET: usize = 4 << 10;
const MAX_SENTENCE: usize = 1024;

mod kind {
    pub(super) const START: u8 = 1;
    pub(super) const ANSWER: u8 = 2;
    pub(super) const CONFIRM: u8 = 3;
    pub(super) const CLIENT: u8 = 4;
    pub(super) const HOST: u8 = 5;
    pub(super) const REFUSED: u8 = 6;
}

/// What a machine is after the pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is reached.
    Host,
    /// It reaches.
    Client,
}

impl Role {
    /// The one that the other side has to have.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Host => Self::Client,
            Self::Client => Self::Host,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Client => "client",
        })
    }
}

numbered! {
    /// Why a side does not go on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Reason {
        /// The words were others. The code is dead with that.
        Wrong = 1,
        /// The code is dead, or taken: somebody else has typed it.
        Dead = 2,
        /// Both sides are hosts, or both are clients. It was no guess.
        SameRole = 3,
        /// A person has said that the two machines do not show the same.
        Differs = 4,
        /// The host could not let the client in; the sentence says why.
        NotAdmitted = 5,
        /// The client's proof does not hold.
        BadProof = 6,
        /// The revision is not spoken.
        Version = 7,
        /// Something failed; what an unknown number counts as.
        Failed = 8,
        /// A person has given it up.
        GivenUp = 9,
    }
}

/// What is said on the stream of a pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The first word, of the side that types.
    Start(Start),
    /// Its answer, of the side that shows.
    Answer(Answer),
    /// The proof of the words: of the side that types first.
    Confirm(Confirm),
    /// What the client says of itself: an [`AboutClient`], under a MAC.
    Client(Sealed),
    /// What the host says of itself: an [`AboutHost`], under a MAC.
    Host(Sealed),
    /// No.
    Refused(Refused),
}

/// The first word of a pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What the side that types is.
    pub role: Role,
    /// Its message of SPAKE2, as `A`.
    pub message: [u8; MESSAGE_LENGTH],
    /// The promise of its nonce, which [`Confirm`] tells.
    pub commitment: [u8; COMMITMENT_LENGTH],
    /// What else it says.
    pub extensions: Extensions,
}

/// The answer to [`Start`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The message of SPAKE2 of the side that shows, as `B`.
    pub message: [u8; MESSAGE_LENGTH],
    /// Its nonce.
    pub nonce: [u8; NONCE_LENGTH],
    /// What else it says.
    pub extensions: Extensions,
}

/// The proof that a side knows the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// Over all that was said.
    pub mac: [u8; MAC_LENGTH],
    /// Whether somebody is to compare the verifiers.
    pub compare: bool,
    /// The nonce of who says it.
    pub nonce: [u8; NONCE_LENGTH],
}

/// What only the other side of the same pairing can have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Over the body.
    pub mac: [u8; MAC_LENGTH],
    /// What is said.
    pub body: Vec<u8>,
}

/// Why it does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For programs.
    pub reason: Reason,
    /// For a person; may be empty.
    pub sentence: String,
}

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutClient {
    /// Its identity: an ed25519 public key.
    pub identity: [u8; 32],
    /// The proof that it holds that, as in `Hello`.
    pub proof: [u8; 64],
    /// What to call it, such as `alice@laptop`.
    pub name: String,
    /// What else it says.
    pub extensions: Extensions,
}

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutHost {
    /// Its ticket.
    pub ticket: String,
    /// What to call it.
    pub name: String,
    /// Whom to log in as, or nothing.
    pub login: String,
    /// Whether that needs no further proof, at the built-in server.
    pub vouched: bool,
    /// Whether it runs.
    pub running: bool,
    /// SSH public keys of the server behind it, each a key blob (RFC 4253 section 6.6).
    pub host_keys: Vec<Vec<u8>>,
    /// What else it says.
    pub extensions: Extensions,
}

impl Frame {
    /// The frame's bytes, header and all.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        framed(match self {
            Self::Start(Start { role, message, commitment, extensions }) => {
                let start = packet(kind::START).uint32(VERSION).byte(u8::from(*role == Role::Client));
                extensions.encode(start.bytes(message).bytes(commitment))
            }
            Self::Answer(Answer { message, nonce, extensions }) => {
                extensions.encode(packet(kind::ANSWER).bytes(message).bytes(nonce))
            }
            Self::Confirm(Confirm { mac, compare, nonce }) => {
                packet(kind::CONFIRM).bytes(mac).boolean(*compare).bytes(nonce)
            }
            Self::Client(Sealed { mac, body }) => packet(kind::CLIENT).bytes(mac).bytes(body),
            Self::Host(Sealed { mac, body }) => packet(kind::HOST).bytes(mac).bytes(body),
            Self::Refused(Refused { reason, sentence }) => {
                packet(kind::REFUSED).uint32(*reason as u32).string(sentence.as_bytes())
            }
        })
    }

    /// Reads a frame without its header.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for anything that is no such frame to the last byte; [`FrameError::Version`] where the other side
    /// speaks another revision.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(frame);
        let decoded = match reader.byte()? {
            kind::START => Self::Start(Start::decode(&mut reader)?),
            kind::ANSWER => Self::Answer(Answer {
                message: reader.array()?,
                nonce: reader.array()?,
                extensions: Extensions::decode(&mut reader)?,
            }),
            kind::CONFIRM => Self::Confirm(Confirm {
                mac: reader.array()?,
                compare: reader.boolean()?,
                nonce: reader.array()?,
            }),
            kind::CLIENT => Self::Client(Sealed::decode(&mut reader)?),
            kind::HOST => Self::Host(Sealed::decode(&mut reader)?),
            kind::REFUSED => Self::Refused(Refused {
                reason: Reason::from_number(reader.uint32()?.into()).unwrap_or(Reason::Failed),
                sentence: reader.lines(MAX_SENTENCE)?,
            }),
            kind => return Err(FrameError::UnknownType(kind)),
        };
        reader.end()?;
        Ok(decoded)
    }

    /// The frame's type, for an error about a frame in the wrong place.
    #[must_use]
    pub fn unexpected(&self) -> FrameError {
        FrameError::Unexpected(match self {
            Self::Start(_) => kind::START,
            Self::Answer(_) => kind::ANSWER,
            Self::Confirm(_) => kind::CONFIRM,
            Self::Client(_) => kind::CLIENT,
            Self::Host(_) => kind::HOST,
            Self::Refused(_) => kind::REFUSED,
        })
    }
}

impl Start {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        match reader.uint32()? {
            VERSION => {}
            other => return Err(FrameError::Version(other)),
        }
        let role = if reader.boolean()? { Role::Client } else { Role::Host };
        let (message, commitment) = (reader.array()?, reader.array()?);
        Ok(Self { role, message, commitment, extensions: Extensions::decode(reader)? })
    }
}

impl Sealed {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let mac = reader.array()?;
        Ok(Self { mac, body: std::mem::take(&mut reader.0).to_vec() })
    }
}

impl Refused {
    /// A refusal with a sentence, which is cut to what may be said.
    #[must_use]
    pub fn new(reason: Reason, sentence: &str) -> Self {
        let mut sentence: String = sentence.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        sentence.truncate(sentence.floor_char_boundary(MAX_SENTENCE));
        Self { reason, sentence }
    }

    /// What of it is believed while the other side has proved nothing: no words, and nothing that comes after a proof.
    #[must_use]
    pub fn of_a_stranger(self) -> Self {
        let reason = match self.reason {
            Reason::Differs | Reason::NotAdmitted | Reason::BadProof => Reason::Failed,
            other => other,
        };
        Self { reason, sentence: String::new() }
    }
}

impl AboutClient {
    /// Says that its proof was made in this manner.
    #[must_use]
    pub fn proved_by(mut self, manner: &Manner) -> Self {
        manner.add_to(&mut self.extensions);
        self
    }

    /// In which manner its proof was made.
    ///
    /// # Errors
    ///
    /// [`FrameError`] where it makes no sense.
    pub fn manner(&self) -> Result<Manner, FrameError> {
        Manner::of(&self.extensions)
    }

    /// The body of a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = Vec::new().bytes(&self.identity).bytes(&self.proof);
        self.extensions.encode(body.string(cut_name(&self.name).as_bytes()))
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(body);
        let (identity, proof) = (reader.array()?, reader.array()?);
        let name = reader.line(MAX_NAME)?;
        Ok(Self { identity, proof, name, extensions: Extensions::decode(&mut reader)? })
    }
}

impl AboutHost {
    /// The body of a frame; of the keys, those for which there is room.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = Vec::new()
            .string(self.ticket.as_bytes())
            .string(cut_name(&self.name).as_bytes())
            .string(cut_name(&self.login).as_bytes())
            .boolean(self.vouched)
            .boolean(self.running);
        self.extensions.encode(host_keys::encode(&host_keys::fit(self.host_keys.clone()), body))
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(body);
        let ticket = reader.line(MAX_TICKET)?;
        let (name, login) = (reader.line(MAX_NAME)?, reader.line(MAX_NAME)?);
        let (vouched, running) = (reader.boolean()?, reader.boolean()?);
        let host_keys = host_keys::decode(&mut reader)?;
        let extensions = Extensions::decode(&mut reader)?;
        Ok(Self { ticket, name, login, vouched, running, host_keys, extensions })
    }
}

#[cfg(test)]
#[path = "pairing_tests.rs"]
mod tests;
