//! The hosts on this network that let us in.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use iroh::EndpointId;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{connection::SessionError, dial::Dialer, nearby::ANSWER};
use crate::{
    protocol::CloseCode,
    transport::lan::{Search, Told},
};

/// How long hosts have to announce themselves once they are asked to.
const LISTEN: Duration = Duration::from_millis(1500);

/// How long all of it takes at the most.
const LONGEST: Duration = Duration::from_secs(8);

/// Hosts that are asked, at the most, addresses of each, and how many at once.
const MOST: usize = 256;
const MOST_ADDRESSES: usize = 4;
const AT_ONCE: usize = 32;

/// A host on this network that lets us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name that it goes by, in its own words.
    pub name: String,
    /// Its endpoint id, which it has proved.
    pub id: EndpointId,
    /// Where it was reached.
    pub address: SocketAddr,
}

/// What was found on this network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Those that let us in, by name.
    pub hosts: Vec<Found>,
    /// How many do not.
    pub refused: usize,
    /// How many were announced and did not answer there, or not in time.
    pub silent: usize,
}

/// Nobody could be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// It is not wanted.
    #[error("hosts are not looked for on this network: `lan` is false\nset --lan true, or IROSH_LAN")]
    Off,
    /// No interface leads to such a network.
    #[error(
        "there is no network here on which all machines can be asked at once (multicast)\nuse a ticket: run `irosh ticket` on the host"
    )]
    NoNetwork,
}

/// How it stands with a host, what tells most about it last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Silent,
    Refused,
    LetIn { name: String, address: SocketAddr },
}

/// Looks for hosts on this network, and asks each whether it lets us in: so each is told who we are. Some seconds go by.
///
/// # Errors
///
/// [`DiscoverError`] where nobody could be asked.
pub async fn discover(dialer: &Dialer) -> Result<Discovered, DiscoverError> {
    let network = dialer.network();
    if !network.lan {
        return Err(DiscoverError::Off);
    }
    let mut search = Search::for_all(&network.bind);
    if search.ask().await.is_empty() {
        return Err(DiscoverError::NoNetwork);
    }
    let begun = Instant::now();
    let (mut heard, mut dials) = (Heard::default(), FuturesUnordered::new());
    let mut is_listening = true;
    while is_listening || !dials.is_empty() {
        while dials.len() < AT_ONCE
            && let Some((id, address)) = heard.next()
        {
            dials.push(ask(dialer, id, address));
        }
        tokio::select! {
            told = search.next(), if is_listening => heard.note(told),
            Some((id, outcome)) = dials.next() => heard.learn(id, outcome),
            () = sleep_until(begun + LISTEN), if is_listening => is_listening = false,
            () = sleep_until(begun + LONGEST) => break,
        }
    }
    Ok(heard.sum_up())
}

/// Whether a host lets us in.
async fn ask(dialer: &Dialer, id: EndpointId, address: SocketAddr) -> (EndpointId, Outcome) {
    let deadline = Instant::now() + ANSWER;
    let Some(host) = dialer.dial_at(id, address, deadline).await else { return (id, Outcome::Silent) };
    let outcome = match timeout_at(deadline, host.welcome()).await {
        Ok(Ok(welcome)) => Outcome::LetIn { name: welcome.host_name.clone(), address },
        Ok(Err(error)) if matches!(*error, SessionError::Refused(_)) => Outcome::Refused,
        _ => Outcome::Silent,
    };
    host.close(CloseCode::Done);
    (id, outcome)
}

/// Who was heard of.
#[derive(Default)]
struct Heard {
    hosts: BTreeMap<EndpointId, (Vec<SocketAddr>, Outcome)>,
    to_ask: VecDeque<(EndpointId, SocketAddr)>,
}

impl Heard {
    fn note(&mut self, told: Told) {
        if self.hosts.len() >= MOST && !self.hosts.contains_key(&told.id) {
            return;
        }
        let (addresses, _) = self.hosts.entry(told.id).or_insert((Vec::new(), Outcome::Silent));
        for address in told.addresses {
            if addresses.len() < MOST_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
                self.to_ask.push_back((told.id, address));
            }
        }
    }

    /// Whom to ask next, and where: nobody who has let us in.
    fn next(&mut self) -> Option<(EndpointId, SocketAddr)> {
        let hosts = &self.hosts;
        let is_in = |id: &EndpointId| matches!(hosts.get(id), Some((_, Outcome::LetIn { .. })));
        while self.to_ask.front().is_some_and(|(id, _)| is_in(id)) {
            self.to_ask.pop_front();
        }
        self.to_ask.pop_front()
    }

    fn learn(&mut self, id: EndpointId, outcome: Outcome) {
        if let Some((_, known)) = self.hosts.get_mut(&id)
            && outcome > *known
        {
            *known = outcome;
        }
    }

    fn sum_up(self) -> Discovered {
        let mut discovered = Discovered::default();
        for (id, (_, outcome)) in self.hosts {
            match outcome {
                Outcome::LetIn { name, address } => discovered.hosts.push(Found { name, id, address }),
                Outcome::Refused => discovered.refused += 1,
                Outcome::Silent => discovered.silent += 1,
            }
        }
        discovered.hosts.sort_by(|one, other| one.name.cmp(&other.name));
        discovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seed: u8) -> EndpointId {
        iroh::SecretKey::from_bytes(&[seed; 32]).public()
    }

    fn told(seed: u8, last: u8) -> Told {
        Told { id: id(seed), addresses: vec![([192, 168, 1, last], 4433).into()] }
    }

    #[test]
    fn who_lies_about_a_host_does_not_hide_it() {
        let mut heard = Heard::default();
        heard.note(told(1, 66));
        heard.note(told(1, 66));
        heard.note(told(1, 5));
        let asked: Vec<_> = std::iter::from_fn(|| heard.next()).map(|(_, address)| address).collect();
        assert_eq!(asked, [told(1, 66).addresses[0], told(1, 5).addresses[0]]);
        heard.learn(id(1), Outcome::LetIn { name: "box".into(), address: asked[1] });
        heard.learn(id(1), Outcome::Silent);
        heard.note(told(1, 7));
        assert_eq!(heard.next(), None, "it has let us in");
        let found = Found { name: "box".into(), id: id(1), address: asked[1] };
        assert_eq!(heard.sum_up(), Discovered { hosts: vec![found], refused: 0, silent: 0 });
    }

    #[test]
    fn no_more_are_asked_than_may_be() {
        let mut heard = Heard::default();
        for number in 0..2000_u32 {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&number.to_le_bytes());
            let id = iroh::SecretKey::from_bytes(&seed).public();
            for last in 0..20 {
                heard.note(Told { id, ..told(1, last) });
            }
        }
        assert_eq!(std::iter::from_fn(|| heard.next()).count(), MOST * MOST_ADDRESSES);
        assert_eq!(heard.sum_up().silent, MOST);
    }
}
