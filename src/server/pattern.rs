//! OpenSSH's patterns: names with `*` and `?`, lists of them, networks (ssh_config(5), PATTERNS).

use std::net::IpAddr;

use crate::glob;

/// Whether all of `text` matches a pattern in which `*` stands for any bytes and `?` for one
/// (OpenSSH's `match_pattern`).
#[must_use]
pub fn matches_pattern(text: &str, pattern: &str) -> bool {
    glob::matches(pattern.as_bytes(), text.as_bytes())
}

/// What a list with negated members says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A member matches, and none that is negated.
    Yes,
    /// No member matches.
    Nothing,
    /// A negated member matches.
    No,
}

/// Matches a comma-separated list of patterns, each possibly negated by `!` (OpenSSH's
/// `match_pattern_list`). Case counts.
#[must_use]
pub fn matches_list(text: &str, list: &str) -> Verdict {
    let mut verdict = Verdict::Nothing;
    // A list has no empty last member: `a,` is `a`, and `` is nothing at all.
    for member in list.strip_suffix(',').unwrap_or(list).split(',') {
        let (negated, pattern) = match member.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, member),
        };
        if list.is_empty() || !matches_pattern(text, pattern) {
            continue;
        }
        if negated {
            return Verdict::No;
        }
        verdict = Verdict::Yes;
    }
    verdict
}

/// A list of addresses or host names was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostListError {
    /// Two commas, or nothing at all.
    #[error("`{0}` has an empty member")]
    Empty(String),
    /// `10.0.0.1/8`: bits are set that the mask takes away, or the mask is too long.
    #[error("`{0}` is not a network: bits beyond the mask are set, or the mask is too long")]
    Mask(String),
    /// Not an address, where only addresses are allowed.
    #[error("`{0}` is not an address or a network")]
    NotAddress(String),
}

/// A network: an address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `None` when the text is no address at all: then it is a pattern.
    fn parse(text: &str) -> Result<Option<Self>, HostListError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Ok(None);
                }
                // sshd takes a mask over 128 for no mask, so the whole for a pattern.
                match bits.parse::<u8>() {
                    Ok(bits) if bits <= 128 => (address, Some(bits)),
                    _ => return Ok(None),
                }
            }
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else { return Ok(None) };
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let network = Self { address, bits: bits.unwrap_or(whole) };
        if network.bits > whole || network.bits_of(address) != network.value(address) {
            return Err(HostListError::Mask(text.to_owned()));
        }
        Ok(Some(network))
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && self.bits_of(address) == self.value(self.address)
    }

    fn value(&self, address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    fn bits_of(&self, address: IpAddr) -> u128 {
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let dropped = whole - u32::from(self.bits).min(whole);
        let mask = u128::MAX.checked_shl(dropped).unwrap_or(0);
        self.value(address) & mask
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Network(Network),
    Pattern(String),
}

/// A list of networks and patterns of names and addresses, each possibly negated: `from=`,
/// `Match Address`, the part of `AllowUsers` after the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostList {
    text: String,
    members: Vec<(bool, Host)>,
}

impl HostList {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    ///
    /// [`HostListError`] for an empty member and for a wrong mask, which in sshd make the list match
    /// nobody (`addr_match_list`).
    pub fn parse(text: &str) -> Result<Self, HostListError> {
        let member = |member: &str| {
            let (negated, name) = match member.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, member),
            };
            if name.is_empty() {
                return Err(HostListError::Empty(text.to_owned()));
            }
            let host = Network::parse(name)?.map_or_else(|| Host::Pattern(name.to_owned()), Host::Network);
            Ok((negated, host))
        };
        let members = text.split(',').map(member).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), members })
    }

    /// Whether the list lets this peer in (OpenSSH's `match_host_and_ip`): by name or address, and
    /// not negated by either.
    ///
    /// `sshd -i` on a pipe calls a peer without an address `UNKNOWN`: that is its `host` then, with no
    /// `address`, so `*` matches it and no network does. Without a host nothing matches.
    #[must_use]
    pub fn matches(&self, host: Option<&str>, address: Option<IpAddr>) -> bool {
        let Some(host) = host else { return false };
        let by_address = address.map_or(Verdict::Nothing, |address| self.matches_address(address));
        let by_name = matches_list(&host.to_ascii_lowercase(), &self.text.to_ascii_lowercase());
        by_address != Verdict::No
            && by_name != Verdict::No
            && (by_address == Verdict::Yes || by_name == Verdict::Yes)
    }

    /// What the list says of an address alone (OpenSSH's `addr_match_list`).
    #[must_use]
    pub fn matches_address(&self, address: IpAddr) -> Verdict {
        let address = address.to_canonical();
        let mut verdict = Verdict::Nothing;
        for (negated, host) in &self.members {
            let matches = match host {
                Host::Network(network) => network.contains(address),
                Host::Pattern(pattern) => matches_pattern(&address.to_string(), pattern),
            };
            match (matches, negated) {
                (true, true) => return Verdict::No,
                (true, false) => verdict = Verdict::Yes,
                (false, _) => {}
            }
        }
        verdict
    }
}

