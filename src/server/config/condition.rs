//! `Match`: for which connections a block of the configuration is meant (sshd_config(5)).

use std::{net::IpAddr, str::FromStr};

use super::words::Delimited;
use crate::server::pattern::{HostList, HostListError, Verdict, matches_list};

/// What is known of a connection. What is `None` matches no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// The login that is asked for.
    pub user: Option<String>,
    /// The names of its groups.
    pub groups: Vec<String>,
    /// The name of the client's machine; sshd says `UNKNOWN` where there is no address.
    pub host: Option<String>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The address that it reached.
    pub local_address: Option<IpAddr>,
    /// The port that it reached.
    pub local_port: Option<u16>,
    /// The routing domain.
    pub routing_domain: Option<String>,
}

/// A part of `user=bob,addr=10.0.0.1` (sshd(8), -C) is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not user=, host=, addr=, laddr=, lport= or rdomain= with a value")]
pub struct NotConnection(String);

impl FromStr for Connection {
    type Err = NotConnection;

    fn from_str(text: &str) -> Result<Self, NotConnection> {
        let mut connection = Self::default();
        for part in text.split(',').take_while(|part| !part.is_empty()) {
            let wrong = || NotConnection(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            match name {
                "user" => connection.user = Some(value.to_owned()),
                "host" => connection.host = Some(value.to_owned()),
                // An address that is none matches nothing, as in sshd.
                "addr" => connection.address = value.parse().ok(),
                "laddr" => connection.local_address = value.parse().ok(),
                "lport" => connection.local_port = Some(value.parse().map_err(|_| wrong())?),
                "rdomain" => connection.routing_domain = Some(value.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(connection)
    }
}

/// A `Match` line is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionError {
    /// Nothing to match.
    #[error("Match needs a condition, or all")]
    Missing,
    /// `all` beside others.
    #[error("Match all must stand alone")]
    AllNotAlone,
    /// A condition without its value.
    #[error("Match {0} needs a value")]
    NoValue(String),
    /// No such condition.
    #[error(
        "`{0}` is not a condition: use User, Group, Host, Address, LocalAddress, LocalPort, RDomain or all"
    )]
    Unknown(String),
    /// A list of addresses.
    #[error(transparent)]
    Hosts(#[from] HostListError),
    /// A port.
    #[error("`{0}` is not a port")]
    Port(String),
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    User(String),
    Group(String),
    Host(String),
    Address(HostList),
    LocalAddress(HostList),
    LocalPort(u16),
    RoutingDomain(String),
}

impl Condition {
    pub(super) fn parse(name: &str, value: &str) -> Result<Self, ConditionError> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "user" => Self::User(value.to_owned()),
            "group" => Self::Group(value.to_owned()),
            "host" => Self::Host(value.to_owned()),
            "address" => Self::Address(HostList::parse(value)?),
            "localaddress" => Self::LocalAddress(HostList::parse(value)?),
            "localport" => {
                Self::LocalPort(value.parse().map_err(|_| ConditionError::Port(value.to_owned()))?)
            }
            "rdomain" => Self::RoutingDomain(value.to_owned()),
            _ => return Err(ConditionError::Unknown(name.to_owned())),
        })
    }

    /// Reads what follows `Match`; `Match all` is no condition.
    pub(super) fn parse_line(line: &str) -> Result<Vec<Self>, ConditionError> {
        let mut words = Delimited::new(line).take_while(|word| !word.is_empty() && !word.starts_with('#'));
        let mut conditions = Vec::new();
        while let Some(name) = words.next() {
            if name.eq_ignore_ascii_case("all") {
                let alone = conditions.is_empty() && words.next().is_none();
                return if alone { Ok(conditions) } else { Err(ConditionError::AllNotAlone) };
            }
            let value = words.next();
            let condition = match value {
                Some(value) => Self::parse(&name, &value)?,
                // Says first that there is no such condition, if that is so.
                None => match Self::parse(&name, "0") {
                    Err(error @ ConditionError::Unknown(_)) => return Err(error),
                    _ => return Err(ConditionError::NoValue(name.into_owned())),
                },
            };
            conditions.push(condition);
        }
        if conditions.is_empty() { Err(ConditionError::Missing) } else { Ok(conditions) }
    }

    pub(super) fn holds(&self, connection: &Connection) -> bool {
        let yes = |text: &Option<String>, list: &str| {
            text.as_ref().is_some_and(|text| matches_list(text, list) == Verdict::Yes)
        };
        let within = |address: Option<IpAddr>, list: &HostList| {
            address.is_some_and(|address| list.matches_address(address) == Verdict::Yes)
        };
        match self {
            Self::User(list) => yes(&connection.user, list),
            Self::Group(list) => matches_groups(&connection.groups, list),
            Self::Host(list) => {
                let host = connection.host.as_ref().map(|host| host.to_ascii_lowercase());
                yes(&host, &list.to_ascii_lowercase())
            }
            Self::Address(list) => within(connection.address, list),
            Self::LocalAddress(list) => within(connection.local_address, list),
            Self::LocalPort(port) => connection.local_port == Some(*port),
            Self::RoutingDomain(list) => yes(&connection.routing_domain, list),
        }
    }
}

