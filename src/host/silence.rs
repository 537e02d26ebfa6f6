//! Peers that do not answer any more: the router before this host may have forgotten it, and the way from its relay.
//!
//! Nobody can tell the host so, since nothing comes in: it has to say something to the relay to find out. iroh does so
//! every 15 s.

use std::{collections::HashMap, time::Duration};

use iroh::{Endpoint, EndpointAddr, RelayUrl, SecretKey};
use tokio::time::{Instant, sleep, timeout};

use super::registry::Registry;
use crate::transport::{ALPN, pulse};

/// How long something may stay unanswered. Less than a client waits until it dials, so that the relay leads here again
/// by then.
const SILENCE: Duration = Duration::from_millis(500);

/// How long before the relay is spoken to once more.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of peers.
#[derive(Debug, Default)]
pub(super) struct Silence {
    pulses: HashMap<usize, pulse::Pulse>,
    last: Option<Instant>,
}

impl Silence {
    /// Resolves when a peer has stopped to answer. Cancel safe.
    pub(super) async fn falls(&mut self, registry: &Registry) {
        loop {
            sleep(pulse::LOOK).await;
            let now = Instant::now();
            let heard = std::mem::take(&mut self.pulses);
            let mut silent = false;
            self.pulses = registry.look_at(|connection| {
                let id = connection.stable_id();
                let mut pulse = heard.get(&id).copied().unwrap_or_else(|| pulse::Pulse::of(connection));
                silent |= pulse.is_silent(connection, now, SILENCE);
                (id, pulse)
            });
            if silent && self.last.is_none_or(|last| now - last >= AGAIN) {
                self.last = Some(now);
                return;
            }
        }
    }
}

/// Sends something by a relay: where the connection to it leads nowhere, it is made anew then.
pub(super) async fn speak_to(endpoint: Endpoint, relay: RelayUrl) {
    let nobody = EndpointAddr::new(SecretKey::generate().public()).with_relay_url(relay);
    let _ = timeout(pulse::LOOK, endpoint.connect(nobody, ALPN)).await;
}
