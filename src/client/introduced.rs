//! The identification string (RFC 4253 section 4.2), sent before anything is known of the server.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

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
    /// Sends it, and says how much of it was taken. A peer that takes nothing tells why elsewhere: what is not sent
    /// here is sent later, and fails then.
    pub(crate) async fn say(writer: &mut W, mut identification: &[u8]) -> usize {
        let all = identification.len();
        let _ = writer.write_all_buf(&mut identification).await;
        let _ = writer.flush().await;
        all - identification.len()
    }

    /// A writer to which so many bytes of it were sent.
    pub(crate) fn said(writer: W, said: usize) -> Self {
        Self { writer, said }
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

impl<S: AsyncRead + Unpin> AsyncRead for Introduced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_identification_is_sent_once() {
        let mut sent = Vec::new();
        let said = Introduced::say(&mut &mut sent, b"SSH-2.0-me\r\n").await;
        let mut writer = Introduced::said(&mut sent, said);
        for part in ["SSH-2", ".0-me\r\n", "and more"] {
            writer.write_all(part.as_bytes()).await.expect("written");
        }
        assert_eq!(sent, b"SSH-2.0-me\r\nand more");
    }

    #[tokio::test]
    async fn what_could_not_be_sent_ahead_is_not_lost() {
        let (mut writer, reader) = tokio::io::duplex(64);
        drop(reader);
        let said = Introduced::say(&mut writer, b"SSH-2.0-me\r\n").await;
        let mut writer = Introduced::said(writer, said);
        assert!(writer.write_all(b"SSH-2.0-me\r\n").await.is_err());
    }
}
