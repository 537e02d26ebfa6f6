//! Frames: what is said on the control stream. Those that open a leg are in `leg`.
//!
//! A frame is a `uint32` length, a type byte and a body of RFC 4251 types; the length counts type
//! and body.

use super::{
    codes::Refusal,
    extensions::{CERTIFICATE, Extensions},
    frame_error::FrameError,
    host_keys,
    ids::{Instance, SessionId},
    numbers::{HEADER_LENGTH, MAX_CERTIFICATE, MAX_GONE, MAX_NAME, VERSION, kind},
    proof::Manner,
    wire::{Reader, Writer, cut_name, framed, packet},
};
use crate::transport::InviteSecret;

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

/// Whether a frame, without its header, is of a later version and passed over by who does not know it.
#[must_use]
pub fn is_passed_over(frame: &[u8]) -> bool {
    frame.first().is_some_and(|kind| *kind >= kind::IGNORABLE)
}

/// A frame of the control stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The client's first word.
    Hello(Box<Hello>),
    /// The host's answer to a client that is admitted.
    Welcome(Box<Welcome>),
    /// The host's answer to a client that is not.
    Refused(Refusal),
    /// Bytes of a session that arrived; either side, any time after `Welcome`.
    Acknowledged(Acknowledged),
    /// No new sessions, please; what runs may end in peace.
    GoAway(Refusal),
    /// A session is over; who hears it first, says it as well.
    Closed(Closed),
    /// Instances of the client that died without a word: what they left is to be ended.
    Gone(Vec<Instance>),
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
    /// Which of the identity's processes this is.
    pub instance: Instance,
    /// What else it says.
    pub extensions: Extensions,
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
    /// What else it says.
    pub extensions: Extensions,
}

/// What takes a host's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// The server built into the host.
    Builtin,
    /// An SSH server at a TCP address.
    Tcp,
    /// An SSH server at a unix socket.
    Unix,
    /// A command a session.
    Exec,
    /// One that a later version knows.
    Other(u8),
}

impl BackendKind {
    fn number(self) -> u8 {
        match self {
            Self::Builtin => 0,
            Self::Tcp => 1,
            Self::Unix => 2,
            Self::Exec => 3,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Builtin,
            1 => Self::Tcp,
            2 => Self::Unix,
            3 => Self::Exec,
            other => Self::Other(other),
        }
    }
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
    /// Whether the end of file after them was passed on too.
    pub end: bool,
}

/// A session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Which session.
    pub session: SessionId,
    /// A [`CloseCode`](super::CloseCode)'s number.
    pub reason: u32,
}

impl Hello {
    /// A greeting in the revision that this code speaks.
    #[must_use]
    pub fn new(
        identity: [u8; 32],
        proof: [u8; 64],
        invite: Option<InviteSecret>,
        instance: Instance,
    ) -> Self {
        let (software, extensions) = (software("irosh-proxy"), Extensions::default());
        Self { version: VERSION, identity, proof, invite, software, instance, extensions }
    }

    /// Has its proof be one that was made in this manner.
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

    /// Shows a certificate, as long as [`MAX_CERTIFICATE`] allows.
    #[must_use]
    pub fn certified_by(mut self, certificate: Vec<u8>) -> Self {
        self.extensions.0.push((CERTIFICATE, certificate));
        self
    }

    /// The certificate that it shows.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.extensions.get(CERTIFICATE).filter(|certificate| certificate.len() <= MAX_CERTIFICATE)
    }
}

impl Welcome {
    /// An answer in the revision that this code speaks.
    #[must_use]
    pub fn new(host_name: &str, backend: BackendKind, host_keys: Vec<Vec<u8>>, limits: Limits) -> Self {
        let (host_name, host_keys) = (cut_name(host_name), host_keys::fit(host_keys));
        let software = software("irosh");
        let extensions = Extensions::default();
        Self { version: VERSION, host_name, software, backend, host_keys, limits, extensions }
    }
}

fn software(program: &str) -> String {
    format!("{program} {}", env!("CARGO_PKG_VERSION"))
}

