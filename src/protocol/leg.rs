//! What opens a leg, and what answers it.

use super::{
    codes::Refusal,
    frame_error::FrameError,
    ids::SessionId,
    numbers::{FIRST_WINDOW, MAX_WINDOW, kind},
    wire::{Reader, Writer, framed, packet},
};

/// How much of a session one side has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes since the session's start.
    pub received: u64,
    /// Whether the end of file after them was seen.
    pub end: bool,
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
        /// Counts the session's legs; the one with the greatest number is the one that it has.
        leg: u32,
        /// What the client has.
        position: Position,
    },
}

/// The frame with which a host answers a leg's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegReply {
    /// The backend is connected: SSH's bytes follow.
    Opened {
        /// Bytes of the session that either side may have sent beyond what the other has delivered.
        window: u32,
    },
    /// The session goes on.
    Resumed(Position),
    /// It was not to be.
    Refused(Refusal),
}

impl LegHeader {
    /// The frame's bytes, header and all.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        framed(match self {
            Self::Open(session) => packet(kind::OPEN).bytes(&session.0),
            Self::Resume { session, leg, position } => {
                position.encode(packet(kind::RESUME).bytes(&session.0).uint32(*leg))
            }
        })
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
            kind::RESUME => Self::Resume {
                session: SessionId(reader.array()?),
                leg: reader.uint32()?,
                position: Position::decode(&mut reader)?,
            },
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
        framed(match self {
            Self::Opened { window } => packet(kind::OPENED).uint32(*window),
            Self::Resumed(position) => position.encode(packet(kind::RESUMED)),
            Self::Refused(refusal) => refusal.encode(kind::REFUSED),
        })
    }

    /// Reads a frame without its header.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for anything that does not answer a leg's header.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(frame);
        let reply = match reader.byte()? {
            kind::OPENED => Self::Opened { window: window(&mut reader)? },
            kind::RESUMED => Self::Resumed(Position::decode(&mut reader)?),
            kind::REFUSED => Self::Refused(Refusal::decode(&mut reader)?),
            kind => return Err(FrameError::Unexpected(kind)),
        };
        reader.end()?;
        Ok(reply)
    }
}

impl Position {
    fn encode(self, frame: Vec<u8>) -> Vec<u8> {
        frame.uint64(self.received).boolean(self.end)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self { received: reader.uint64()?, end: reader.boolean()? })
    }
}

/// Nobody has to keep as much as another says.
fn window(reader: &mut Reader<'_>) -> Result<u32, FrameError> {
    match reader.uint32()? {
        window @ FIRST_WINDOW..=MAX_WINDOW => Ok(window),
        window => Err(FrameError::Window(window)),
    }
}
