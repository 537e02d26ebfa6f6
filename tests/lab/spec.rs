//! What a link and a router are like, and how a person writes it.

use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

/// Who sends and receives: one of the two hosts, or the network's own servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// 10.77.0.1.
    A,
    /// 10.77.0.2.
    B,
    /// 10.77.0.3 and 10.77.0.4, which both hosts reach.
    Net,
}

impl Side {
    /// Both hosts, in order.
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    /// All, in order.
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::B, Self::Net];

    /// Where this side is in an array of both hosts or of all.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// What the link is like when the lab starts. Rate, delay, loss and queue hold for each direction
/// by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LinkSpec {
    /// Bits of IP packets a second.
    pub(crate) rate: Rate,
    /// One way, on top of the time a packet waits for its turn.
    pub(crate) delay: Duration,
    /// The share of packets that vanish on the way.
    pub(crate) loss: Loss,
    /// Bytes that may wait for their turn; what does not fit is dropped. `None` is
    /// [`default_queue`].
    pub(crate) queue: Option<usize>,
    /// Which packets are lost: the same seed loses the same ones, counted from the first.
    pub(crate) seed: u64,
    /// When both directions are down.
    pub(crate) outages: Vec<Outage>,
    /// What the hosts are behind, in the order of [`Side::BOTH`].
    pub(crate) routers: [RouterSpec; 2],
}

/// What is between a host and the network: `none`, `easy` or `hard`, and with `:TIME` behind it, how long a mapping
/// of UDP lives that nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouterSpec {
    /// How it translates.
    pub(crate) nat: Nat,
    /// How long UDP stays mapped that nobody sends.
    pub(crate) lifetime: Duration,
}

/// How a router translates addresses (RFC 4787). Nobody comes in who was not sent something from the same port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nat {
    /// Not at all: the host has its address on the network itself, and everybody comes in.
    #[default]
    None,
    /// A socket has one port outside, whomever it sends to: who knows it can be let in.
    Easy,
    /// A socket has another port outside for each socket that it sends to, which nobody can foresee.
    Hard,
}

impl RouterSpec {
    /// A router that keeps mappings as long as RFC 4787 asks for.
    pub(crate) const fn of(nat: Nat) -> Self {
        Self { nat, lifetime: Duration::from_secs(120) }
    }
}

impl Default for RouterSpec {
    fn default() -> Self {
        Self::of(Nat::None)
    }
}

/// A change to a router that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouterChange {
    /// All mappings are forgotten.
    Flush,
    /// The same, and it has another address outside.
    Outside(Ipv4Addr),
    /// Whether UDP passes.
    Udp(bool),
}

/// A change to a link that is running.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// From the next packet that begins to be sent.
    Rate(Rate),
    /// For packets not yet sent. A shorter delay never lets one packet overtake another.
    Delay(Duration),
    /// For packets not yet offered.
    Loss(Loss),
    /// Bytes; `None` is [`default_queue`]. What waits already stays.
    Queue(Option<usize>),
    /// All that waits or is on its way is gone, and all that is offered until [`Change::Up`].
    Down,
    /// Ends [`Change::Down`].
    Up,
}

/// A change and the direction it is for, as a line of text: `loss 0.05`, `rate 10mbit`, `delay 50ms`,
/// `queue 65536`, `queue default`, `down`, `up` for the link, and for routers `flush`, `outside 10.77.0.9`, `udp off`,
/// `udp on`; each may end in `from a` or `from b` for what that side sends, and for its router alone, and is for
/// everybody otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Order {
    /// What to change.
    pub(crate) what: What,
    /// Whose packets it is for; `None` is everybody's.
    pub(crate) from: Option<Side>,
}

/// What an [`Order`] is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// Links.
    Link(Change),
    /// Routers.
    Router(RouterChange),
}

/// How fast a direction sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Packets never wait.
    #[default]
    Unlimited,
    /// Bits a second.
    Bits(NonZeroU64),
}

impl Rate {
    /// Millions of bits a second; none is unlimited.
    pub(crate) const fn mbit(millions: u64) -> Self {
        match NonZeroU64::new(millions.saturating_mul(1_000_000)) {
            Some(bits) => Self::Bits(bits),
            None => Self::Unlimited,
        }
    }

