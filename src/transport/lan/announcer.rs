//! Telling who asks on this network where a host is.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use iroh::{Endpoint, EndpointId};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{
    interfaces::{self, Interface},
    pace::Pace,
    packet::{Asked, LARGEST, announcement},
    sockets::Sockets,
};
use crate::random::random;

/// The shortest time between two announcements on a network: who asks meanwhile hears the next one.
const SHORTEST: Duration = Duration::from_millis(100);

/// How long an answer waits at the most where all hosts are asked at once (RFC 6762 section 6).
const TOGETHER: Duration = Duration::from_millis(120);

/// When a host announces itself unasked, after it has come to a network (RFC 6762 section 8.3).
const UNASKED: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];

/// How often it is looked whether it has come to another network.
const LOOK: Duration = Duration::from_secs(2);

/// Announces an endpoint on the networks that it is bound to until the handle is dropped, to who looks for it by this
/// key: its own id, by which it is listed too, or another one, by which it is not. Has to be called within a runtime.
pub(crate) fn announce(endpoint: &Endpoint, key: EndpointId) -> AbortOnDropHandle<()> {
    let (id, endpoint) = (endpoint.id(), endpoint.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        while !endpoint.is_closed() {
            let bound = endpoint.bound_sockets();
            let interfaces = interfaces::look(&bound);
            Announcer::new(key, id, &bound, &interfaces).run(&bound, &interfaces).await;
        }
    }))
}

/// Whether there is a network on which an endpoint could be announced.
pub(crate) fn is_heard(endpoint: &Endpoint) -> bool {
    !interfaces::look(&endpoint.bound_sockets()).is_empty()
}

/// Somebody who answers on some networks.
struct Announcer {
    key: EndpointId,
    sockets: Sockets,
    /// What is said on the network of each socket.
    packets: Vec<Vec<u8>>,
    calendars: Vec<Calendar>,
    pace: Pace,
}

/// When there is something to be said on a network.
struct Calendar {
    said: Option<Instant>,
    /// In order, the next one first.
    unasked: Vec<Instant>,
    asked: Option<Instant>,
}

impl Announcer {
    fn new(key: EndpointId, id: EndpointId, bound: &[SocketAddr], interfaces: &[Interface]) -> Self {
        let (sockets, now) = (Sockets::open(interfaces), Instant::now());
        let each = || 0..sockets.len();
        let packets = each().map(|nth| announcement(&key, &id, &addresses(bound, sockets.interface(nth))));
        let calendars = each().map(|_| Calendar::new(now));
        Self { key, packets: packets.collect(), calendars: calendars.collect(), pace: Pace::new(), sockets }
    }

    /// Answers until there are other networks than these.
    async fn run(mut self, bound: &[SocketAddr], interfaces: &[Interface]) {
        let mut buffer = [0; LARGEST];
        let mut look_at = Instant::now() + LOOK;
        loop {
            let next = self.calendars.iter().filter_map(Calendar::next).min();
            let heard = async {
                self.pace.wait().await;
                self.sockets.hear(&mut buffer).await
            };
            tokio::select! {
                (nth, length) = heard => {
                    self.pace.has_read();
                    self.answer(nth, &buffer[..length]);
                }
                () = sleep_until(next.map_or(look_at, |next| next.min(look_at))) => {
                    // Nobody is told of an address that is no more. What is due is said on the new networks.
                    if interfaces::look(bound) != interfaces {
                        return;
                    }
                    look_at = Instant::now() + LOOK;
                    self.speak().await;
                }
            }
        }
    }

    /// Notes what is to be said to what was heard.
    fn answer(&mut self, nth: usize, packet: &[u8]) {
        for asked in Asked::read(packet) {
            let wait = match asked {
                Asked::All => TOGETHER.mul_f32(f32::from(random::<1>()[0]) / 255.0),
                _ if asked.is_for(&self.key) => Duration::ZERO,
                Asked::One(_) => continue,
            };
            self.calendars[nth].ask(Instant::now() + wait);
        }
    }

    /// Says what is due.
    async fn speak(&mut self) {
        let now = Instant::now();
        for (nth, calendar) in self.calendars.iter_mut().enumerate() {
            if calendar.next().is_some_and(|due| due <= now) {
                calendar.speaks(now);
                self.sockets.say(nth, &self.packets[nth]).await;
            }
        }
    }
}

impl Calendar {
    fn new(now: Instant) -> Self {
        Self { said: None, unasked: UNASKED.map(|wait| now + wait).into(), asked: None }
    }

    fn next(&self) -> Option<Instant> {
        let due = self.unasked.first().into_iter().chain(&self.asked).min().copied()?;
        Some(self.said.map_or(due, |said| due.max(said + SHORTEST)))
    }

    fn ask(&mut self, at: Instant) {
        self.asked = Some(self.asked.map_or(at, |asked| asked.min(at)));
    }

    fn speaks(&mut self, now: Instant) {
        self.unasked.retain(|due| *due > now);
        self.asked = self.asked.filter(|due| *due > now);
        self.said = Some(now);
    }
}

/// The addresses of an endpoint that is bound so on an interface.
fn addresses(bound: &[SocketAddr], interface: &Interface) -> Vec<SocketAddr> {
    let port = |address: IpAddr| {
        let leads_there = |bound: &&SocketAddr| {
            let any = bound.ip().is_unspecified() && bound.is_ipv4() == address.is_ipv4();
            bound.ip() == address || any
        };
        bound.iter().find(leads_there).map(SocketAddr::port)
    };
    let own = interface.networks.iter().map(|network| network.address);
    own.filter_map(|address| Some(SocketAddr::new(address, port(address)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::lan::interfaces::tests::network;

    #[test]
    fn each_address_is_told_with_the_port_of_its_family() {
        let networks = vec![network("192.168.1.5/24"), network("fd77::5/64")];
        let interface = Interface { name: "eth0".into(), index: 2, networks };
        let told = |bound: &[&str]| {
            let bound: Vec<_> = bound.iter().map(|text| text.parse().expect("an address")).collect();
            addresses(&bound, &interface).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&["0.0.0.0:1", "[::]:2"]), ["192.168.1.5:1", "[fd77::5]:2"]);
        assert_eq!(told(&["0.0.0.0:1"]), ["192.168.1.5:1"]);
        assert_eq!(told(&["192.168.1.5:3"]), ["192.168.1.5:3"]);
        assert_eq!(told(&["192.168.1.6:3"]), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_questions_get_one_answer_at_once_and_one_a_while_later() {
        let begun = Instant::now();
        let mut calendar = Calendar { said: None, unasked: Vec::new(), asked: None };
        assert_eq!(calendar.next(), None);
        let mut answers = Vec::new();
        for _ in 0..1000 {
            calendar.ask(Instant::now());
            if calendar.next().is_some_and(|due| due <= Instant::now()) {
                calendar.speaks(Instant::now());
                answers.push(begun.elapsed());
            }
            tokio::time::advance(SHORTEST / 500).await;
        }
        assert_eq!(answers, [Duration::ZERO, SHORTEST]);
        assert_eq!(calendar.next(), Some(begun + SHORTEST * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_to_a_network_says_so_twice() {
        let begun = Instant::now();
        let mut calendar = Calendar::new(begun);
        for wait in UNASKED {
            let due = calendar.next().expect("something to say");
            assert_eq!(due - begun, wait);
            calendar.speaks(due);
        }
        assert_eq!(calendar.next(), None);
    }
}
