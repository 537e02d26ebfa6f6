//! The SSH public keys of the server behind a host, each a key blob (RFC 4253 section 6.6), in a frame.

use super::{
    frame_error::FrameError,
    numbers::MAX_CONTROL_FRAME,
    wire::{Reader, Writer},
};

const MAX_HOST_KEYS: usize = 16;
/// An RSA key of 16,384 bits is 2 KiB.
pub(super) const MAX_HOST_KEY: usize = 4 << 10;
/// All of them together leave room for the rest of a frame.
const MAX_HOST_KEYS_LENGTH: usize = MAX_CONTROL_FRAME / 2;

/// Keeps those for which there is room.
pub(super) fn fit(mut keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut room = MAX_HOST_KEYS_LENGTH;
    keys.retain(|key| {
        let fits = key.len() <= MAX_HOST_KEY.min(room);
        room -= if fits { key.len() } else { 0 };
        fits
    });
    keys.truncate(MAX_HOST_KEYS);
    keys
}

pub(super) fn encode(keys: &[Vec<u8>], frame: Vec<u8>) -> Vec<u8> {
    let frame = frame.uint32(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    keys.iter().fold(frame, |frame, key| frame.string(key))
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, FrameError> {
    let count = reader.uint32()? as usize;
    if count > MAX_HOST_KEYS {
        return Err(FrameError::FieldTooLong { length: count, max: MAX_HOST_KEYS });
    }
    (0..count).map(|_| reader.string_up_to(MAX_HOST_KEY).map(<[u8]>::to_vec)).collect()
}
