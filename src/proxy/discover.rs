//! The hosts on this network that let us in.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use iroh::{EndpointAddr, EndpointId};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{dial::Dialer, nearby::ANSWER, session_error::SessionError};
use crate::{
    protocol::CloseCode,
    transport::{
        lan::{Search, Told},
        path_of,
    },
};

/// How long hosts have to announce themselves once they are asked to.
const LISTEN: Duration = Duration::from_millis(1500);

/// How long all of it takes at the most; and where somebody has to confirm each proof.
const LONGEST: Duration = Duration::from_secs(8);
const LONGEST_CONFIRMED: Duration = Duration::from_secs(120);

/// How long somebody may take to confirm a proof. A host does not wait for longer.
const CONFIRM: Duration = Duration::from_secs(15);

/// Hosts that are asked, at the most, addresses of each, and how many at once.
const MOST: usize = 256;
const MOST_ADDRESSES: usize = 8;
const AT_ONCE: usize = 32;

/// How long a host has to answer where it was told to be first, before it is asked where else it was told to be: one of
/// them may be a lie.
const ELSEWHERE: Duration = Duration::from_millis(300);

/// Whether hosts are told who we are, so that they say whether they let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proofs {
    /// Where nobody is asked to confirm it or to touch a key, which it would be for each of them.
    IfNobodyIsAsked,
    /// One after the other, where somebody is.
    Always,
}

/// A host on this network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name that it goes by, in its own words, where it lets us in. It was not asked where there is none.
    pub name: Option<String>,
    /// Its endpoint id, which it has proved.
    pub id: EndpointId,
    /// Where it was reached.
    pub address: SocketAddr,
}

/// What was found on this network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Those that let us in, by name, and before them those that were not asked.
    pub hosts: Vec<Found>,
    /// How many do not.
    pub refused: usize,
    /// How many were announced and did not answer there, or not in time.
    pub silent: usize,
}

/// Nobody could be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// It is there, and does not know who we are.
    There {
        address: SocketAddr,
    },
    Refused,
    LetIn {
        name: String,
        address: SocketAddr,
    },
}

/// Looks for hosts on this network, and asks each whether it lets us in: so each is told who we are. Some seconds go by,
/// or two minutes where somebody has to confirm it for each.
///
/// # Errors
///
/// [`DiscoverError`] where nobody could be asked.
pub async fn discover(dialer: &Dialer, proofs: Proofs) -> Result<Discovered, DiscoverError> {
    let network = dialer.network();
    if !network.lan {
        return Err(DiscoverError::Off);
    }
    let mut search = Search::for_all(&network.bind);
    if search.ask().await.is_empty() {
        return Err(DiscoverError::NoNetwork);
    }
    let questioner = Questioner::new(dialer, proofs);
    let begun = Instant::now();
    let (mut heard, mut dials) = (Heard::default(), FuturesUnordered::new());
    let mut is_listening = true;
    loop {
        while dials.len() < questioner.at_once
            && let Some((id, addresses)) = heard.next(Instant::now())
        {
            dials.push(questioner.ask(id, addresses));
        }
        if !is_listening && dials.is_empty() && heard.to_ask.is_empty() {
            break;
        }
        let again = Instant::now() + ELSEWHERE / 4;
        tokio::select! {
            told = search.next(), if is_listening => heard.note(told),
            Some((id, outcome)) = dials.next() => heard.learn(id, outcome),
            () = sleep_until(begun + LISTEN), if is_listening => is_listening = false,
            () = sleep_until(again), if !heard.to_ask.is_empty() => {}
            () = sleep_until(begun + questioner.longest) => break,
        }
    }
    Ok(heard.sum_up())
}

/// How hosts are asked.
struct Questioner<'a> {
    dialer: &'a Dialer,
    /// Whether they are told who we are.
    proves: bool,
    at_once: usize,
    /// How long one may take, and all of them.
    each: Duration,
    longest: Duration,
}

impl<'a> Questioner<'a> {
    fn new(dialer: &'a Dialer, proofs: Proofs) -> Self {
        match (dialer.credentials().may_ask(), proofs) {
            (false, _) => Self { dialer, proves: true, at_once: AT_ONCE, each: ANSWER, longest: LONGEST },
            (true, Proofs::IfNobodyIsAsked) => {
                Self { dialer, proves: false, at_once: AT_ONCE, each: ANSWER, longest: LONGEST }
            }
            (true, Proofs::Always) => {
                Self { dialer, proves: true, at_once: 1, each: CONFIRM, longest: LONGEST_CONFIRMED }
            }
        }
    }

    /// Whether a host lets us in, or is there at all.
    async fn ask(&self, id: EndpointId, addresses: Vec<SocketAddr>) -> (EndpointId, Outcome) {
        let addr = addresses.into_iter().fold(EndpointAddr::new(id), EndpointAddr::with_ip_addr);
        (id, self.outcome(addr).await.unwrap_or(Outcome::Silent))
    }

    async fn outcome(&self, addr: EndpointAddr) -> Option<Outcome> {
        let connection = self.dialer.reach_there(addr.clone(), Instant::now() + ANSWER).await?;
        let used = path_of(&connection).and_then(|path| path.address.parse().ok());
        let address = used.or_else(|| addr.ip_addrs().next().copied())?;
        if !self.proves {
            connection.close(CloseCode::Done.into(), b"");
            return Some(Outcome::There { address });
        }
        let deadline = Instant::now() + self.each;
        let host = timeout_at(deadline, self.dialer.greet(connection, addr)).await.ok()?;
        let outcome = match timeout_at(deadline, host.welcome()).await {
            Ok(Ok(welcome)) => Outcome::LetIn { name: welcome.host_name.clone(), address },
            Ok(Err(error)) => match *error {
                SessionError::Refused(_) => Outcome::Refused,
                SessionError::Unproved(_) => Outcome::There { address },
                _ => Outcome::Silent,
            },
            Err(_) => Outcome::There { address },
        };
        host.close(CloseCode::Done);
        Some(outcome)
    }
}

