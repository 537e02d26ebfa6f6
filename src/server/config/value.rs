//! The values of keywords that are more than a word or a number.

use std::{fmt, time::Duration};

use crate::server::{host_port::HostPort, pattern::matches_pattern};

/// Defines an enum of words, each with its spellings; the first is the one that is printed.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $all:literal: $($(#[$variant_doc:meta])* $variant:ident = $first:literal $(| $other:literal)*;)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The words there are.
            pub(super) const WORDS: &str = $all;

            /// Reads a word, in any case.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word.to_ascii_lowercase().as_str() {
                    $($first $(| $other)* => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $first,)* })
            }
        }
    };
}

words! {
    /// Which forwards are allowed.
    Forwarding, "yes, no, local or remote":
    /// All.
    Yes = "yes" | "all";
    /// None.
    No = "no";
    /// `-L` and `-D`: connections from here.
    Local = "local";
    /// `-R`: listening here.
    Remote = "remote";
}

words! {
    /// On which addresses `-R` listens.
    GatewayPorts, "yes, no or clientspecified":
    /// Loopback.
    No = "no";
    /// All.
    Yes = "yes";
    /// Those that the client names.
    ClientSpecified = "clientspecified";
}

words! {
    /// How root may log in.
    RootLogin, "yes, no, prohibit-password or forced-commands-only":
    /// Not by password or keyboard-interactive.
    ProhibitPassword = "without-password" | "prohibit-password";
    /// By key, with a forced command.
    ForcedCommandsOnly = "forced-commands-only";
    /// As others.
    Yes = "yes";
    /// Not at all.
    No = "no";
}

words! {
    /// Which tun devices are allowed.
    TunnelMode, "yes, no, point-to-point or ethernet":
    /// None.
    No = "no";
    /// Both kinds.
    Yes = "yes";
    /// Layer 3.
    PointToPoint = "point-to-point";
    /// Layer 2.
    Ethernet = "ethernet";
}

words! {
    /// A way of authentication, as RFC 4252 names them.
    Method, "none, publickey, password, keyboard-interactive, hostbased or gssapi-with-mic":
    /// None at all, which never succeeds.
    None = "none";
    /// A key or certificate.
    PublicKey = "publickey";
    /// A password.
    Password = "password";
    /// Questions and answers.
    KeyboardInteractive = "keyboard-interactive";
    /// The client's host, which is not served.
    HostBased = "hostbased";
    /// Kerberos, which is not served.
    Gssapi = "gssapi-with-mic";
}

impl Forwarding {
    /// Whether connections from here are allowed.
    #[must_use]
    pub fn connects(self) -> bool {
        matches!(self, Self::Yes | Self::Local)
    }

    /// Whether listening here is allowed.
    #[must_use]
    pub fn listens(self) -> bool {
        matches!(self, Self::Yes | Self::Remote)
    }
}

/// A step of AuthenticationMethods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodStep {
    /// The method.
    pub method: Method,
    /// What follows its `:`, such as `pam`.
    pub device: Option<String>,
}

impl MethodStep {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, device) = text.split_once(':').map_or((text, None), |(name, device)| (name, Some(device)));
        // Method names count by case.
        let method = Method::parse(name).filter(|method| method.to_string() == name)?;
        Some(Self { method, device: device.map(str::to_owned) })
    }
}

impl fmt::Display for MethodStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.device {
            Some(device) => write!(f, "{}:{device}", self.method),
            None => self.method.fmt(f),
        }
    }
}

/// Connections on their way in: from `start` on, `rate` percent are dropped, all from `full` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxStartups {
    /// The first number.
    pub start: u32,
    /// The second, from 1 to 100.
    pub rate: u32,
    /// The third.
    pub full: u32,
}

impl MaxStartups {
    /// Reads `N` or `START:RATE:FULL`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(':').map(|digits| digits.parse::<u32>().ok());
        let start = numbers.next().flatten()?;
        let read = match (numbers.next(), numbers.next(), numbers.next()) {
            (None, ..) => Self { start, rate: 30, full: start },
            (Some(rate), Some(full), None) => Self { start, rate: rate?, full: full? },
            _ => return None,
        };
        (read.start > 0 && read.start <= read.full && (1..=100).contains(&read.rate)).then_some(read)
    }
}

impl fmt::Display for MaxStartups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.rate, self.full)
    }
}

