//! Buffers that grow while reads fill them, and are handed on without a copy: for what goes to a channel.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The smallest and the largest buffer to read into.
const SMALL: usize = 4 << 10;
const LARGE: usize = 256 << 10;

/// Reads what is there, as much of it as fits.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: BytesMut,
    size: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), size: SMALL }
    }
}

impl Buffer {
    /// What comes next; `None` at the end, and where the reader fails. Cancel safe.
    pub(crate) async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
        if self.bytes.capacity() < self.size / 2 {
            self.bytes = BytesMut::with_capacity(self.size);
        }
        let count = loop {
            match reader.read_buf(&mut self.bytes).await {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        };
        if count >= self.size / 2 {
            self.size = (self.size * 4).min(LARGE);
        } else if count < self.size / 8 {
            self.size = (self.size / 2).max(SMALL);
        }
        (count > 0).then(|| self.bytes.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_read_is_whole_and_buffers_grow_and_shrink() {
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        let (mut buffer, mut reader) = (Buffer::default(), &sent[..]);
        let (mut read, mut longest) = (Vec::new(), 0);
        while let Some(bytes) = buffer.read(&mut reader).await {
            longest = longest.max(bytes.len());
            read.extend_from_slice(&bytes);
        }
        assert!(read == sent);
        assert_eq!((longest, buffer.read(&mut reader).await), (LARGE, None));
        for _ in 0..20 {
            assert_eq!(buffer.read(&mut &b"x"[..]).await.as_deref(), Some(&b"x"[..]));
        }
        assert_eq!(buffer.size, SMALL);
    }
}
