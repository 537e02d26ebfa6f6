//! Dialling a host.

use std::time::Duration;

use iroh::{Endpoint, EndpointAddr, SecretKey, TransportAddr, endpoint::Connection};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{
    apart::Apart,
    connection::HostConnection,
    dial_error::{DialError, Missed},
    patience::Patience,
};
use crate::transport::{ALPN, BindFailed, NameService, Network, Relay, Target, bind_client, close_quickly};

/// How long a host may take to answer the first packet.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// How often an address that takes no more connections is asked again before it is asked whether it is the
/// host's.
const REFUSALS: u32 = 4;

/// Dials hosts from one endpoint.
#[derive(Debug, Clone)]
pub struct Dialer {
    endpoint: Endpoint,
    network: Network,
    identity: SecretKey,
    apart: Apart,
}

impl Dialer {
    /// Binds an endpoint to dial from, as `identity`.
    ///
    /// # Errors
    ///
    /// [`BindFailed`] when no socket could be opened.
    pub async fn bind(network: Network, identity: SecretKey) -> Result<Self, BindFailed> {
        let endpoint = bind_client(&network).await?;
        Ok(Self { endpoint, network, identity, apart: Apart::default() })
    }

    /// Says goodbye to every host, without waiting for one that does not answer.
    pub async fn close(&self) {
        tokio::join!(close_quickly(&self.endpoint), self.apart.close());
    }

    /// Connects to a host and says who we are, without waiting for its answer.
    ///
    /// A host that is busy is tried again until the deadline.
    ///
    /// # Errors
    ///
    /// [`DialError`] within 15 s.
    pub async fn dial(&self, target: &Target) -> Result<HostConnection, DialError> {
        let relay_only = target.addr().ip_addrs().next().is_none();
        if self.network.relay == Relay::None && relay_only && target.addr().relay_urls().next().is_some() {
            return Err(DialError::RelaysOff { name: target.short_name() });
        }
        match self.connect(&self.everywhere(target.addr())).await {
            Ok(connection) => Ok(HostConnection::greet(connection, &self.identity, target).await),
            Err(missed) => Err(self.explain(target, missed).await),
        }
    }

    /// The addresses of a host, and where it has a relay, those that we know: it moves to another of them when its
    /// own is gone, which a ticket of before does not tell.
    fn everywhere(&self, addr: &EndpointAddr) -> EndpointAddr {
        match &self.network.relay {
            Relay::Urls(urls) if addr.relay_urls().next().is_some() => {
                urls.iter().cloned().fold(addr.clone(), EndpointAddr::with_relay_url)
            }
            _ => addr.clone(),
        }
    }

    /// Connects by all addresses at once. The first to answer decides, so where that is not the host, each address
    /// is tried by itself: two machines may have the same one, such as docker's.
    async fn connect(&self, addr: &EndpointAddr) -> Result<Connection, Missed> {
        let deadline = Instant::now() + CONNECT_DEADLINE;
        let missed = match connect(&self.endpoint, addr, deadline, REFUSALS).await {
            Err(missed) if missed.was_answered() => missed,
            other => return other,
        };
        // With those that a name service has told.
        let known = self.endpoint.remote_info(addr.id).await;
        let addrs: Vec<_> =
            known.into_iter().flat_map(|info| info.into_addrs().map(|addr| addr.into_addr())).collect();
        if addrs.len() > 1 {
            tracing::debug!(?addrs, "something else has answered: each address by itself");
            return self
                .apart
                .connect(&self.network, EndpointAddr::from_parts(addr.id, addrs), deadline)
                .await;
        }
        match missed {
            Missed::TurnedAway => connect(&self.endpoint, addr, deadline, u32::MAX).await,
            other => Err(other),
        }
    }

    /// Why a host that was dialled so long ago is not reached yet.
    pub(super) fn so_far(&self, target: &Target, since: Duration) -> DialError {
        DialError::NobodyHome { name: target.short_name(), waited: since }
    }

    async fn explain(&self, target: &Target, missed: Missed) -> DialError {
        let name = target.short_name();
        match missed {
            Missed::NoAddress => {
                DialError::NameNotFound { name, asked: self.network.dns != NameService::None }
            }
            Missed::Silent => self.nobody_home(target).await,
            Missed::TurnedAway => DialError::TurnedAway { name },
            Missed::WrongProtocol => DialError::WrongProtocol { name },
            Missed::WrongKey => DialError::WrongKey { name },
            Missed::Other(reason) => DialError::Other { name, reason },
        }
    }

    /// Nothing answered: says whether that is the relay's doing.
    async fn nobody_home(&self, target: &Target) -> DialError {
        let name = target.short_name();
        if let Some(url) = only_relay(target.addr())
            && !answers(&url).await
        {
            return DialError::RelayUnreachable { name, url: url.to_string() };
        }
        DialError::NobodyHome { name, waited: CONNECT_DEADLINE }
    }
}

/// Connects by all addresses at once; a host that is busy is tried again for so often.
pub(super) async fn connect(
    endpoint: &Endpoint,
    addr: &EndpointAddr,
    deadline: Instant,
    refusals: u32,
) -> Result<Connection, Missed> {
    let mut patience = Patience::until(deadline);
    let mut refused = 0;
    loop {
        let missed = match timeout_at(deadline, endpoint.connect(addr.clone(), ALPN)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Missed::of(&error),
            Err(_) => Missed::Silent,
        };
        refused += 1;
        if missed != Missed::TurnedAway || refused >= refusals || !patience.pause().await {
            return Err(missed);
        }
    }
}

fn only_relay(addr: &EndpointAddr) -> Option<iroh::RelayUrl> {
    let mut addrs = addr.addrs.iter();
    match (addrs.next(), addrs.next()) {
        (Some(TransportAddr::Relay(url)), None) => Some(url.clone()),
        _ => None,
    }
}

async fn answers(url: &iroh::RelayUrl) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let connect = TcpStream::connect((host.trim_matches(['[', ']']), port));
    matches!(timeout(Duration::from_secs(2), connect).await, Ok(Ok(_)))
}
