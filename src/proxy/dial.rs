//! Dialling a host.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{FusedFuture as _, FutureExt as _};
use iroh::{Endpoint, EndpointAddr, TransportAddr, endpoint::Connection};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    apart::{Apart, Fresh},
    connect::connect,
    connection::HostConnection,
    credentials::Credentials,
    dial_error::{DialError, Missed},
    greeter::Greeter,
    instances::Living,
    name_service::name_service_fault,
    nearby::{alone, connect_nearby},
    obstacles::Obstacles,
};
use crate::files::Paths;
use crate::protocol::Instance;
use crate::transport::{BindFailed, NameService, Network, Relay, Target, bind_client, close_quickly};

/// How long a host may take to answer the first packet.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// How long a host may take to answer before it is looked into.
const LONG: Duration = Duration::from_secs(1);

/// How long a host may take to answer at the addresses that are known before it is asked for on this network. Where they
/// lead to it, nobody is asked.
const KNOWN_FIRST: Duration = Duration::from_millis(100);

/// How long it is asked for on this network where no other way leads to it.
const NEARBY: Duration = Duration::from_millis(1500);

/// How often an address that takes no more connections is asked again before it is asked whether it is the
/// host's.
const REFUSALS: u32 = 4;

/// Dials hosts from one endpoint.
#[derive(Debug, Clone)]
pub struct Dialer {
    endpoint: Endpoint,
    network: Network,
    who: Greeter,
    apart: Apart,
    /// What the dial under way has come upon.
    seen: Arc<Mutex<Seen>>,
}

/// Why a dial takes long.
#[derive(Debug, Default)]
struct Seen {
    obstacles: Obstacles,
    /// Whether what answers takes no more connections.
    turned_away: bool,
    /// Whether it is reached, and somebody may have to confirm who we are.
    asks: bool,
}

impl Dialer {
    /// Binds an endpoint to dial from, as who has these credentials: a secret key alone will do.
    ///
    /// # Errors
    ///
    /// [`BindFailed`] when no socket could be opened.
    pub async fn bind(network: Network, credentials: impl Into<Credentials>) -> Result<Self, BindFailed> {
        let endpoint = bind_client(&network).await?;
        let credentials = credentials.into();
        let who = Greeter { credentials, instance: Instance::generate(), living: None, aliases: None };
        Ok(Self { endpoint, network, who, apart: Apart::default(), seen: Arc::default() })
    }

    /// Has hosts end what this process leaves behind if it dies without a word, once another one that notes itself
    /// among the same files reaches them. An invite that is used is kept under no name there any more.
    #[must_use]
    pub fn noted(mut self, paths: &Paths) -> Self {
        self.who.aliases = Some(paths.aliases());
        let living = Living::new(paths.instances());
        self.who.instance = living.instance();
        self.who.living = Some(living);
        self
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
        self.dial_noting(target, || {}).await
    }

    /// As [`Dialer::dial`]. `reached` is called once the host has answered, before it is told who we are.
    pub(crate) async fn dial_noting(
        &self,
        target: &Target,
        reached: impl FnOnce(),
    ) -> Result<HostConnection, DialError> {
        let addr = self.everywhere(target.addr());
        let _looking = self.look_around(addr.clone());
        match self.connect(&addr).await {
            Ok(connection) => {
                reached();
                self.seen().asks = self.who.credentials.may_ask();
                let from = self.endpoint.clone().into();
                let host = HostConnection::greet(connection, from, &self.who, target).await;
                self.seen().asks = false;
                Ok(host)
            }
            Err(missed) => Err(self.explain(target, missed).await),
        }
    }

    /// This process has left something at a host, of which another one has to tell.
    pub(super) fn leaves_something(&self) {
        if let Some(living) = &self.who.living {
            living.leaves_something();
        }
    }

