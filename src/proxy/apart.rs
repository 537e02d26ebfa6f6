//! Connecting from endpoints of their own: by each address of a host alone, and to a host anew.
//!
//! An endpoint sends to all addresses that it knows of a host, and the first answer decides, whoever it is from. Once
//! it has a connection, it sends whatever it has for that host by the path of that one alone.

use std::{net::SocketAddr, time::Duration};

use iroh::{
    Endpoint, EndpointAddr, TransportAddr,
    endpoint::{Connection, WeakConnectionHandle},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{connect::connect, dial_error::Missed};
use crate::transport::{
    Bind, BindFailed, NameService, Network, bind_client, bind_client_again, close_quickly,
};

/// The endpoints of such connections; each lives as long as its connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Apart {
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// An endpoint that is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) endpoint: Endpoint,
    _done: DropGuard,
}

impl Apart {
    /// An endpoint that knows of no path to any host yet.
    pub(super) async fn fresh(&self, network: &Network) -> Result<Fresh, BindFailed> {
        let endpoint = bind_client_again(&free_ports(network)).await?;
        let (done, closing) = (CancellationToken::new(), self.closing.clone());
        let fresh = Fresh { endpoint: endpoint.clone(), _done: done.clone().drop_guard() };
        self.tasks.spawn(async move {
            tokio::select! {
                () = done.cancelled() => {}
                () = closing.cancelled() => {}
            }
            close_quickly(&endpoint).await;
        });
        Ok(fresh)
    }

    /// Connects by whichever address leads to the host first.
    pub(super) async fn connect(
        &self,
        network: &Network,
        addr: EndpointAddr,
        deadline: Instant,
    ) -> Result<Connection, Missed> {
        self.connect_to_each(network, one_by_one(&addr), deadline).await
    }

    /// Connects from an endpoint of its own by addresses that one and the same has told. To the host it is one connection,
    /// not one for each address, of which it would see all but one leave without a word.
    pub(super) async fn connect_once(
        &self,
        network: &Network,
        addr: EndpointAddr,
        deadline: Instant,
    ) -> Result<Connection, Missed> {
        self.connect_to_each(network, vec![addr], deadline).await
    }

    async fn connect_to_each(
        &self,
        network: &Network,
        addrs: Vec<EndpointAddr>,
        deadline: Instant,
    ) -> Result<Connection, Missed> {
        // A name service would tell what was wrong once more.
        let network = Network { dns: NameService::None, ..free_ports(network) };
        let enough = self.closing.child_token();
        let _guard = enough.clone().drop_guard();
        let (answer, mut answers) = mpsc::channel(1);
        for addr in addrs {
            let (network, answer) = (network.clone(), answer.clone());
            let (enough, closing) = (enough.clone(), self.closing.clone());
            self.tasks.spawn(async move {
                let endpoint = match bind_client(&network).await {
                    Ok(endpoint) => endpoint,
                    Err(error) => return hold(Err(Missed::Other(error.to_string())), answer, closing).await,
                };
                tokio::select! {
                    () = enough.cancelled() => {}
                    result = connect(&endpoint, &addr, deadline, u32::MAX) => hold(result, answer, closing).await,
                }
                close_quickly(&endpoint).await;
            });
        }
        drop(answer);
        let mut missed = Missed::NoAddress;
        while let Some(answer) = answers.recv().await {
            match answer {
                Ok(connection) => return Ok(connection),
                Err(other) => missed = missed.max(other),
            }
        }
        Err(missed)
    }

    /// Closes what is left of them.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        let _ = timeout(Duration::from_millis(500), self.tasks.wait()).await;
    }
}

/// Hands over how it went, and waits until the connection is of no more use.
async fn hold(
    result: Result<Connection, Missed>,
    answer: mpsc::Sender<Result<Connection, Missed>>,
    closing: CancellationToken,
) {
    let handle = result.as_ref().ok().map(Connection::weak_handle);
    let closed = handle.as_ref().map(WeakConnectionHandle::closed);
    // Nobody takes it where another address was quicker; it is closed by being dropped.
    drop(answer.send(result).await);
    drop(answer);
    if let Some(closed) = closed {
        tokio::select! {
            _ = closed => {}
            () = closing.cancelled() => {}
        }
    }
}

/// The host at each of its direct addresses alone, but for its relays, which nobody else answers at; and at those.
fn one_by_one(addr: &EndpointAddr) -> Vec<EndpointAddr> {
    let relays: Vec<_> = addr.relay_urls().cloned().map(TransportAddr::Relay).collect();
    let directs = addr.ip_addrs().copied().map(TransportAddr::Ip);
    let with_relays = |direct| EndpointAddr::from_parts(addr.id, relays.iter().cloned().chain([direct]));
    let mut each: Vec<_> = directs.map(with_relays).collect();
    if !relays.is_empty() {
        each.push(EndpointAddr::from_parts(addr.id, relays));
    }
    each
}

/// The same network from free ports.
fn free_ports(network: &Network) -> Network {
    let free = network.bind.0.iter().map(|addr| SocketAddr::new(addr.ip(), 0));
    Network { bind: Bind(free.collect()), ..network.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direct_address_is_alone_with_the_relays() {
        let id = iroh::SecretKey::from_bytes(&[1; 32]).public();
        let relay: iroh::RelayUrl = "https://relay.example".parse().expect("a URL");
        let directs: [SocketAddr; 2] = [([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into()];
        let direct = directs.into_iter().fold(EndpointAddr::new(id), EndpointAddr::with_ip_addr);
        let alone: Vec<_> = directs.iter().map(|addr| EndpointAddr::new(id).with_ip_addr(*addr)).collect();
        assert_eq!(one_by_one(&direct), alone);
        let with_relay = |addr: EndpointAddr| addr.with_relay_url(relay.clone());
        let mut expected: Vec<_> = alone.into_iter().map(with_relay).collect();
        expected.push(with_relay(EndpointAddr::new(id)));
        assert_eq!(one_by_one(&with_relay(direct)), expected);
    }
}
