//! Where a forward may go or listen: `permitopen=`, `permitlisten=`, `PermitOpen`, `PermitListen`.

use std::fmt;

use super::pattern::matches_pattern;

/// `host:port`, each of them possibly `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Without the brackets of `[::1]`.
    host: String,
    /// `None` for any.
    port: Option<u16>,
}

/// A text is not `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not HOST:PORT, with * or a number from 1 for the port")]
pub struct NotHostPort(String);

impl HostPort {
    /// Reads `host:port`, `[address]:port`, `host:*`.
    ///
    /// # Errors
    ///
    /// [`NotHostPort`]; names of services are not known.
    pub fn parse(text: &str) -> Result<Self, NotHostPort> {
        let wrong = || NotHostPort(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(inner) => inner.split_once("]:"),
            None => text.split_once(':'),
        }
        .ok_or_else(wrong)?;
        // 1025 is NI_MAXHOST.
        if host.len() >= 1025 || host.contains('/') && !text.starts_with('[') {
            return Err(wrong());
        }
        let port = match port {
            "*" => None,
            digits if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return Err(wrong()),
            digits => Some(digits.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)?),
        };
        Ok(Self { host: host.to_owned(), port })
    }

    /// Reads the same, or a port alone, which stands for every host (`permitlisten`).
    ///
    /// # Errors
    ///
    /// [`NotHostPort`].
    pub fn parse_listen(text: &str) -> Result<Self, NotHostPort> {
        if text.contains(':') { Self::parse(text) } else { Self::parse(&format!("*:{text}")) }
    }

    /// Whether a forward may connect to this host, as the client named it, and port: byte for byte, as
    /// OpenSSH's `open_match`.
    #[must_use]
    pub fn allows_connect(&self, host: &str, port: u16) -> bool {
        self.allows_port(port) && (self.host == "*" || self.host == host)
    }

    /// Whether a forward may connect to this unix socket: byte for byte, as OpenSSH's `open_match`, for which
    /// its port is none that a rule can name.
    #[must_use]
    pub fn allows_connect_to_socket(&self, path: &[u8]) -> bool {
        self.port.is_none() && (self.host == "*" || self.host.as_bytes() == path)
    }

    /// Whether a forward may listen on this host, as the client named it, and port: by pattern, in any
    /// case, as OpenSSH's `remote_open_match`.
    #[must_use]
    pub fn allows_listen(&self, host: &str, port: u16) -> bool {
        self.allows_port(port) && matches_pattern(&host.to_ascii_lowercase(), &self.host)
    }

    fn allows_port(&self, port: u16) -> bool {
        self.port.is_none_or(|allowed| allowed == port)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            host if host.contains([':', '/', '[']) => write!(f, "[{host}]:")?,
            host => write!(f, "{host}:")?,
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sockets_are_open_where_ports_are_not_restricted_to_some() {
        let allows = |text| HostPort::parse(text).expect(text).allows_connect_to_socket(b"/run/sock");
        assert!(allows("*:*") && allows("[/run/sock]:*"));
        assert!(!allows("127.0.0.1:5432") && !allows("*:22") && !allows("[/run/other]:*"));
    }

    #[test]
    fn hosts_ports_and_stars_are_read() {
        for (text, host, port) in [
            ("localhost:22", "localhost", Some(22)),
            ("[::1]:65535", "::1", Some(65535)),
            ("*:*", "*", None),
            (":22", "", Some(22)),
        ] {
            let parsed = HostPort::parse(text).expect(text);
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port));
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!(HostPort::parse_listen("8080").expect("a port").to_string(), "*:8080");
    }

    #[test]
    fn what_has_no_port_or_a_wrong_one_is_refused() {
        for text in
            ["host", "host:", "host:0", "host:65536", "::1:22", "[::1]", "[::1", "h:+1", "a/22", "a/b:1"]
        {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
        assert!(HostPort::parse_listen("").is_err() && HostPort::parse_listen("host").is_err());
    }

    #[test]
    fn connecting_needs_the_very_name_and_listening_a_pattern() {
        let allowed = HostPort::parse("*.example.org:*").expect("allowed");
        assert!(!allowed.allows_connect("a.example.org", 1) && allowed.allows_connect("*.example.org", 1));
        assert!(allowed.allows_listen("A.example.org", 1) && !allowed.allows_listen("example.com", 1));
        let one = HostPort::parse("127.0.0.1:22").expect("allowed");
        assert!(one.allows_connect("127.0.0.1", 22) && !one.allows_connect("127.0.0.1", 23));
        assert!(!one.allows_connect("localhost", 22));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a\\[\\]:*/0-9é]{0,12}") {
            if let Ok(parsed) = HostPort::parse(&text) {
                prop_assert_eq!(HostPort::parse(&parsed.to_string()), Ok(parsed));
            }
            let _ = HostPort::parse_listen(&text);
        }
    }
}