impl Frame {
    /// The frame's bytes, header and all.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        framed(match self {
            Self::Hello(hello) => hello.encode(),
            Self::Welcome(welcome) => welcome.encode(),
            Self::Refused(refusal) => refusal.encode(kind::REFUSED),
            Self::Acknowledged(Acknowledged { session, bytes, end }) => {
                packet(kind::ACKNOWLEDGED).bytes(&session.0).uint64(*bytes).boolean(*end)
            }
            Self::GoAway(refusal) => refusal.encode(kind::GO_AWAY),
            Self::Closed(Closed { session, reason }) => {
                packet(kind::CLOSED).bytes(&session.0).uint32(*reason)
            }
            Self::Gone(instances) => instances
                .iter()
                .take(MAX_GONE)
                .fold(packet(kind::GONE), |frame, instance| frame.bytes(&instance.0)),
        })
    }

    /// Reads a frame without its header.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for anything that is not a frame of the control stream to the last byte.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(frame);
        let decoded = match reader.byte()? {
            kind::HELLO => Self::Hello(Hello::decode(&mut reader)?.into()),
            kind::WELCOME => Self::Welcome(Welcome::decode(&mut reader)?.into()),
            kind::REFUSED => Self::Refused(Refusal::decode(&mut reader)?),
            kind::ACKNOWLEDGED => Self::Acknowledged(Acknowledged {
                session: SessionId(reader.array()?),
                bytes: reader.uint64()?,
                end: reader.boolean()?,
            }),
            kind::GO_AWAY => Self::GoAway(Refusal::decode(&mut reader)?),
            kind::CLOSED => {
                Self::Closed(Closed { session: SessionId(reader.array()?), reason: reader.uint32()? })
            }
            kind::GONE => Self::Gone(decode_gone(&mut reader)?),
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
            Self::Closed(_) => kind::CLOSED,
            Self::Gone(_) => kind::GONE,
        })
    }
}

impl Hello {
    fn encode(&self) -> Vec<u8> {
        let frame = packet(kind::HELLO)
            .uint32(self.version)
            .bytes(&self.identity)
            .bytes(&self.proof)
            .string(self.invite.as_ref().map_or(&[], |secret| &secret.0[..]))
            .string(self.software.as_bytes())
            .bytes(&self.instance.0);
        self.extensions.encode(frame)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            version: version(reader)?,
            identity: reader.array()?,
            proof: reader.array()?,
            invite: match reader.string_up_to(InviteSecret::LENGTH)? {
                [] => None,
                secret => Some(InviteSecret(secret.try_into().map_err(|_| FrameError::Truncated)?)),
            },
            software: reader.line(MAX_NAME)?,
            instance: Instance(reader.array()?),
            extensions: Extensions::decode(reader)?,
        })
    }
}

impl Welcome {
    fn encode(&self) -> Vec<u8> {
        let frame = packet(kind::WELCOME)
            .uint32(self.version)
            .string(self.host_name.as_bytes())
            .string(self.software.as_bytes())
            .byte(self.backend.number());
        let frame = host_keys::encode(&self.host_keys, frame);
        let Limits { sessions, resume_seconds } = self.limits;
        self.extensions.encode(frame.uint32(sessions).uint32(resume_seconds))
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            version: version(reader)?,
            host_name: reader.line(MAX_NAME)?,
            software: reader.line(MAX_NAME)?,
            backend: BackendKind::from_number(reader.byte()?),
            host_keys: host_keys::decode(reader)?,
            limits: Limits { sessions: reader.uint32()?, resume_seconds: reader.uint32()? },
            extensions: Extensions::decode(reader)?,
        })
    }
}

/// What follows the version is that version's.
fn version(reader: &mut Reader<'_>) -> Result<u32, FrameError> {
    match reader.uint32()? {
        VERSION => Ok(VERSION),
        other => Err(FrameError::Version(other)),
    }
}

/// As many as there are, to the end of the frame.
fn decode_gone(reader: &mut Reader<'_>) -> Result<Vec<Instance>, FrameError> {
    let mut instances = Vec::new();
    while !reader.0.is_empty() {
        if instances.len() == MAX_GONE {
            return Err(FrameError::FieldTooLong { length: MAX_GONE + 1, max: MAX_GONE });
        }
        instances.push(Instance(reader.array()?));
    }
    Ok(instances)
}

#[cfg(test)]
mod tests;