/// Where forwards may go or listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permitted {
    /// Anywhere.
    Any,
    /// Nowhere.
    None,
    /// There alone.
    Places(Vec<HostPort>),
}

impl Permitted {
    /// Whether a forward may connect there (see [`HostPort::allows_connect`]).
    #[must_use]
    pub fn allows_connect(&self, host: &str, port: u16) -> bool {
        self.allows(|place| place.allows_connect(host, port))
    }

    /// Whether a forward may connect to this unix socket (see [`HostPort::allows_connect_to_socket`]).
    #[must_use]
    pub fn allows_connect_to_socket(&self, path: &[u8]) -> bool {
        self.allows(|place| place.allows_connect_to_socket(path))
    }

    /// Whether a forward may listen there (see [`HostPort::allows_listen`]).
    #[must_use]
    pub fn allows_listen(&self, host: &str, port: u16) -> bool {
        self.allows(|place| place.allows_listen(host, port))
    }

    fn allows(&self, allowed: impl Fn(&HostPort) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::None => false,
            Self::Places(places) => places.iter().any(allowed),
        }
    }
}

impl fmt::Display for Permitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::None => f.write_str("none"),
            Self::Places(places) => {
                let places: Vec<_> = places.iter().map(ToString::to_string).collect();
                f.write_str(&places.join(" "))
            }
        }
    }
}

/// Which variables of `environment=` and `~/.ssh/environment` are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserEnvironment {
    /// None.
    No,
    /// All.
    Yes,
    /// Those whose names match the list of patterns.
    Matching(String),
}

impl UserEnvironment {
    /// Whether this variable is.
    #[must_use]
    pub fn permits(&self, name: &str) -> bool {
        use crate::server::pattern::{Verdict, matches_list};
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Matching(list) => matches_list(name, list) == Verdict::Yes,
        }
    }
}

impl fmt::Display for UserEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Matching(list) => list,
        })
    }
}

/// What is demanded of security keys beyond their signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PubkeyAuthOptions {
    /// A touch, even where a key says `no-touch-required`.
    pub touch_required: bool,
    /// A PIN or a finger.
    pub verify_required: bool,
}

/// A subsystem and what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    /// What clients ask for.
    pub name: String,
    /// A command for the user's shell, or `internal-sftp` with its arguments.
    pub command: String,
}

/// How long channels of a type may be idle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTimeout {
    /// A pattern of types such as `session:command`, `session:subsystem:sftp`, `direct-tcpip`.
    pub types: String,
    /// Zero for ever.
    pub time: Duration,
}

impl ChannelTimeout {
    /// How long a channel of a type may be idle, if not for ever: what the first that fits says.
    #[must_use]
    pub fn find(timeouts: &[Self], channel_type: &str) -> Option<Duration> {
        let first = timeouts.iter().find(|timeout| matches_pattern(channel_type, &timeout.types));
        first.map(|timeout| timeout.time).filter(|time| !time.is_zero())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (types, time) = text.split_once('=')?;
        let time = super::units::parse_time(time)?;
        (!types.is_empty()).then(|| Self { types: types.to_owned(), time })
    }
}

impl fmt::Display for ChannelTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.types, self.time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case() {
        assert_eq!(RootLogin::parse("Prohibit-Password"), Some(RootLogin::ProhibitPassword));
        assert_eq!(Forwarding::parse("ALL"), Some(Forwarding::Yes));
        assert_eq!(Forwarding::parse("maybe"), None);
        assert!(Forwarding::Local.connects() && !Forwarding::Local.listens() && !Forwarding::No.listens());
    }

    #[test]
    fn startups_are_one_number_or_three_that_fit() {
        for (text, printed) in [
            ("1", Some("1:30:1")),
            ("10:30:100", Some("10:30:100")),
            ("0", None),
            ("10:30", None),
            ("10:0:100", None),
            ("10:101:100", None),
            ("20:30:10", None),
            ("1:2:3:4", None),
            ("x", None),
        ] {
            assert_eq!(MaxStartups::parse(text).map(|read| read.to_string()).as_deref(), printed, "{text}");
        }
    }

    #[test]
    fn steps_may_name_a_device() {
        let step = MethodStep::parse("keyboard-interactive:pam").expect("a step");
        assert_eq!((step.method, step.device.as_deref()), (Method::KeyboardInteractive, Some("pam")));
        assert!(MethodStep::parse("pubkey").is_none() && MethodStep::parse("PublicKey").is_none());
    }
}