/// Who was heard of.
#[derive(Default)]
struct Heard {
    hosts: BTreeMap<EndpointId, Known>,
    /// Where hosts were told to be, by each who has told so.
    to_ask: VecDeque<(EndpointId, Vec<SocketAddr>)>,
}

/// What is known of a host.
struct Known {
    addresses: Vec<SocketAddr>,
    outcome: Outcome,
    /// Since when it has not answered where it was told to be.
    asked: Option<Instant>,
}

impl Known {
    /// Whether to ask it where else it was told to be.
    fn is_to_be_asked(&self, now: Instant) -> bool {
        self.outcome == Outcome::Silent && self.asked.is_none_or(|asked| now - asked >= ELSEWHERE)
    }
}

impl Heard {
    fn note(&mut self, told: Told) {
        if self.hosts.len() >= MOST && !self.hosts.contains_key(&told.id) {
            return;
        }
        let known = self.hosts.entry(told.id).or_insert_with(|| Known {
            addresses: Vec::new(),
            outcome: Outcome::Silent,
            asked: None,
        });
        let is_new = |address: &SocketAddr| !known.addresses.contains(address);
        let mut new: Vec<_> = told.addresses.into_iter().filter(is_new).collect();
        new.truncate(MOST_ADDRESSES - known.addresses.len());
        known.addresses.extend(&new);
        if !new.is_empty() {
            self.to_ask.push_back((told.id, new));
        }
    }

    /// Whom to ask next, and where: nobody who has answered.
    fn next(&mut self, now: Instant) -> Option<(EndpointId, Vec<SocketAddr>)> {
        let hosts = &mut self.hosts;
        self.to_ask.retain(|(id, _)| hosts.get(id).is_some_and(|known| known.outcome == Outcome::Silent));
        let is_next =
            |(id, _): &(EndpointId, _)| hosts.get(id).is_some_and(|known| known.is_to_be_asked(now));
        let place = self.to_ask.iter().position(is_next)?;
        let (id, addresses) = self.to_ask.remove(place)?;
        hosts.get_mut(&id)?.asked = Some(now);
        Some((id, addresses))
    }

    fn learn(&mut self, id: EndpointId, outcome: Outcome) {
        if let Some(known) = self.hosts.get_mut(&id) {
            known.asked = None;
            known.outcome = outcome.max(known.outcome.clone());
        }
    }

    fn sum_up(self) -> Discovered {
        let mut discovered = Discovered::default();
        for (id, known) in self.hosts {
            match known.outcome {
                Outcome::LetIn { name, address } => {
                    discovered.hosts.push(Found { name: Some(name), id, address });
                }
                Outcome::There { address } => discovered.hosts.push(Found { name: None, id, address }),
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
        let (mut heard, now) = (Heard::default(), Instant::now());
        heard.note(told(1, 66));
        heard.note(told(1, 66));
        heard.note(told(1, 5));
        let next = |heard: &mut Heard, at| heard.next(at).map(|(_, addresses)| addresses);
        assert_eq!(next(&mut heard, now), Some(told(1, 66).addresses));
        assert_eq!(next(&mut heard, now), None, "it may answer there");
        assert_eq!(next(&mut heard, now + ELSEWHERE), Some(told(1, 5).addresses));
        let address = told(1, 5).addresses[0];
        heard.learn(id(1), Outcome::LetIn { name: "box".into(), address });
        heard.learn(id(1), Outcome::Silent);
        heard.note(told(1, 7));
        assert_eq!(next(&mut heard, now + LONGEST), None, "it has let us in");
        let found = Found { name: Some("box".into()), id: id(1), address };
        assert_eq!(heard.sum_up(), Discovered { hosts: vec![found], refused: 0, silent: 0 });
    }

    #[test]
    fn a_host_is_asked_once_at_all_addresses_that_it_tells() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        let both = Told { addresses: [told(1, 5).addresses, told(1, 6).addresses].concat(), ..told(1, 5) };
        // On each family's network.
        heard.note(both.clone());
        heard.note(both.clone());
        assert_eq!(heard.next(now), Some((id(1), both.addresses)));
        heard.learn(id(1), Outcome::Refused);
        heard.note(told(1, 7));
        assert_eq!(heard.next(now + LONGEST), None);
    }

    #[test]
    fn no_more_are_asked_than_may_be() {
        let (mut heard, mut now) = (Heard::default(), Instant::now());
        for number in 0..2000_u32 {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&number.to_le_bytes());
            let id = iroh::SecretKey::from_bytes(&seed).public();
            for last in 0..20 {
                heard.note(Told { id, ..told(1, last) });
            }
        }
        let mut asked = 0;
        for _ in 0..MOST_ADDRESSES {
            asked += std::iter::from_fn(|| heard.next(now)).count();
            now += ELSEWHERE;
        }
        assert_eq!(asked, MOST * MOST_ADDRESSES);
        assert_eq!(heard.next(now), None);
        assert_eq!(heard.sum_up().silent, MOST);
    }
}
