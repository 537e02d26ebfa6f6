//! Where a host is, for the tickets that are given out, and what becomes of its relay, for the log.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use iroh::{Endpoint, EndpointAddr, RelayConfig, RelayUrl, Watcher, endpoint::RelayStatus};
use iroh_tickets::endpoint::EndpointTicket;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    access::Access,
    event::Event,
    presence::Presence,
    shared::Shared,
    silence::{Silence, speak_to},
};
use crate::transport::{Interfaces, Network, Relay, few_addresses, relay_fault};

/// How long the first ticket waits for a relay before it is printed without one.
const RELAY_WAIT: Duration = Duration::from_secs(3);

/// How long the first ticket waits for an address where there are no relays.
const ADDRESS_WAIT: Duration = Duration::from_millis(500);

/// How long it waits for a first word of the SSH server, to say whether it has one.
const SERVER_WAIT: Duration = Duration::from_secs(2);

/// How long it may take until there is a relay at first.
const FIRST: Duration = Duration::from_secs(5);

/// How long a relay may be gone before another one is looked for.
const GONE: Duration = Duration::from_secs(2);

/// How long a relay that is gone is out of the choice: long enough for another to be chosen.
const OUT: Duration = Duration::from_secs(10);

/// After how long it is looked into again that there is no relay.
const AGAIN: Duration = Duration::from_secs(30);

/// Tells others where the host is.
pub(super) struct Announcer {
    endpoint: Endpoint,
    presence: Arc<Presence>,
    network: Network,
    shared: Arc<Shared>,
}

impl Announcer {
    pub(super) fn new(endpoint: Endpoint, presence: Presence, network: Network, shared: Arc<Shared>) -> Self {
        Self { endpoint, presence: Arc::new(presence), network, shared }
    }

    /// Says that the host is ready, and notes its address now and whenever it changes.
    pub(super) async fn run(self) {
        let mut addrs = self.endpoint.watch_addr();
        let mut statuses = self.endpoint.home_relay_status();
        let mut access = self.shared.admission.access();
        let mut home = Home::new(Instant::now());
        let mut silence = Silence::default();
        let (problem, ()) =
            tokio::join!(self.shared.host_keys.problem(SERVER_WAIT), self.wait_for_an_address());
        let open_to = *access.borrow_and_update();
        let addr = self.note(&addrs.get(), open_to).await;
        self.shared.audit.event(Event::Ready {
            endpoint_id: addr.id.to_string(),
            ticket: EndpointTicket::new(addr).to_string(),
            backend: self.shared.backend.to_string(),
            pid: std::process::id(),
            problem,
        });
        home.look(&statuses.get());
        loop {
            let gone = home.gone.filter(|_| self.network.relay != Relay::None);
            tokio::select! {
                updated = addrs.updated() => if updated.is_err() { return },
                changed = access.changed() => if changed.is_err() { return },
                changed = statuses.updated() => match changed {
                    Ok(statuses) => {
                        home.look(&statuses);
                        continue;
                    }
                    Err(_) => return,
                },
                () = silence.falls(&self.shared.registry), if home.gone.is_none() => {
                    if let Some(relay) = home.url.clone() {
                        tokio::spawn(speak_to(self.endpoint.clone(), relay));
                    }
                    continue;
                }
                () = sleep_until(gone.unwrap_or_else(Instant::now)), if gone.is_some() => {
                    self.look_for_another(&mut home).await;
                    continue;
                }
            }
            let open_to = *access.borrow_and_update();
            self.note(&addrs.get(), open_to).await;
        }
    }

    /// Waits until the address is one that is worth telling.
    async fn wait_for_an_address(&self) {
        let mut addrs = self.endpoint.watch_addr();
        let relays = self.network.relay != Relay::None;
        let complete = |addr: &EndpointAddr| {
            if relays { addr.relay_urls().next().is_some() } else { addr.ip_addrs().next().is_some() }
        };
        let completed = async {
            while !complete(&addrs.get()) {
                if addrs.updated().await.is_err() {
                    return;
                }
            }
        };
        let wait = if relays { RELAY_WAIT } else { ADDRESS_WAIT };
        let _ = timeout(wait, completed).await;
    }

