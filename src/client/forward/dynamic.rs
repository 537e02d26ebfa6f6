//! Forwards that ask each connection where to go.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    opening::Opening,
    place::Place,
    relay::{self, Socket},
    socks::{Socks, Step, Version},
};
use crate::client::channel::OpenError;

/// How long a client may take to say where it wants to go.
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) async fn carry<S: Socket>(forward: &Opening, mut socket: S, from: Option<SocketAddr>) {
    let mut bytes = BytesMut::with_capacity(512);
    let negotiated = timeout(DEADLINE, negotiate(&mut socket, &mut bytes)).await;
    let Ok(Ok(Some((target, version)))) = negotiated else { return };
    let channel = match forward.open(target.clone(), from).await {
        Ok(channel) => channel,
        Err(error) => {
            let reply = match error {
                OpenError::Prohibited => version.prohibited(),
                _ => version.unreachable(),
            };
            forward.failed(&target.to_string(), &error.to_string());
            let _ = socket.write_all(&reply).await;
            return;
        }
    };
    if socket.write_all(&version.granted()).await.is_ok() {
        relay::join(channel, socket, bytes.freeze()).await;
    }
}

/// Where the client wants to go; nothing when it was refused. What it has sent already for its target is
/// left in `bytes`.
async fn negotiate<S: Socket>(socket: &mut S, bytes: &mut BytesMut) -> io::Result<Option<(Place, Version)>> {
    let mut socks = Socks::default();
    loop {
        match socks.step(bytes) {
            Step::More => {
                if socket.read_buf(bytes).await? == 0 {
                    return Ok(None);
                }
            }
            Step::Say { used, reply } => {
                bytes.advance(used);
                socket.write_all(&reply).await?;
            }
            Step::Connect { used, target, version } => {
                bytes.advance(used);
                return Ok(Some((target, version)));
            }
            Step::Refuse { reply, why } => {
                tracing::debug!("a SOCKS client is refused: {why}");
                socket.write_all(&reply).await?;
                return Ok(None);
            }
        }
    }
}