    /// What it dials from.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// As whom it dials.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.who.credentials
    }

    /// The same, by other credentials of the same identity.
    #[must_use]
    pub(crate) fn by(&self, credentials: Credentials) -> Self {
        Self { who: Greeter { credentials, ..self.who.clone() }, ..self.clone() }
    }

    /// The same, for the dials to another host at the same time.
    pub(super) fn for_another_host(&self) -> Self {
        Self { seen: Arc::default(), ..self.clone() }
    }

    /// An endpoint to reach hosts again from, where what is known of the ways to them no longer holds.
    pub(super) async fn afresh(&self) -> Result<Fresh, BindFailed> {
        self.apart.fresh(&self.network).await
    }

    /// Connects to a host that was reached from an endpoint before, without a look into why it is not; also by the
    /// addresses that it has told since, where it is if it has moved.
    pub(super) async fn dial_again(
        &self,
        from: &Arc<Fresh>,
        before: &Endpoint,
        target: &Target,
        within: Duration,
    ) -> Option<HostConnection> {
        let connection = self.connect_again(from, before, target, within).await?;
        Some(HostConnection::greet(connection, Arc::clone(from).into(), &self.who, target).await)
    }

    /// The same, also by an address that it tells on this network. Only one connection is greeted, since somebody may be
    /// asked to confirm who we are.
    pub(super) async fn dial_again_once(
        &self,
        from: &Arc<Fresh>,
        before: &Endpoint,
        target: &Target,
        within: Duration,
    ) -> Option<HostConnection> {
        let connecting = async {
            tokio::select! {
                Some(connection) = self.connect_again(from, before, target, within) =>
                    (connection, Arc::clone(from).into()),
                Some(connection) = connect_nearby(&self.network, &self.apart, target.addr().id) =>
                    (connection, self.endpoint.clone().into()),
                else => pending().await,
            }
        };
        let (connection, origin) = timeout(within, connecting).await.ok()?;
        Some(HostConnection::greet(connection, origin, &self.who, target).await)
    }

    async fn connect_again(
        &self,
        from: &Fresh,
        before: &Endpoint,
        target: &Target,
        within: Duration,
    ) -> Option<Connection> {
        let mut addr = self.everywhere(target.addr());
        let told = before.remote_info(addr.id).await;
        addr.addrs.extend(told.into_iter().flat_map(|info| info.into_addrs().map(|told| told.into_addr())));
        connect(&from.endpoint, &addr, Instant::now() + within, 1).await.ok()
    }

    /// Connects to a host that was reached before by an address that it tells on this network, however long that takes.
    /// `None` where nobody can be asked there.
    pub(super) async fn dial_nearby(&self, target: &Target) -> Option<HostConnection> {
        let connection = connect_nearby(&self.network, &self.apart, target.addr().id).await?;
        Some(HostConnection::greet(connection, self.endpoint.clone().into(), &self.who, target).await)
    }

    /// Connects to a host at these addresses and by no other way, from an endpoint of its own.
    pub(super) async fn reach_there(&self, addr: EndpointAddr, deadline: Instant) -> Option<Connection> {
        self.apart.connect_once(&alone(&self.network), addr, deadline).await.ok()
    }

    /// Says who we are on such a connection.
    pub(super) async fn greet(&self, connection: Connection, addr: EndpointAddr) -> HostConnection {
        HostConnection::greet(connection, self.endpoint.clone().into(), &self.who, &addr.into()).await
    }

    /// How it reaches the network.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// The addresses of a host, and where it has a relay, those that we know: it moves to another of them when its
    /// own is gone, which a ticket of before does not tell.
    fn everywhere(&self, addr: &EndpointAddr) -> EndpointAddr {
        match &self.network.relay {
            Relay::None => {
                let directs = addr.ip_addrs().copied().map(TransportAddr::Ip);
                EndpointAddr::from_parts(addr.id, directs)
            }
            Relay::Urls(urls) if addr.relay_urls().next().is_some() => {
                urls.iter().cloned().fold(addr.clone(), EndpointAddr::with_relay_url)
            }
            _ => addr.clone(),
        }
    }

    /// Connects by all that is known of a host, and on this network, whatever becomes of the other.
    async fn connect(&self, addr: &EndpointAddr) -> Result<Connection, Missed> {
        let begun = Instant::now();
        let nearby = async {
            if addr.ip_addrs().next().is_some() {
                sleep(KNOWN_FIRST).await;
            }
            connect_nearby(&self.network, &self.apart, addr.id).await
        };
        let nearby = nearby.fuse();
        tokio::pin!(nearby);
        let missed = tokio::select! {
            biased;
            known = self.connect_known(addr) => match known {
                Ok(connection) => return Ok(connection),
                Err(missed) => missed,
            },
            Some(connection) = &mut nearby => return Ok(connection),
        };
        if nearby.is_terminated() {
            return Err(missed);
        }
        timeout_at(begun + NEARBY, nearby).await.ok().flatten().ok_or(missed)
    }

    /// Connects by all addresses at once. The first to answer decides, so where that is not the host, each address
    /// is tried by itself: two machines may have the same one, such as docker's.
    async fn connect_known(&self, addr: &EndpointAddr) -> Result<Connection, Missed> {
        let deadline = Instant::now() + CONNECT_DEADLINE;
        let missed = match connect(&self.endpoint, addr, deadline, REFUSALS).await {
            Err(missed) if missed.was_answered() => missed,
            other => return other,
        };
        self.seen().turned_away = missed == Missed::TurnedAway;
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
        let (name, seen) = (target.short_name(), self.seen());
        if seen.asks {
            return DialError::Unproved { name };
        }
        if seen.turned_away {
            return DialError::TurnedAway { name };
        }
        DialError::NobodyHome { name, waited: since, obstacles: seen.obstacles.clone() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for what is in the way, once it takes long; stops when it is dropped.
    fn look_around(&self, addr: EndpointAddr) -> JoinSet<()> {
        let dialer = self.clone();
        *self.seen() = Seen::default();
        let mut looking = JoinSet::new();
        looking.spawn(async move {
            sleep(LONG).await;
            let obstacles = Obstacles::look(&dialer.endpoint, &dialer.network, &addr).await;
            dialer.seen().obstacles = obstacles;
        });
        looking
    }

    async fn explain(&self, target: &Target, missed: Missed) -> DialError {
        let name = target.short_name();
        let has_relays = target.addr().relay_urls().next().is_some();
        match missed {
            Missed::NoAddress if has_relays && self.network.relay == Relay::None => {
                DialError::RelaysOff { name }
            }
            Missed::NoAddress => match name_service_fault(&self.endpoint, &self.network).await {
                Some((service, fault)) => DialError::NoNameService { name, service, fault },
                None => DialError::NameNotFound {
                    name,
                    asked: self.network.dns != NameService::None,
                    nearby: self.network.lan,
                },
            },
            Missed::Silent => {
                self.seen().turned_away = false;
                self.so_far(target, CONNECT_DEADLINE)
            }
            Missed::TurnedAway => DialError::TurnedAway { name },
            Missed::WrongProtocol => DialError::WrongProtocol { name },
            Missed::WrongKey => DialError::WrongKey { name },
            Missed::Other(reason) => DialError::Other { name, reason },
        }
    }
}