    /// Notes an address as tickets tell it.
    async fn note(&self, addr: &EndpointAddr, access: Access) -> EndpointAddr {
        let relays: &[RelayUrl] = match &self.network.relay {
            Relay::Urls(urls) => urls,
            Relay::Default | Relay::None => &[],
        };
        let told = few_addresses(addr, relays, &Interfaces::look().await);
        if told.is_empty() {
            tracing::warn!("no address of this machine is known, so tickets have none: is it on a network?");
        }
        self.shared.addr.send_replace(Some(told.clone()));
        let (presence, noted) = (self.presence.clone(), told.clone());
        let noting = tokio::task::spawn_blocking(move || presence.announce(&noted, access)).await;
        if let Err(error) = noting.unwrap_or_else(|failed| Err(failed.into())) {
            tracing::warn!("cannot note for other commands where the host is: {error}");
        }
        told
    }

    /// The relay is gone: says why, and has the endpoint choose another.
    ///
    /// iroh stays for most of a minute with a relay that is gone. When it is taken out of the choice, another is
    /// chosen at once.
    async fn look_for_another(&self, home: &mut Home) {
        home.gone = Some(Instant::now() + AGAIN);
        for (url, fault) in self.faults().await {
            if home.tell(&url, &fault) {
                tracing::warn!("the relay {url} cannot be used: {fault}");
            }
        }
        if let (Relay::Urls(urls), Some(gone)) = (&self.network.relay, &home.url)
            && urls.len() > 1
            && let Some(config) = self.endpoint.remove_relay(gone).await
        {
            tokio::spawn(take_again(self.endpoint.clone(), config));
        }
    }

    /// What is wrong with the relays.
    async fn faults(&self) -> Vec<(RelayUrl, String)> {
        let asked = self.network.relay.urls().into_iter().map(|url| async move {
            let fault = relay_fault(&self.endpoint, &self.network, &url).await;
            fault.map(|fault| (url, fault))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Lets the endpoint choose a relay again later.
async fn take_again(endpoint: Endpoint, config: Arc<RelayConfig>) {
    tokio::select! {
        () = tokio::time::sleep(OUT) => drop(endpoint.insert_relay(config.url.clone(), config).await),
        () = endpoint.closed() => {}
    }
}

/// The relay that leads to the host.
#[derive(Debug)]
struct Home {
    /// The last one that was connected, or that is meant to be.
    url: Option<RelayUrl>,
    /// The last one that was logged.
    logged: Option<RelayUrl>,
    /// When to look into there being none.
    gone: Option<Instant>,
    /// What has been said of the relays since.
    told: Vec<(RelayUrl, String)>,
}

impl Home {
    fn new(now: Instant) -> Self {
        Self { url: None, logged: None, gone: Some(now + FIRST), told: Vec::new() }
    }

    /// Whether this is news.
    fn tell(&mut self, url: &RelayUrl, fault: &str) -> bool {
        let news = (url.clone(), fault.to_owned());
        let is_news = !self.told.contains(&news);
        if is_news {
            self.told.push(news);
        }
        is_news
    }

    /// Logs a relay that is taken into use.
    fn look(&mut self, statuses: &[RelayStatus]) {
        let connected = statuses.iter().find(|status| status.is_connected());
        self.url = connected.or_else(|| statuses.first()).map(|status| status.url().clone());
        if connected.is_none() {
            self.gone = self.gone.or_else(|| Some(Instant::now() + GONE));
            return;
        }
        self.gone = None;
        let (told, before) = (!std::mem::take(&mut self.told).is_empty(), self.logged.clone());
        match (self.url.as_ref(), before) {
            (Some(url), None) => tracing::info!("the relay is {url}"),
            (Some(url), Some(before)) if *url != before => {
                tracing::info!("the relay is {url} now, and was {before}")
            }
            (Some(url), Some(_)) if told => tracing::info!("the relay {url} is back"),
            _ => {}
        }
        self.logged.clone_from(&self.url);
    }
}
