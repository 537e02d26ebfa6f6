//! Places for those who have not shown yet who they are, counted by where they come from: pure rules over
//! counts and times.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use iroh::{EndpointId, endpoint::IncomingAddr};

use super::limits::{MaxStartups, Penalties};

/// Where a connection comes from, as far as somebody there can be held responsible.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Origin {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The network of an IPv6 address, its first 64 bits: who has one address has them all.
    V6(u64),
    /// A process that a relay server knows by this key.
    Relayed(EndpointId),
    /// Any other way.
    Other,
}

impl Origin {
    pub(super) fn of(addr: &IncomingAddr) -> Self {
        match addr {
            IncomingAddr::Ip(addr) => Self::of_ip(addr.ip()),
            IncomingAddr::Relay { endpoint_id, .. } => Self::Relayed(*endpoint_id),
            _ => Self::Other,
        }
    }

    fn of_ip(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => Self::V4(addr),
            IpAddr::V6(addr) => Self::V6((addr.to_bits() >> 64) as u64),
        }
    }

    /// Loopback is where everybody behind an administrator's experiments comes from.
    fn is_loopback(&self) -> bool {
        matches!(self, Self::V4(addr) if addr.is_loopback()) || *self == Self::V6(0)
    }

    fn is_relayed(&self) -> bool {
        matches!(self, Self::Relayed(_))
    }
}

/// As people tell sources apart: keys that a relay knows are anybody's to make.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(addr) => addr.fmt(f),
            Self::V6(network) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*network) << 64)),
            Self::Relayed(_) => f.write_str("relays"),
            Self::Other => f.write_str("elsewhere"),
        }
    }
}

/// What becomes of a connection before anything is spent on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is turned away.
    Refuse,
    /// It has to prove first that its address is its own.
    Prove,
    /// It has a place, which [`Newcomers::leave`] gives back.
    Take,
}

/// How many may be on their way in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// Of all that come directly, and as many of those that relays pass on.
    pub(super) in_all: MaxStartups,
    /// Of one origin.
    pub(super) per_source: u32,
}

/// Who is on the way in, and which origins have failed of late.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    direct: u32,
    relayed: u32,
    of: HashMap<Origin, u32>,
    penalties: Penalties<Origin>,
}

impl Newcomers {
    /// Places of one address of which nobody knows whether it is the sender's: another's places are not
    /// taken up by forged packets.
    const UNPROVED: u32 = 4;

    /// What a source is left that has failed again and again, or is a single process, as part of
    /// [`Places::per_source`]: others may come from the same address, and can still show who they are.
    const REDUCED: u32 = 8;

