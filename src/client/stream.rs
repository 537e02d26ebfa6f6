//! A channel as a stream of bytes, for programs and for SFTP.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::client::{
    channel::{OpenError, RawChannel, Wanted},
    connection::Connection,
    inbox::Item,
    outbox::Outbox,
    state::Exit,
};

/// The most that one write takes, in bytes.
const LARGEST_WRITE: usize = 256 << 10;

/// Bytes both ways. Shutting it down ends this direction only; dropping it closes the channel, after what
/// was written is sent, or the server has taken nothing for 10 seconds.
#[derive(Debug)]
pub struct ChannelStream {
    channel: Arc<RawChannel>,
    outbox: Arc<Outbox>,
    left: Bytes,
    ended: bool,
}

impl Connection {
    /// Connects to a host as the server sees it, as `ssh -W` does (RFC 4254 section 7.2). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_direct(&self, host: &str, port: u16) -> Result<ChannelStream, OpenError> {
        let originator = ("127.0.0.1".to_owned(), 0);
        let wanted = Wanted::Tcp { host: host.to_owned(), port, originator };
        Ok(ChannelStream::new(RawChannel::open(self.link(), wanted).await?))
    }

    /// Connects to a unix socket of the server (OpenSSH's PROTOCOL, section 2.4). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_socket(&self, path: impl AsRef<Path>) -> Result<ChannelStream, OpenError> {
        let wanted = Wanted::Socket { path: path.as_ref().to_owned() };
        Ok(ChannelStream::new(RawChannel::open(self.link(), wanted).await?))
    }
}

/// How the program behind a stream ends, for when the stream is gone.
pub(crate) struct Ending(Arc<RawChannel>);

impl Ending {
    /// Waits for it, for so long; none if the server does not tell.
    pub(crate) async fn within(self, limit: Duration) -> Option<Exit> {
        // The status comes before the end of the channel.
        let _ = timeout(limit, self.0.inbox.closed().cancelled()).await;
        self.0.inbox.exited()
    }
}

impl ChannelStream {
    pub(crate) fn new(channel: Arc<RawChannel>) -> Self {
        let outbox = Arc::new(Outbox::new(Arc::clone(&channel)));
        Self::with_outbox(channel, outbox)
    }

    pub(crate) fn with_outbox(channel: Arc<RawChannel>, outbox: Arc<Outbox>) -> Self {
        Self { channel, outbox, left: Bytes::new(), ended: false }
    }

    pub(crate) fn ending(&self) -> Ending {
        Ending(Arc::clone(&self.channel))
    }
}

fn broken(channel: &RawChannel) -> io::Error {
    match channel.link.disconnected() {
        Some(why) => io::Error::new(io::ErrorKind::ConnectionAborted, why),
        None => io::ErrorKind::BrokenPipe.into(),
    }
}

/// A channel that is closed without an end of file has ended all the same; a connection that is lost has not.
pub(crate) fn check_end(channel: &RawChannel) -> io::Result<()> {
    match channel.link.disconnected() {
        Some(why) if !channel.inbox.has_ended() => Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)),
        _ => Ok(()),
    }
}

pub(crate) fn poll_write(
    channel: &RawChannel,
    outbox: &Outbox,
    cx: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    if ready!(outbox.poll_room(cx)).is_err() {
        return Poll::Ready(Err(broken(channel)));
    }
    let count = buf.len().min(LARGEST_WRITE);
    if outbox.push(Bytes::copy_from_slice(&buf[..count])).is_err() {
        return Poll::Ready(Err(broken(channel)));
    }
    Poll::Ready(Ok(count))
}

pub(crate) fn poll_flush(
    channel: &RawChannel,
    outbox: &Outbox,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    Poll::Ready(ready!(outbox.poll_empty(cx)).map_err(|_| broken(channel)))
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        // What is queued is still sent, and must not be held up by output that nobody wants.
        self.channel.throw_away();
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() && !self.ended {
            match ready!(self.channel.poll_next(cx)) {
                Some(Item::Data(data, false)) => self.left = data,
                Some(Item::Data(..) | Item::Exit(_)) => {}
                Some(Item::Eof) => self.ended = true,
                None => {
                    self.ended = true;
                    check_end(&self.channel)?;
                }
            }
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left[..count]);
        self.left.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        poll_write(&self.channel, &self.outbox, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_flush(&self.channel, &self.outbox, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.end();
        Poll::Ready(Ok(()))
    }
}
