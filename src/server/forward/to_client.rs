//! Connections between a client's channels and the streams here.

use std::{io, time::Duration};

use russh::{
    Channel, ChannelOpenFailure,
    server::{ChannelOpenHandle, Handle, Msg},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::server::channel::{
    inboxes::Inboxes,
    outlet::Outlet,
    relay::{self, Sending},
};

/// A channel that the client asks for, and that is not open yet.
pub(in crate::server) struct Asked {
    pub(in crate::server) channel: Channel<Msg>,
    pub(in crate::server) reply: ChannelOpenHandle,
    pub(in crate::server) to: ToClient,
}

/// Where forwarded connections of one kind go.
#[derive(Clone)]
pub(in crate::server) struct ToClient {
    pub(in crate::server) session: Handle,
    pub(in crate::server) inboxes: Inboxes,
    /// How long nothing may go through a connection.
    pub(in crate::server) idle: Option<Duration>,
}

impl ToClient {
    /// Joins a channel that the client has agreed to with its stream.
    pub(super) async fn carry<S>(self, opened: Result<Channel<Msg>, russh::Error>, stream: S)
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
    pub(in crate::server) fn connect<S, F>(self, what: String, connecting: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
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
