//! Forwarding: connections from here for the client, and listeners here whose connections go to it.

pub(super) mod agent;
mod listen;
mod socket;
mod tcp;
pub(super) mod x11;

use std::time::Duration;

use russh::{
    Channel, ChannelOpenFailure,
    server::{ChannelOpenHandle, Handle, Msg},
};
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use listen::Listeners;

use super::{
    channel::{
        Outlet,
        relay::{self, Sending},
    },
    inboxes::Inboxes,
};

/// A channel that the client asks for, and that is not open yet.
pub(super) struct Asked {
    pub(super) channel: Channel<Msg>,
    pub(super) reply: ChannelOpenHandle,
    pub(super) to: ToClient,
}

/// Where forwarded connections of one kind go.
#[derive(Clone)]
pub(super) struct ToClient {
    pub(super) session: Handle,
    pub(super) inboxes: Inboxes,
    /// How long nothing may go through a connection.
    pub(super) idle: Option<Duration>,
}

impl ToClient {
    /// Joins a channel that the client has agreed to with its stream.
    async fn carry<S>(self, opened: Result<Channel<Msg>, russh::Error>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match opened {
            Ok(channel) => {
                let sending = Sending::new(channel, &self.inboxes);
                let outlet = Outlet::new(self.inboxes, sending.id(), self.session);
                relay::join(outlet, sending, stream, self.idle).await;
            }
            Err(error) => tracing::info!("the client takes no forwarded connection: {error}"),
        }
    }
}

impl Asked {
    /// Connects it, away from the session's loop, and opens it or says why not.
    pub(super) fn connect<S, F>(self, what: String, connecting: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = std::io::Result<S>> + Send + 'static,
    {
        let Self { channel, reply, to: ToClient { session, inboxes, idle } } = self;
        let sending = Sending::new(channel, &inboxes);
        let outlet = Outlet::new(inboxes, sending.id(), session);
        tokio::spawn(async move {
            let closed = outlet.closed();
            let connected = tokio::select! {
                connected = connecting => connected,
                () = closed.cancelled() => return,
            };
            match connected {
                Ok(stream) => {
                    reply.accept().await;
                    relay::join(outlet, sending, stream, idle).await;
                }
                Err(error) => {
                    tracing::info!("forward to {what}: {error}");
                    reply.reject(ChannelOpenFailure::ConnectFailed).await;
                }
            }
        });
    }
}

pub(super) use socket::connect as connect_socket;
pub(super) use tcp::connect as connect_tcp;
