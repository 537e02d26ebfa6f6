//! A byte stream cut into packets, with few copies of what is long.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    error::{Nonsense, SftpError},
    limits::MAX_PACKET,
};

/// What is allocated at once. Several long packets share it, and few of them lie across its end.
const BLOCK: usize = 1 << 20;

/// The least room to read into.
const ROOM: usize = 64 << 10;

/// How much of what is not SFTP is shown.
const SHOWN: usize = 80;

/// Bytes that were received and are not yet packets.
#[derive(Debug, Default)]
pub(super) struct Packets {
    input: BytesMut,
    /// Whether a packet has been seen.
    begun: bool,
}

impl Packets {
    /// Where to read into: there is always room, and never more is promised than a block.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        // What is known to be missing must fit behind what is there, so that it is not moved again.
        let missing = self.length().map_or(0, |length| (4 + length).saturating_sub(self.input.len()));
        let room = self.input.capacity() - self.input.len();
        if room < missing.max(ROOM.min(BLOCK / 4)) {
            let least = missing.max(ROOM);
            // A connection that moves little keeps little.
            self.input.reserve(if missing >= ROOM { BLOCK } else { least });
        }
        &mut self.input
    }

    /// The next packet without its length, if it is whole.
    ///
    /// # Errors
    /// A length that no packet has.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Nonsense> {
        let Some(length) = self.length() else { return Ok(None) };
        if length > MAX_PACKET || length == 0 {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            if self.begun {
                return Err(Nonsense::Length(length));
            }
            let text: Arc<[u8]> = self.input[..self.input.len().min(SHOWN)].into();
            return Err(Nonsense::NotSftp { length, text });
        }
        if self.input.len() < 4 + length {
            return Ok(None);
        }
        self.begun = true;
        let mut packet = self.input.split_to(4 + length);
        Ok(Some(packet.split_off(4).freeze()))
    }

    fn length(&self) -> Option<usize> {
        let (length, _) = self.input.split_first_chunk::<4>()?;
        Some(u32::from_be_bytes(*length) as usize)
    }
}

/// The next packet of a stream. Cancel safe: what was read is kept.
///
/// # Errors
/// The stream has ended, or says nonsense.
pub(super) async fn next_packet(
    reader: &mut (impl AsyncRead + Unpin),
    packets: &mut Packets,
) -> Result<Bytes, SftpError> {
    loop {
        if let Some(packet) = packets.next()? {
            return Ok(packet);
        }
        match reader.read_buf(packets.room()).await {
            Ok(0) => return Err(SftpError::Gone { source: None }),
            Ok(_) => {}
            Err(error) => return Err(SftpError::Gone { source: Some(Arc::new(error)) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_do_not_depend_on_how_they_arrive(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            step in 1usize..400,
        ) {
            let stream: Vec<u8> = packets.iter()
                .flat_map(|packet| [&(packet.len() as u32).to_be_bytes()[..], packet].concat())
                .collect();
            let mut cut = Packets::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                cut.room().extend_from_slice(piece);
                while let Some(packet) = cut.next().expect("packets") {
                    seen.push(packet.to_vec());
                }
            }
            prop_assert_eq!(seen, packets);
        }
    }

    #[test]
    fn a_greeting_is_no_packet() {
        let mut packets = Packets::default();
        packets.room().extend_from_slice(b"Welcome to the machine\n");
        let nonsense = packets.next().expect_err("no packet");
        let text = nonsense.to_string();
        assert!(text.contains("received message too long 1466264675"), "{text}");
        assert!(text.contains("Welcome to"), "{text}");
    }

    #[test]
    fn a_later_length_is_not_taken_for_a_greeting() {
        let mut packets = Packets::default();
        packets.room().extend_from_slice(&[0, 0, 0, 1, 7, 0xff, 0, 0, 0]);
        assert_eq!(packets.next(), Ok(Some(Bytes::from_static(&[7]))));
        assert_eq!(packets.next(), Err(Nonsense::Length(0xff00_0000)));
    }
}
