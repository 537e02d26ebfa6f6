//! Bytes between a channel and what stands behind it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use russh::{Channel, ChannelId, ChannelWriteHalf, server::Msg};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::{inbox::Inbox, inboxes::Inboxes, outlet::Outlet};
use crate::buffer::Buffer;

/// The sending side of a channel.
pub(in crate::server) struct Sending {
    half: ChannelWriteHalf<Msg>,
    inbox: Arc<Inbox>,
}

impl Sending {
    /// That of a channel, whose inbox is there from now on.
    pub(in crate::server) fn new(channel: Channel<Msg>, inboxes: &Inboxes) -> Self {
        let (_, half) = channel.split();
        let inbox = inboxes.get_or_add(half.id());
        Self { half, inbox }
    }

    pub(in crate::server) fn id(&self) -> ChannelId {
        self.half.id()
    }

    pub(in crate::server) async fn eof(&self) {
        let _ = self.half.eof().await;
    }

    pub(in crate::server) async fn exit_status(&self, status: u32) {
        let _ = self.half.exit_status(status).await;
    }

    pub(in crate::server) async fn close(&self) {
        let _ = self.half.close().await;
    }
}

/// The extended data type of stderr (RFC 4254 section 5.2).
pub(in crate::server) const STDERR: u32 = 1;

/// Sends all that a reader gives, as data or as extended data of a type. Ends with the reader, or when
/// the channel is closed.
pub(in crate::server) async fn send_all(
    mut reader: impl AsyncRead + Unpin,
    to: &Sending,
    extended: Option<u32>,
) {
    let mut buffer = Buffer::default();
    while let Some(bytes) = buffer.read(&mut reader).await {
        if send(to, extended, bytes).await.is_err() {
            return;
        }
    }
}

/// Sends bytes, as the client's window allows.
pub(in crate::server) async fn send(
    to: &Sending,
    extended: Option<u32>,
    bytes: Bytes,
) -> Result<(), russh::Error> {
    match extended {
        None => to.half.data_bytes(bytes).await?,
        Some(code) => to.half.extended_data_bytes(code, bytes).await?,
    }
    to.inbox.has_sent();
    Ok(())
}

/// Writes all that the client sends, and closes the writer at its end. A writer that fails stops
/// nothing: what comes then is thrown away, as sshd does, until the other side is done.
pub(in crate::server) async fn receive_all(outlet: &mut Outlet, writer: impl AsyncWrite + Unpin) {
    if !write_received(outlet, writer).await {
        discard(outlet).await;
    }
}

/// Writes what the client sends to its end, or until the writer fails; whether it did not.
async fn write_received(outlet: &mut Outlet, mut writer: impl AsyncWrite + Unpin) -> bool {
    while let Some(bytes) = outlet.next().await {
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if written.await.is_err() {
            return false;
        }
        outlet.used(bytes.len()).await;
    }
    let _ = writer.shutdown().await;
    true
}

pub(in crate::server) async fn discard(outlet: &mut Outlet) {
    while let Some(bytes) = outlet.next().await {
        outlet.used(bytes.len()).await;
    }
}

/// Joins a channel to a stream: each direction ends by itself, and the channel closes when both have. So it
/// does once the stream takes and gives nothing more, whatever the client still sends: it must hear of that.
/// It closes as well when nothing has gone through it for as long as it may be `idle`.
pub(in crate::server) async fn join<S>(mut outlet: Outlet, to: Sending, stream: S, idle: Option<Duration>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(stream);
    let unread = outlet.unread();
    let expired = outlet.idle_for(idle);
    let ended = CancellationToken::new();
    let inward = async {
        tokio::select! {
            () = send_all(reader, &to, None) => {}
            () = unread.cancelled() => {}
        }
        to.eof().await;
        ended.cancel();
    };
    // What the client sent before it closed the channel is written all the same.
    let outward = async {
        if !write_received(&mut outlet, writer).await {
            tokio::select! {
                () = discard(&mut outlet) => {}
                () = ended.cancelled() => {}
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(inward, outward) } => {}
        () = expired => to.eof().await,
    }
    to.close().await;
}
