//! Frames: what is said on the control stream, and what opens a leg.
//!
//! A frame is a `uint32` length, a type byte and a body of RFC 4251 types; the length counts type
//! and body.

use std::fmt;

use super::{
    Refusal, RefusalCode,
    wire::{Reader, Writer},
};
use crate::transport::InviteSecret;

/// Bytes in front of a frame: its length.
pub const HEADER_LENGTH: usize = 4;

/// The longest frame on the control stream in bytes, without its header.
pub const MAX_CONTROL_FRAME: usize = 32 << 10;

/// The longest frame at the head of a leg in bytes, without its header.
pub const MAX_LEG_FRAME: usize = 2 << 10;

/// The revision of `irosh/1` that this code speaks.
const VERSION: u32 = 1;

const MAX_NAME: usize = 255;
const MAX_HOST_KEYS: u32 = 16;
/// An RSA key of 16,384 bits is 2 KiB.
const MAX_HOST_KEY: usize = 4 << 10;
/// All of them together leave room for the rest of a `Welcome`.
const MAX_HOST_KEYS_LENGTH: usize = MAX_CONTROL_FRAME / 2;

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const ACKNOWLEDGED: u8 = 4;
    pub(super) const GO_AWAY: u8 = 5;
    pub(super) const OPEN: u8 = 16;
    pub(super) const RESUME: u8 = 17;
    pub(super) const OPENED: u8 = 18;
    pub(super) const RESUMED: u8 = 19;
}

/// Bytes that are not a frame of `irosh/1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than any of its kind.
    #[error("a frame of {length} bytes is longer than {max}")]
    TooLong {
        /// What the header says.
        length: usize,
        /// What is allowed here.
        max: usize,
    },
    /// The frame ends within a field.
    #[error("a frame ends within a field")]
    Truncated,
    /// Something follows the last field.
    #[error("{0} bytes follow the end of a frame")]
    Trailing(usize),
    /// A field is longer than it may be.
    #[error("a field of {length} bytes is longer than {max}")]
    FieldTooLong {
        /// What the field says.
        length: usize,
        /// What is allowed.
        max: usize,
    },
    /// A field for people is not UTF-8, or has control characters in it.
    #[error("a text field is not text")]
    NotText,
    /// No such frame.
    #[error("there is no frame of type {0}")]
    UnknownType(u8),
    /// A frame that has no place here.
    #[error("a frame of type {0} was not expected")]
    Unexpected(u8),
    /// No such backend kind.
    #[error("there is no backend of kind {0}")]
    UnknownBackend(u8),
}

/// The length of the frame that a header announces.
///
/// # Errors
///
/// [`FrameError::TooLong`] over `max` bytes, [`FrameError::Truncated`] for a frame without a type.
pub fn frame_length(header: [u8; HEADER_LENGTH], max: usize) -> Result<usize, FrameError> {
    match u32::from_be_bytes(header) as usize {
        0 => Err(FrameError::Truncated),
        length if length > max => Err(FrameError::TooLong { length, max }),
        length => Ok(length),
    }
}

/// A session's name, chosen at random by its client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// A new name.
    #[must_use]
    pub fn generate() -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&iroh::SecretKey::generate().to_bytes()[..16]);
        Self(id)
    }
}

/// The first four bytes in hex: enough to find a session in a log, too few to resume it.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// A frame of the control stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The client's first word.
    Hello(Hello),
    /// The host's answer to a client that is admitted.
    Welcome(Welcome),
    /// The host's answer to a client that is not.
    Refused(Refusal),
    /// Bytes of a session that arrived; either side, any time after `Welcome`.
    Acknowledged(Acknowledged),
    /// No new sessions, please; what runs may end in peace.
    GoAway(Refusal),
}

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The revision that the client speaks.
    pub version: u32,
    /// The identity's ed25519 public key.
    pub identity: [u8; 32],
    /// Its signature over [`proof_message`](super::proof_message).
    pub proof: [u8; 64],
    /// The secret of an invite.
    pub invite: Option<InviteSecret>,
    /// The client's software, such as `irosh-proxy 0.1.0`.
    pub software: String,
}

/// What a host says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The revision that the host speaks.
    pub version: u32,
    /// The host's name for people.
    pub host_name: String,
    /// The host's software.
    pub software: String,
    /// What takes the sessions.
    pub backend: BackendKind,
    /// SSH public keys of the server behind the host, each a key blob (RFC 4253 section 6.6).
    pub host_keys: Vec<Vec<u8>>,
    /// What the host allows.
    pub limits: Limits,
}

