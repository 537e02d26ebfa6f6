//! Bytes between a channel and a socket.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_util::sync::CancellationToken;

use crate::{
    buffer::Buffer,
    client::{channel::RawChannel, inbox::Item},
};

/// The socket of a forwarded connection.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Has the other end told that this did not end well, where sockets can tell.
    fn reset(&self);
}

impl Socket for TcpStream {
    fn reset(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Socket for UnixStream {
    fn reset(&self) {}
}

/// Joins a channel to a socket: each direction ends by itself, and the channel closes when both have.
/// A connection that is lost resets the socket, so that nobody takes half of something for all of it.
pub(crate) async fn join<S: Socket>(channel: Arc<RawChannel>, mut socket: S, first: Bytes) {
    let whole = {
        let (reader, writer) = split(&mut socket);
        let left = CancellationToken::new();
        let inward = async {
            tokio::select! {
                () = send_all(reader, &channel, first) => {}
                () = channel.inbox.unread().cancelled() => {}
            }
            let _ = channel.sending.eof().await;
            left.cancel();
        };
        // What the server sent before it closed the channel is written all the same.
        let ((), whole) = tokio::join!(inward, receive_all(&channel, writer, &left));
        whole
    };
    if !whole {
        socket.reset();
    }
    let _ = channel.sending.close().await;
    channel.inbox.close();
}

/// As tokio's own split, of a borrowed stream.
fn split<S: Socket>(socket: &mut S) -> (tokio::io::ReadHalf<&mut S>, tokio::io::WriteHalf<&mut S>) {
    tokio::io::split(socket)
}

/// Sends all that a reader gives. Ends with the reader, or when the channel is closed.
async fn send_all(mut reader: impl AsyncRead + Unpin, channel: &RawChannel, first: Bytes) {
    if !first.is_empty() && channel.sending.data_bytes(first).await.is_err() {
        return;
    }
    let mut buffer = Buffer::default();
    while let Some(bytes) = buffer.read(&mut reader).await {
        if channel.sending.data_bytes(bytes).await.is_err() {
            return;
        }
    }
}

/// Writes all that the server sends, and closes the writer at its end; whether it came to an end. A writer
/// that fails stops nothing: what comes then is thrown away, until one of the sides is done. OpenSSH, too,
/// closes a channel on which neither direction goes on. A connection that is lost is not outlasted by a writer
/// that takes nothing.
async fn receive_all(
    channel: &RawChannel,
    mut writer: impl AsyncWrite + Unpin,
    left: &CancellationToken,
) -> bool {
    let mut writes = true;
    let cut = cut_off(channel);
    tokio::pin!(cut);
    loop {
        let item = tokio::select! {
            item = poll_fn(|cx| channel.poll_next(cx)) => item,
            () = left.cancelled(), if !writes => return true,
        };
        match item {
            Some(Item::Data(data, _)) if writes => {
                let writing = async {
                    writer.write_all(&data).await?;
                    writer.flush().await
                };
                writes = tokio::select! {
                    written = writing => written.is_ok(),
                    () = &mut cut => return false,
                };
            }
            Some(Item::Data(..) | Item::Exit(_)) => {}
            Some(Item::Eof) => {
                let _ = writer.shutdown().await;
                return true;
            }
            None => {
                // A channel that is closed has ended; a connection that is lost has not.
                let whole = channel.link.disconnected().is_none();
                if whole {
                    let _ = writer.shutdown().await;
                }
                return whole;
            }
        }
    }
}

/// Waits until the connection is lost before the server has sent all.
async fn cut_off(channel: &RawChannel) {
    channel.link.wait_disconnected().await;
    if channel.inbox.has_ended() {
        std::future::pending().await
    }
}
