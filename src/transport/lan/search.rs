//! Looking for hosts on this network.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use iroh::EndpointId;
use tokio::time::{Instant, sleep_until};

use super::{
    interfaces::{self, Interface},
    pace::Pace,
    packet::{Asked, LARGEST, Told},
    sockets::Sockets,
};
use crate::{random::random, transport::settings::Bind};

/// After how long it is asked again; twice as long each time, and no longer than this. A network without wires loses some
/// of what is said to all on it.
const AGAIN: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(30);

/// How often it is looked whether this machine is on another network by now, where it is asked at once.
const LOOK: Duration = Duration::from_secs(1);

/// Somebody who asks where a host is, or which there are, for as long as it is waited for an answer. Nothing is kept of
/// what is heard.
#[derive(Debug)]
pub(crate) struct Search {
    wanted: Option<EndpointId>,
    bound: Vec<SocketAddr>,
    interfaces: Vec<Interface>,
    sockets: Sockets,
    ask_at: Instant,
    pause: Duration,
    look_at: Instant,
    pace: Pace,
    /// Of the last packet.
    told: VecDeque<Told>,
}

impl Search {
    /// Asks for the host that is looked for by this key, from an endpoint that is bound so. Has to be called within a
    /// runtime.
    pub(crate) fn for_one(key: EndpointId, bind: &Bind) -> Self {
        Self::new(Some(key), bind)
    }

    /// Asks for all hosts.
    pub(crate) fn for_all(bind: &Bind) -> Self {
        Self::new(None, bind)
    }

    fn new(wanted: Option<EndpointId>, bind: &Bind) -> Self {
        let bound = bind.or_any();
        let interfaces = interfaces::look(&bound);
        let (sockets, now) = (Sockets::open(&interfaces), Instant::now());
        Self {
            wanted,
            bound,
            interfaces,
            sockets,
            ask_at: now,
            pause: AGAIN,
            look_at: now + LOOK,
            pace: Pace::new(),
            told: VecDeque::new(),
        }
    }

    /// Asks on each network, and says on which of them that was possible; [`Self::next`] asks again in time.
    pub(crate) async fn ask(&mut self) -> Vec<String> {
        let question = match &self.wanted {
            Some(key) => Asked::for_one(key, random()),
            None => Asked::All,
        };
        let packet = question.packet();
        let mut asked = Vec::new();
        for nth in 0..self.sockets.len() {
            if self.sockets.say(nth, &packet).await {
                asked.push(self.sockets.interface(nth).name.clone());
            }
        }
        asked.dedup();
        self.ask_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(SELDOM);
        asked
    }

    /// What somebody says next; nobody else than the host can prove it. Cancel safe.
    pub(crate) async fn next(&mut self) -> Told {
        let mut buffer = [0; LARGEST];
        loop {
            if let Some(told) = self.told.pop_front() {
                return told;
            }
            let heard = async {
                self.pace.wait().await;
                self.sockets.hear(&mut buffer).await
            };
            tokio::select! {
                (nth, length) = heard => {
                    self.pace.has_read();
                    self.take(nth, &buffer[..length]);
                }
                () = sleep_until(self.ask_at) => drop(self.ask().await),
                () = sleep_until(self.look_at) => self.look(),
            }
        }
    }

    /// Takes what a packet tells of addresses on the network that it was heard on: somebody who lies is not to have us
    /// send packets elsewhere.
    fn take(&mut self, nth: usize, packet: &[u8]) {
        let interface = self.sockets.interface(nth);
        for mut told in Told::read(packet, self.wanted.as_ref()) {
            told.addresses.retain(|address| interface.leads_to(address.ip()));
            if !told.addresses.is_empty() {
                self.told.push_back(told);
            }
        }
    }

    fn look(&mut self) {
        self.look_at = Instant::now() + LOOK;
        let now = interfaces::look(&self.bound);
        if now != self.interfaces {
            self.sockets = Sockets::open(&now);
            self.interfaces = now;
            (self.ask_at, self.pause) = (Instant::now(), AGAIN);
        }
    }
}