/// What takes a host's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum BackendKind {
    /// The server built into the host.
    Builtin = 0,
    /// An SSH server at a TCP address.
    Tcp = 1,
    /// An SSH server at a unix socket.
    Unix = 2,
    /// A command a session.
    Exec = 3,
}

/// What a host allows one identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions on this connection at once.
    pub sessions: u32,
    /// Seconds for which a lost session may be resumed; 0 for not at all.
    pub resume_seconds: u32,
}

/// Bytes of a session that were delivered to what is behind the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which session.
    pub session: SessionId,
    /// Bytes since its start.
    pub bytes: u64,
}

/// The frame with which a client begins a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegHeader {
    /// A new session.
    Open(SessionId),
    /// A session that lost its leg.
    Resume {
        /// Which session.
        session: SessionId,
        /// Bytes that the client has received since its start.
        received: u64,
    },
}

/// The frame with which a host answers a leg's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegReply {
    /// The backend is connected: SSH's bytes follow.
    Opened,
    /// The session goes on.
    Resumed {
        /// Bytes that the host has received since its start.
        received: u64,
    },
    /// It was not to be.
    Refused(Refusal),
}

impl Hello {
    /// A greeting in the revision that this code speaks.
    #[must_use]
    pub fn new(identity: [u8; 32], proof: [u8; 64], invite: Option<InviteSecret>) -> Self {
        let software = software("irosh-proxy");
        Self { version: VERSION, identity, proof, invite, software }
    }
}

impl Welcome {
    /// An answer in the revision that this code speaks.
    #[must_use]
    pub fn new(host_name: &str, backend: BackendKind, host_keys: Vec<Vec<u8>>, limits: Limits) -> Self {
        let mut host_name: String = host_name.chars().filter(|c| !c.is_control()).collect();
        host_name.truncate(host_name.floor_char_boundary(MAX_NAME));
        let mut room = MAX_HOST_KEYS_LENGTH;
        let mut fits = |key: &Vec<u8>| {
            let fits = key.len() <= MAX_HOST_KEY.min(room);
            room -= if fits { key.len() } else { 0 };
            fits
        };
        let host_keys = host_keys.into_iter().filter(&mut fits).take(MAX_HOST_KEYS as usize).collect();
        let software = software("irosh");
        Self { version: VERSION, host_name, software, backend, host_keys, limits }
    }
}

fn software(program: &str) -> String {
    format!("{program} {}", env!("CARGO_PKG_VERSION"))
}

impl Frame {
    /// The frame's bytes, header and all.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => Writer::frame(kind::HELLO)
                .uint32(hello.version)
                .bytes(&hello.identity)
                .bytes(&hello.proof)
                .string(hello.invite.as_ref().map_or(&[], |secret| &secret.0[..]))
                .string(hello.software.as_bytes()),
            Self::Welcome(welcome) => {
                let frame = Writer::frame(kind::WELCOME)
                    .uint32(welcome.version)
                    .string(welcome.host_name.as_bytes())
                    .string(welcome.software.as_bytes())
                    .byte(welcome.backend as u8)
                    .uint32(u32::try_from(welcome.host_keys.len()).unwrap_or(u32::MAX));
                let frame = welcome.host_keys.iter().fold(frame, |frame, key| frame.string(key));
                frame.uint32(welcome.limits.sessions).uint32(welcome.limits.resume_seconds)
            }
            Self::Refused(refusal) => encode_refusal(kind::REFUSED, refusal),
            Self::Acknowledged(Acknowledged { session, bytes }) => {
                Writer::frame(kind::ACKNOWLEDGED).bytes(&session.0).uint64(*bytes)
            }
            Self::GoAway(refusal) => encode_refusal(kind::GO_AWAY, refusal),
        }
        .end()
    }

    /// Reads a frame without its header.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for anything that is not a frame of the control stream to the last byte.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(frame);
        let decoded = match reader.byte()? {
            kind::HELLO => Self::Hello(decode_hello(&mut reader)?),
            kind::WELCOME => Self::Welcome(decode_welcome(&mut reader)?),
            kind::REFUSED => Self::Refused(decode_refusal(&mut reader)?),
            kind::ACKNOWLEDGED => Self::Acknowledged(Acknowledged {
                session: SessionId(reader.array()?),
                bytes: reader.uint64()?,
            }),
            kind::GO_AWAY => Self::GoAway(decode_refusal(&mut reader)?),
            kind @ kind::OPEN..=kind::RESUMED => return Err(FrameError::Unexpected(kind)),
            kind => return Err(FrameError::UnknownType(kind)),
        };
        reader.end()?;
        Ok(decoded)
    }

    /// The frame's type, for an error about a frame in the wrong place.
    #[must_use]
    pub fn unexpected(&self) -> FrameError {
        FrameError::Unexpected(match self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::Refused(_) => kind::REFUSED,
            Self::Acknowledged(_) => kind::ACKNOWLEDGED,
            Self::GoAway(_) => kind::GO_AWAY,
        })
    }
}

