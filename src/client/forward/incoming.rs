//! Connections that come from the server: of remote forwards, and for the agent.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use russh::{
    Channel, ChannelOpenFailure,
    client::{ChannelOpenHandle, Msg},
};
use tokio::net::UnixStream;

use super::{
    place::Place,
    relay::{self, Socket},
};
use crate::{
    client::{
        channel::RawChannel,
        event::{ConnectionEvent, EventSink},
        incoming::{Connecting, Incoming, Origin},
        link::{Link, WeakLink},
    },
    forward_sockets::connect_tcp,
};

/// Leads what the server opens to a place at this side.
pub(super) struct Inward {
    target: Place,
    events: EventSink,
    link: WeakLink,
}

impl Inward {
    pub(super) fn new(link: &Link, target: Place) -> Arc<Self> {
        Arc::new(Self { target, events: link.shared().events.clone(), link: link.downgrade() })
    }

    async fn join(
        &self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        connecting: Connecting,
        socket: impl Socket,
    ) {
        let Some(link) = self.link.upgrade() else {
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        };
        // Its inbox is there before the server can send.
        let channel = Arc::new(RawChannel::new(channel, link));
        drop(connecting);
        reply.accept().await;
        relay::join(channel, socket, Bytes::new()).await;
    }
}

impl Incoming for Inward {
    fn accept(
        self: Arc<Self>,
        from: Origin,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        connecting: Connecting,
    ) {
        tokio::spawn(async move {
            let error = match &self.target {
                Place::Tcp { host, port } => match connect_tcp(host.clone(), *port).await {
                    Ok(stream) => return self.join(channel, reply, connecting, stream).await,
                    Err(error) => error,
                },
                Place::Socket(path) => match UnixStream::connect(path).await {
                    Ok(stream) => return self.join(channel, reply, connecting, stream).await,
                    Err(error) => error,
                },
            };
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            tracing::info!("forward from {from} to {}: {error}", self.target);
            self.events.tell(ConnectionEvent::ForwardFailed {
                forward: from.to_string(),
                target: self.target.to_string(),
                error: error.to_string(),
            });
        });
    }
}

/// Lends the agent on this socket to the server.
pub(crate) fn lend_agent(link: &Link, socket: PathBuf) {
    link.shared().incoming.add(Origin::Agent, Inward::new(link, Place::Socket(socket)));
}