    /// Decides about a connection; `proved` is whether its address is known to be its own, `dice` is from
    /// 0 to 99.
    pub(super) fn judge(
        &mut self,
        origin: &Origin,
        proved: bool,
        places: Places,
        dice: u32,
        now: Instant,
    ) -> Verdict {
        let in_all = if origin.is_relayed() { self.relayed } else { self.direct };
        if places.in_all.drops(in_all, dice) {
            return Verdict::Refuse;
        }
        let of_it = self.of.get(origin).copied().unwrap_or_default();
        let penalized = self.is_penalized(origin, now);
        if !proved && (in_all >= places.in_all.start / 2 || of_it >= Self::UNPROVED || penalized) {
            return Verdict::Prove;
        }
        let reduced = penalized || origin.is_relayed();
        let most = if reduced { (places.per_source / Self::REDUCED).max(1) } else { places.per_source };
        if of_it >= most {
            return Verdict::Refuse;
        }
        *self.of.entry(origin.clone()).or_default() += 1;
        *self.pool(origin) += 1;
        Verdict::Take
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, origin: &Origin) {
        *self.pool(origin) -= 1;
        if let Some(count) = self.of.get_mut(origin) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(origin);
            }
        }
    }

    /// Holds a failure against an origin.
    pub(super) fn punish(&mut self, origin: &Origin, penalty: Duration, now: Instant) {
        if !origin.is_loopback() && !penalty.is_zero() {
            self.penalties.punish(origin.clone(), penalty, now);
        }
    }

    /// Whether an origin has failed again and again.
    pub(super) fn is_penalized(&mut self, origin: &Origin, now: Instant) -> bool {
        self.penalties.turned_away(origin, now).is_some()
    }

    fn pool(&mut self, origin: &Origin) -> &mut u32 {
        if origin.is_relayed() { &mut self.relayed } else { &mut self.direct }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { in_all: MaxStartups { start: 10, rate: 30, full: 20 }, per_source: 8 };
    const LATE: u32 = 99;

    fn v4(last: u8) -> Origin {
        Origin::of_ip(IpAddr::from([192, 0, 2, last]))
    }

    fn v6(text: &str) -> Origin {
        Origin::of_ip(text.parse().expect("an address"))
    }

    fn relayed(seed: u8) -> Origin {
        Origin::Relayed(iroh::SecretKey::from_bytes(&[seed; 32]).public())
    }

    /// Comes so often from there; returns how many got a place.
    fn come(newcomers: &mut Newcomers, origin: &Origin, times: usize) -> usize {
        let now = Instant::now();
        let judge = |_: &usize| newcomers.judge(origin, true, PLACES, LATE, now) == Verdict::Take;
        (0..times).filter(judge).count()
    }

    #[test]
    fn one_source_has_its_places_and_leaves_the_others_theirs() {
        let mut newcomers = Newcomers::default();
        assert_eq!(come(&mut newcomers, &v4(1), 1000), 8);
        assert_eq!(come(&mut newcomers, &v4(2), 1), 1);
        newcomers.leave(&v4(1));
        assert_eq!(come(&mut newcomers, &v4(1), 1000), 1);
    }

    #[test]
    fn all_sources_together_have_no_more_than_there_are() {
        let mut newcomers = Newcomers::default();
        let taken: usize = (0..100).map(|last| come(&mut newcomers, &v4(last), 1)).sum();
        assert_eq!(taken, 20);
    }

    #[test]
    fn relays_have_places_of_their_own() {
        let mut newcomers = Newcomers::default();
        let taken: usize = (0..100).map(|seed| come(&mut newcomers, &relayed(seed), 3)).sum();
        assert_eq!(taken, 20);
        assert_eq!(come(&mut newcomers, &v4(1), 1), 1);
        newcomers.leave(&relayed(0));
        assert_eq!(come(&mut newcomers, &relayed(0), 3), 1);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let mut newcomers = Newcomers::default();
        let taken: usize =
            (0..100).map(|host| come(&mut newcomers, &v6(&format!("2001:db8::{host:x}:1")), 1)).sum();
        assert_eq!(taken, 8);
        assert_eq!(come(&mut newcomers, &v6("2001:db8:0:1::1"), 1), 1);
        assert_eq!(v6("::ffff:192.0.2.1"), v4(1));
    }

    #[test]
    fn a_source_that_fails_is_left_a_share() {
        let (mut newcomers, now) = (Newcomers::default(), Instant::now());
        newcomers.punish(&v4(1), Penalties::<Origin>::MAXIMUM, now);
        assert_eq!(newcomers.judge(&v4(1), false, PLACES, LATE, now), Verdict::Prove);
        assert_eq!(come(&mut newcomers, &v4(1), 1000), 1);
        assert_eq!(come(&mut newcomers, &v4(2), 1000), 8);
    }

    #[test]
    fn loopback_is_not_punished() {
        let (mut newcomers, now) = (Newcomers::default(), Instant::now());
        for text in ["127.0.0.1", "::1"] {
            newcomers.punish(&v6(text), Penalties::<Origin>::MAXIMUM, now);
            assert!(!newcomers.is_penalized(&v6(text), now), "{text}");
        }
    }

    #[test]
    fn forged_packets_take_few_of_an_address_s_places() {
        let (mut newcomers, now) = (Newcomers::default(), Instant::now());
        let mut judge = |_: &usize| newcomers.judge(&v4(1), false, PLACES, LATE, now) == Verdict::Take;
        assert_eq!((0..100).filter(&mut judge).count(), 4);
        assert_eq!(newcomers.judge(&v4(1), false, PLACES, LATE, now), Verdict::Prove);
        assert_eq!(newcomers.judge(&v4(1), true, PLACES, LATE, now), Verdict::Take);
    }

    #[test]
    fn addresses_are_proved_when_many_are_on_their_way() {
        let (mut newcomers, now) = (Newcomers::default(), Instant::now());
        let taken: usize = (0..5).map(|last| come(&mut newcomers, &v4(last), 1)).sum();
        assert_eq!(taken, 5);
        assert_eq!(newcomers.judge(&v4(9), false, PLACES, LATE, now), Verdict::Prove);
        assert_eq!(newcomers.judge(&v4(9), true, PLACES, LATE, now), Verdict::Take);
    }
}