/// One of the groups matches, and none is negated (OpenSSH's `ga_match_pattern_list`).
fn matches_groups(groups: &[String], list: &str) -> bool {
    let verdicts: Vec<_> = groups.iter().map(|group| matches_list(group, list)).collect();
    !verdicts.contains(&Verdict::No) && verdicts.contains(&Verdict::Yes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(line: &str, connection: &str) -> bool {
        let mut connection: Connection = connection.parse().expect(connection);
        connection.groups = vec!["staff".to_owned(), "wheel".to_owned()];
        Condition::parse_line(line).expect(line).iter().all(|condition| condition.holds(&connection))
    }

    #[test]
    fn all_conditions_of_a_line_must_hold() {
        let bob = "user=bob,host=Box.example.org,addr=192.168.0.1,laddr=127.0.0.1,lport=22,rdomain=r";
        for (line, expected) in [
            ("all", true),
            ("User bob", true),
            ("user=bob", true),
            ("User \"b*\"", true),
            ("User alice,b?b", true),
            ("User *,!bob", false),
            ("User Bob", false),
            ("Group wheel", true),
            ("Group *,!staff", false),
            ("Host *.Example.org", true),
            ("Address 192.168.0.0/16,!192.168.30.0/24", true),
            ("Address 10.0.0.0/8", false),
            ("LocalAddress 127.0.0.1,::1 LocalPort 22", true),
            ("LocalPort 23", false),
            ("RDomain r # comment", true),
            ("User bob Address 10.0.0.0/8", false),
        ] {
            assert_eq!(holds(line, bob), expected, "{line}");
            assert!(line == "all" || line.contains("Group") || !holds(line, ""), "{line}");
        }
    }

    #[test]
    fn wrong_conditions_say_why() {
        for (line, reason) in [
            ("", "needs a condition"),
            ("# x", "needs a condition"),
            ("User", "Match User needs a value"),
            ("User # x", "Match User needs a value"),
            ("all User x", "must stand alone"),
            ("User x all", "must stand alone"),
            ("Foo", "`Foo` is not a condition"),
            ("Foo bar", "`Foo` is not a condition"),
            ("LocalPort x", "`x` is not a port"),
            ("Address 10.0.1.0/8", "is not a network"),
        ] {
            let error = Condition::parse_line(line).expect_err(line).to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
        assert!("user".parse::<Connection>().is_err() && "lport=x".parse::<Connection>().is_err());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(User|Group|all|Address|LocalPort|[ =\",#!*a0-9./é]){0,10}") {
            let _ = Condition::parse_line(&line).map(|all| all.iter().any(|one| one.holds(&Connection::default())));
            let _ = line.parse::<Connection>();
        }
    }
}
