//! Fields of frames, which are of RFC 4251 section 5 and have bounds.

use super::{frame_error::FrameError, numbers::MAX_NAME};
pub(super) use crate::ssh_wire::{Reader, Writer, packet};
use crate::ssh_wire::{Trailing, Truncated, set_length};

impl From<Truncated> for FrameError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl From<Trailing> for FrameError {
    fn from(Trailing(bytes): Trailing) -> Self {
        Self::Trailing(bytes)
    }
}

impl<'a> Reader<'a> {
    /// A `string` of at most `max` bytes.
    pub(super) fn string_up_to(&mut self, max: usize) -> Result<&'a [u8], FrameError> {
        match Reader(self.0).uint32()? as usize {
            length if length > max => Err(FrameError::FieldTooLong { length, max }),
            _ => Ok(self.string()?),
        }
    }

    /// A `string` of UTF-8 that a person may read: one line, without control characters.
    pub(super) fn line(&mut self, max: usize) -> Result<String, FrameError> {
        self.plain_text(max, |_| false)
    }

    /// The same of several lines.
    pub(super) fn lines(&mut self, max: usize) -> Result<String, FrameError> {
        self.plain_text(max, |c| c == '\n')
    }

    fn plain_text(&mut self, max: usize, also: impl Fn(char) -> bool) -> Result<String, FrameError> {
        let text = std::str::from_utf8(self.string_up_to(max)?).map_err(|_| FrameError::NotText)?;
        if text.chars().any(|c| c.is_control() && !also(c)) {
            return Err(FrameError::NotText);
        }
        Ok(text.to_owned())
    }
}

/// What is left of a name when it is one line of no more than may be said.
pub(super) fn cut_name(name: &str) -> String {
    let mut name: String = name.chars().filter(|c| !c.is_control()).collect();
    name.truncate(name.floor_char_boundary(MAX_NAME));
    name
}

/// A [`packet`] with its length in front.
pub(super) fn framed(mut packet: Vec<u8>) -> Vec<u8> {
    set_length(&mut packet, 0);
    packet
}
