//! Forwarding: connections from here for the client, and listeners here whose connections go to it.

pub(super) mod agent;
mod listen;
mod socket;
mod tcp;
pub(super) mod x11;

use russh::{
    Channel, ChannelOpenFailure,
    server::{ChannelOpenHandle, Handle, Msg},
};
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use listen::Listeners;

use super::{
    channel::{Outlet, relay},
    inboxes::Inboxes,
};

/// A channel that the client asks for, and that is not open yet.
pub(super) struct Asked {
    pub(super) channel: Channel<Msg>,
    pub(super) reply: ChannelOpenHandle,
    pub(super) inboxes: Inboxes,
    pub(super) session: Handle,
}

impl Asked {
    /// Connects it, away from the session's loop, and opens it or says why not.
    pub(super) fn connect<S, F>(self, what: String, connecting: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = std::io::Result<S>> + Send + 'static,
    {
        tokio::spawn(async move {
            let outlet = Outlet::new(self.inboxes, self.channel.id(), self.session);
            let closed = outlet.closed();
            let connected = tokio::select! {
                connected = connecting => connected,
                () = closed.cancelled() => return,
            };
            match connected {
                Ok(stream) => {
                    let (_, sending) = self.channel.split();
                    self.reply.accept().await;
                    relay::join(outlet, sending, stream).await;
                }
                Err(error) => {
                    tracing::info!("forward to {what}: {error}");
                    self.reply.reject(ChannelOpenFailure::ConnectFailed).await;
                }
            }
        });
    }
}

pub(super) use socket::connect as connect_socket;
pub(super) use tcp::connect as connect_tcp;
