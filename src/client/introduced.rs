//! The identification string (RFC 4253 section 4.2), sent before anything is known of the server.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// A writer to which the identification string was sent already. It is not sent again: as many bytes as that
/// was are taken and dropped first.
///
/// A server answers it with its key exchange, which is on its way here a round trip sooner.
pub(crate) struct Introduced<W> {
    writer: W,
    /// Bytes that are not to be sent again.
    said: usize,
}

impl<W: AsyncWrite + Unpin> Introduced<W> {
    /// Sends it. A peer that takes nothing tells why elsewhere: what is not sent here is sent later, and
    /// fails then.
    pub(crate) async fn new(mut writer: W, mut identification: &[u8]) -> Self {
        let all = identification.len();
        let _ = writer.write_all_buf(&mut identification).await;
        let _ = writer.flush().await;
        Self { writer, said: all - identification.len() }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Introduced<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.said > 0 {
            let skipped = self.said.min(bytes.len());
            self.said -= skipped;
            return Poll::Ready(Ok(skipped));
        }
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_identification_is_sent_once() {
        let mut sent = Vec::new();
        let mut writer = Introduced::new(&mut sent, b"SSH-2.0-me\r\n").await;
        for part in ["SSH-2", ".0-me\r\n", "and more"] {
            writer.write_all(part.as_bytes()).await.expect("written");
        }
        assert_eq!(sent, b"SSH-2.0-me\r\nand more");
    }

    #[tokio::test]
    async fn what_could_not_be_sent_ahead_is_not_lost() {
        let (writer, reader) = tokio::io::duplex(64);
        drop(reader);
        let mut writer = Introduced::new(writer, b"SSH-2.0-me\r\n").await;
        assert!(writer.write_all(b"SSH-2.0-me\r\n").await.is_err());
    }
}