impl std::fmt::Display for HostList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A list of networks alone: `source-address` of a certificate (PROTOCOL.certkeys).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkList(Vec<Network>);

impl NetworkList {
    /// Reads a comma-separated list; names, `*` and `!` have no place in it.
    ///
    /// # Errors
    ///
    /// [`HostListError`] for whatever is not a network.
    pub fn parse(text: &str) -> Result<Self, HostListError> {
        let network = |member: &str| match Network::parse(member)? {
            Some(network) => Ok(network),
            None if member.is_empty() => Err(HostListError::Empty(text.to_owned())),
            None => Err(HostListError::NotAddress(member.to_owned())),
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address is in one of the networks; a peer without an address is in none.
    #[must_use]
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        let address = address.map(|address| address.to_canonical());
        address.is_some_and(|address| self.0.iter().any(|network| network.contains(address)))
    }
}

/// A member of `AllowUsers` or `DenyUsers`: `user` or `user@hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPattern {
    user: String,
    hosts: Option<HostList>,
}

impl UserPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`HostListError`] for the part after the first `@`.
    pub fn parse(text: &str) -> Result<Self, HostListError> {
        let (user, hosts) = match text.split_once('@') {
            Some((user, hosts)) => (user, Some(HostList::parse(hosts)?)),
            None => (text, None),
        };
        Ok(Self { user: user.to_owned(), hosts })
    }

    /// Whether it is for logins from certain places.
    #[must_use]
    pub fn names_hosts(&self) -> bool {
        self.hosts.is_some()
    }

    /// Whether a login from there matches (OpenSSH's `match_user`; for `host` see
    /// [`HostList::matches`]).
    #[must_use]
    pub fn matches(&self, user: &str, host: Option<&str>, address: Option<IpAddr>) -> bool {
        matches_pattern(user, &self.user)
            && self.hosts.as_ref().is_none_or(|hosts| hosts.matches(host, address))
    }
}