    /// How long it takes to send so many bytes.
    pub(crate) fn time_for(self, bytes: usize) -> Duration {
        match self {
            Self::Unlimited => Duration::ZERO,
            Self::Bits(bits) => {
                let nanos = bytes as u128 * 8 * 1_000_000_000 / u128::from(bits.get());
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }

    /// How many bytes are sent in this time; `None` for no limit.
    pub(crate) fn bytes_in(self, time: Duration) -> Option<usize> {
        match self {
            Self::Unlimited => None,
            Self::Bits(bits) => {
                let bytes = u128::from(bits.get()) * time.as_nanos() / 8_000_000_000;
                Some(usize::try_from(bytes).unwrap_or(usize::MAX))
            }
        }
    }
}

/// Bytes that may wait where nobody says how many: 100 ms at the rate, or one round trip of the
/// bare link if that is more, and 64 KiB at least.
pub(crate) fn default_queue(rate: Rate, delay: Duration) -> usize {
    let time = Duration::from_millis(100).max(delay * 2);
    rate.bytes_in(time).unwrap_or(usize::MAX).max(64 * 1024)
}

/// A share of packets, from none (0) to all (1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Loss(f64);

impl Loss {
    /// What is below 0 counts as 0, what is above 1 as 1.
    pub(crate) const fn of(share: f64) -> Self {
        Self(share.clamp(0.0, 1.0))
    }

    /// Between 0 and 1.
    pub(crate) const fn share(self) -> f64 {
        self.0
    }
}

/// A time during which nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Counted from when the lab is ready.
    pub(crate) start: Duration,
    /// How long it lasts.
    pub(crate) length: Duration,
}

/// Why a piece of text says nothing about a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("`{0}` is no rate: write a number and bit, kbit, mbit or gbit, or `unlimited`")]
    Rate(String),
    #[error("`{0}` is no time: write a number and us, ms or s")]
    Time(String),
    #[error("`{0}` is no share of packets: write a number from 0 to 1, or per cent with a %")]
    Loss(String),
    #[error("`{0}` is no queue: write a number of bytes, or `default`")]
    Queue(String),
    #[error("`{0}` is no outage: write START:LENGTH, each a number and us, ms or s")]
    Outage(String),
    #[error("`{0}` is no router: write none, easy or hard, and perhaps `:` and a time")]
    Router(String),
    #[error("`{0}` is no address for one router: write `outside`, an IPv4 address, and `from a` or `from b`")]
    Outside(String),
    #[error(
        "`{0}` is no change: write rate, delay, loss or queue and its value, down or up, flush, outside and an \
         address, or udp and off or on, and perhaps `from a` or `from b`"
    )]
    Order(String),
}

impl FromStr for Rate {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let units = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
        quantity(text, &units)
            .and_then(|bits| NonZeroU64::new(bits.round() as u64))
            .map(Self::Bits)
            .ok_or_else(|| SpecError::Rate(text.into()))
    }
}

impl FromStr for Loss {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        quantity(text, &[("%", 0.01), ("", 1.0)])
            .filter(|share| *share <= 1.0)
            .map(Self)
            .ok_or_else(|| SpecError::Loss(text.into()))
    }
}

impl FromStr for Outage {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let bad = || SpecError::Outage(text.into());
        let (start, length) = text.split_once(':').ok_or_else(bad)?;
        let time = |text| parse_time(text).map_err(|_| bad());
        Ok(Self { start: time(start)?, length: time(length)? })
    }
}

impl FromStr for Order {
    type Err = SpecError;

    fn from_str(line: &str) -> Result<Self, SpecError> {
        let bad = || SpecError::Order(line.trim().into());
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let from = match words[..] {
            [.., "from", "a"] => Some(Side::A),
            [.., "from", "b"] => Some(Side::B),
            _ => None,
        };
        if from.is_some() {
            words.truncate(words.len() - 2);
        }
        let change = match words[..] {
            ["rate", rate] => Change::Rate(rate.parse()?),
            ["delay", delay] => Change::Delay(parse_time(delay)?),
            ["loss", loss] => Change::Loss(loss.parse()?),
            ["queue", "default"] => Change::Queue(None),
            ["queue", bytes] => {
                let bytes = bytes.parse().map_err(|_| SpecError::Queue(bytes.into()))?;
                Change::Queue(Some(bytes))
            }
            ["down"] => Change::Down,
            ["up"] => Change::Up,
            _ => {
                let change = router_change(&words, from)?.ok_or_else(bad)?;
                return Ok(Self { what: What::Router(change), from });
            }
        };
        Ok(Self { what: What::Link(change), from })
    }
}

fn router_change(words: &[&str], from: Option<Side>) -> Result<Option<RouterChange>, SpecError> {
    Ok(Some(match words {
        ["flush"] => RouterChange::Flush,
        ["udp", "off"] => RouterChange::Udp(false),
        ["udp", "on"] => RouterChange::Udp(true),
        ["outside", address] => {
            let parsed = address.parse().ok().filter(|_| from.is_some());
            RouterChange::Outside(parsed.ok_or_else(|| SpecError::Outside((*address).into()))?)
        }
        _ => return Ok(None),
    }))
}

impl FromStr for RouterSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, lifetime) = text.split_once(':').map_or((text, None), |(kind, time)| (kind, Some(time)));
        let nat = match kind {
            "none" => Nat::None,
            "easy" => Nat::Easy,
            "hard" => Nat::Hard,
            _ => return Err(SpecError::Router(text.into())),
        };
        let known = Self::of(nat);
        let lifetime = lifetime.map_or(Ok(known.lifetime), parse_time);
        Ok(Self { lifetime: lifetime.map_err(|_| SpecError::Router(text.into()))?, ..known })
    }
}

/// `250us`, `25ms` or `1.5s`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, SpecError> {
    quantity(text, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)])
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| SpecError::Time(text.into()))
}

/// A number that is not negative and one of the units, the first that fits.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    number.parse::<f64>().ok().filter(|_| digits).map(|number| number * factor)
}