impl LegHeader {
    /// The frame's bytes, header and all.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Open(session) => Writer::frame(kind::OPEN).bytes(&session.0),
            Self::Resume { session, received } => {
                Writer::frame(kind::RESUME).bytes(&session.0).uint64(*received)
            }
        }
        .end()
    }

    /// Reads a frame without its header.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for anything that does not begin a leg.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(frame);
        let header = match reader.byte()? {
            kind::OPEN => Self::Open(SessionId(reader.array()?)),
            kind::RESUME => Self::Resume { session: SessionId(reader.array()?), received: reader.uint64()? },
            kind => return Err(FrameError::Unexpected(kind)),
        };
        reader.end()?;
        Ok(header)
    }
}

impl LegReply {
    /// The frame's bytes, header and all.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Opened => Writer::frame(kind::OPENED),
            Self::Resumed { received } => Writer::frame(kind::RESUMED).uint64(*received),
            Self::Refused(refusal) => encode_refusal(kind::REFUSED, refusal),
        }
        .end()
    }

    /// Reads a frame without its header.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for anything that does not answer a leg's header.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(frame);
        let reply = match reader.byte()? {
            kind::OPENED => Self::Opened,
            kind::RESUMED => Self::Resumed { received: reader.uint64()? },
            kind::REFUSED => Self::Refused(decode_refusal(&mut reader)?),
            kind => return Err(FrameError::Unexpected(kind)),
        };
        reader.end()?;
        Ok(reply)
    }
}

fn decode_hello(reader: &mut Reader<'_>) -> Result<Hello, FrameError> {
    Ok(Hello {
        version: reader.uint32()?,
        identity: reader.array()?,
        proof: reader.array()?,
        invite: match reader.string(InviteSecret::LENGTH)? {
            [] => None,
            secret => Some(InviteSecret(secret.try_into().map_err(|_| FrameError::Truncated)?)),
        },
        software: reader.line(MAX_NAME)?,
    })
}

fn decode_welcome(reader: &mut Reader<'_>) -> Result<Welcome, FrameError> {
    Ok(Welcome {
        version: reader.uint32()?,
        host_name: reader.line(MAX_NAME)?,
        software: reader.line(MAX_NAME)?,
        backend: match reader.byte()? {
            0 => BackendKind::Builtin,
            1 => BackendKind::Tcp,
            2 => BackendKind::Unix,
            3 => BackendKind::Exec,
            kind => return Err(FrameError::UnknownBackend(kind)),
        },
        host_keys: {
            let count = reader.uint32()?;
            if count > MAX_HOST_KEYS {
                let (length, max) = (count as usize, MAX_HOST_KEYS as usize);
                return Err(FrameError::FieldTooLong { length, max });
            }
            let key = |_| reader.string(MAX_HOST_KEY).map(<[u8]>::to_vec);
            (0..count).map(key).collect::<Result<_, _>>()?
        },
        limits: Limits { sessions: reader.uint32()?, resume_seconds: reader.uint32()? },
    })
}

fn encode_refusal(kind: u8, refusal: &Refusal) -> Writer {
    Writer::frame(kind).uint32(refusal.code as u32).string(refusal.sentence.as_bytes())
}

fn decode_refusal(reader: &mut Reader<'_>) -> Result<Refusal, FrameError> {
    Ok(Refusal {
        code: RefusalCode::from_number(reader.uint32()?),
        sentence: reader.lines(Refusal::MAX_SENTENCE)?,
    })
}

#[cfg(test)]
mod tests;