impl std::fmt::Display for UserPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.hosts {
            Some(hosts) => write!(f, "{}@{hosts}", self.user),
            None => f.write_str(&self.user),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn stars_and_question_marks_match_as_in_openssh() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "*", true),
            ("", "?", false),
            ("a", "", false),
            ("abc", "a*c", true),
            ("abc", "a*b", false),
            ("abc", "***", true),
            ("abc", "*?*?*?*", true),
            ("ab", "*???*", false),
            ("aXbXc", "a*X*c", true),
            ("ABC", "abc", false),
            ("rsa-sha2-256", "rsa-sha2-*", true),
        ] {
            assert_eq!(matches_pattern(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!matches_pattern(&"a".repeat(5_000), &format!("{}b", "a*".repeat(500))));
    }

    #[test]
    fn a_negated_member_wins_wherever_it_stands() {
        for (text, list, expected) in [
            ("a", "a,b", Verdict::Yes),
            ("a", "!a,*", Verdict::No),
            ("a", "*,!a", Verdict::No),
            ("c", "!a,b", Verdict::Nothing),
            ("", "", Verdict::Nothing),
            ("", "a,", Verdict::Nothing),
            ("", "a,,b", Verdict::Yes),
        ] {
            assert_eq!(matches_list(text, list), expected, "{text} {list}");
        }
    }

    #[test]
    fn from_matches_by_address_or_name() {
        for (list, host, address, expected) in [
            ("127.0.0.1", "localhost", Some("127.0.0.1"), true),
            ("127.0.0.0/8", "x", Some("127.1.2.3"), true),
            ("127.0.0.0/8", "UNKNOWN", None, false),
            ("*", "UNKNOWN", None, true),
            ("*,!10.0.0.0/8", "x", Some("10.1.1.1"), false),
            ("!10.0.0.0/8,*", "x", Some("11.1.1.1"), true),
            ("*.Example.org,!bad.example.org", "good.example.ORG", Some("1.1.1.1"), true),
            ("*.example.org,!bad.example.org", "BAD.example.org", Some("1.1.1.1"), false),
            ("192.168.*", "x", Some("192.168.7.8"), true),
            ("192.168.0.1", "192.168.0.1", Some("1.1.1.1"), true),
            ("2001:db8::/32", "x", Some("2001:db8:1::1"), true),
            ("::/0", "x", Some("1.1.1.1"), false),
            ("0.0.0.0/0", "x", Some("::ffff:1.1.1.1"), true),
        ] {
            let parsed = HostList::parse(list).expect(list);
            assert_eq!(parsed.matches(Some(host), address.map(ip)), expected, "{list} {host} {address:?}");
        }
        assert!(!HostList::parse("*").expect("a list").matches(None, Some(ip("1.1.1.1"))));
    }

    #[test]
    fn a_wrong_mask_or_an_empty_member_refuses_the_list() {
        for list in ["10.0.1.0/8", "10.0.0.1/24", "2000:aa:bb:01::/56", "1.1.1.1/33", "", "a,,b", "a,!", "a,"]
        {
            assert!(HostList::parse(list).is_err(), "{list}");
        }
        // No mask at all: patterns that match no address, as in sshd.
        for list in ["1.1.1.1/x", "::/129", "1.1.1.1/"] {
            let parsed = HostList::parse(list).expect(list);
            assert_eq!(parsed.matches_address(ip("1.1.1.1")), Verdict::Nothing, "{list}");
        }
    }

    #[test]
    fn source_addresses_are_networks_only() {
        let list = NetworkList::parse("10.0.0.0/8,::1").expect("a list");
        assert!(list.contains(Some(ip("10.2.3.4"))) && list.contains(Some(ip("::1"))));
        assert!(!list.contains(Some(ip("11.2.3.4"))) && !list.contains(None));
        for list in ["", "10.0.0.0/8,", "host", "!10.0.0.0/8", "10.*", "10.0.0.1/8"] {
            assert!(NetworkList::parse(list).is_err(), "{list}");
        }
    }

    #[test]
    fn users_match_with_and_without_a_host() {
        let matches = |pattern: &str, user: &str, address: Option<&str>| {
            UserPattern::parse(pattern).expect(pattern).matches(user, Some("box"), address.map(ip))
        };
        assert!(matches("bob", "bob", None) && matches("b*", "bob", None) && !matches("Bob", "bob", None));
        assert!(matches("bob@box", "bob", None) && matches("bob@10.0.0.0/8", "bob", Some("10.0.0.1")));
        assert!(!matches("bob@10.0.0.0/8", "bob", None) && !matches("eve@box", "bob", None));
        assert!(UserPattern::parse("bob@10.0.0.1/8").is_err() && UserPattern::parse("bob@").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}", list in "[a-f0-9.:/!*?,@é]{0,40}") {
            let _ = matches_pattern(&text, &list);
            let _ = matches_list(&text, &list);
            for address in ["1.2.3.4", "1::2"] {
                let _ = HostList::parse(&list).map(|list| list.matches(Some(&text), Some(ip(address))));
            }
            let _ = NetworkList::parse(&list).map(|list| list.contains(Some(ip("1::2"))));
            let _ = UserPattern::parse(&list).map(|user| user.matches(&text, Some("a"), None));
        }

        #[test]
        fn a_pattern_matches_as_the_plain_definition_says(text in "[ab]{0,8}", pattern in "[ab*?]{0,8}") {
            fn plain(text: &[u8], pattern: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, rest) => rest.is_none(),
                    (Some((b'*', after)), _) => {
                        (0..=text.len()).any(|taken| plain(&text[taken..], after))
                    }
                    (Some((b'?', after)), Some((_, text))) => plain(text, after),
                    (Some((a, after)), Some((b, text))) => a == b && plain(text, after),
                    (Some(_), None) => false,
                }
            }
            prop_assert_eq!(matches_pattern(&text, &pattern), plain(text.as_bytes(), pattern.as_bytes()));
        }
    }
}
