//! What a later version may say in `Hello` and `Welcome`, and where two machines pair.

use super::{
    frame_error::FrameError,
    wire::{Reader, Writer},
};

/// A list at the end of a frame: a number and a string each. Whoever does not know a number passes it over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions(pub Vec<(u32, Vec<u8>)>);

/// The number of an extension of `Hello`: an OpenSSH user certificate for the identity.
pub(super) const CERTIFICATE: u32 = 1;

/// The number of an extension of `Hello`, and of what a client says where it pairs: how its proof was made, where that is
/// not as usual.
pub(super) const MANNER: u32 = 2;

impl Extensions {
    /// The extension of a number, the first of it.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, value)| &value[..])
    }

    pub(super) fn encode(&self, frame: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(frame, |frame, (number, value)| frame.uint32(*number).string(value))
    }

    /// Reads to the end of the frame, which bounds it.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let mut extensions = Vec::new();
        while !reader.0.is_empty() {
            let number = reader.uint32()?;
            extensions.push((number, reader.string_up_to(reader.0.len())?.to_vec()));
        }
        Ok(Self(extensions))
    }
}
