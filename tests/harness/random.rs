//! Bytes that do not repeat, and their digests.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// A reader of so many bytes that are the same for the same seed.
pub(crate) struct Random {
    state: u64,
    left: usize,
}

impl Random {
    pub(crate) fn new(seed: u64, length: usize) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, left: length }
    }

    pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        Self::new(seed, length).read_to_end(&mut bytes).expect("never fails");
        bytes
    }
}

impl Read for Random {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.left);
        for chunk in buffer[..count].chunks_mut(8) {
            // xorshift64*
            self.state ^= self.state >> 12;
            self.state ^= self.state << 25;
            self.state ^= self.state >> 27;
            let word = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        self.left -= count;
        Ok(count)
    }
}

/// SHA-256 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// How many bytes a reader gives, and their SHA-256.
pub(crate) fn hash_reader(mut reader: impl Read) -> (u64, String) {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut length = 0;
    loop {
        match reader.read(&mut buffer).expect("readable") {
            0 => return (length, hex::encode(hash.finalize())),
            count => {
                hash.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}
