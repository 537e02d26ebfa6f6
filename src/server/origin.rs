//! Where a client comes from, where that is known.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::{key_options::Whence, shown::shown};

/// The two ends of a TCP connection, as inetd would hand it over, or what the host says of its peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    address: Option<IpAddr>,
    port: Option<u16>,
    server: Option<SocketAddr>,
    host: String,
    /// Who it is, by the host's word.
    peer: Vec<String>,
}

/// What sshd says of a client that did not come over TCP.
pub(super) const NOWHERE: &str = "UNKNOWN";
const NO_PORT: u16 = 65_535;

impl Origin {
    /// Of a connection between these two.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            port: Some(client.port()),
            server: Some(server),
            ..Self::of_peer(None, None, Some(client.ip()))
        }
    }

    /// Of a peer that the host has admitted: its name and the fingerprint of its identity, for the log, and an
    /// address that stands for the identity, which is what `from=` and `Match Address` look at.
    #[must_use]
    pub fn of_peer(name: Option<&str>, fingerprint: Option<&str>, address: Option<IpAddr>) -> Self {
        let address = address.map(|address| address.to_canonical());
        Self {
            address,
            port: None,
            server: None,
            host: address.map_or_else(|| NOWHERE.to_owned(), |address| address.to_string()),
            peer: [name, fingerprint].into_iter().flatten().map(|word| shown(word).into_owned()).collect(),
        }
    }

    /// Whether there is an address to go by.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.address.is_some()
    }

    /// What `from=` and `Match` look at.
    pub(super) fn whence(origin: Option<&Self>) -> Whence<'_> {
        match origin {
            Some(origin) => Whence { host: Some(&origin.host), address: origin.address },
            None => Whence { host: Some(NOWHERE), address: None },
        }
    }

    pub(super) fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// SSH_CLIENT and SSH_CONNECTION.
    pub(super) fn variables(origin: Option<&Self>) -> [(&'static str, String); 2] {
        let client = origin.map_or(NOWHERE, |origin| &origin.host);
        let port = origin.and_then(|origin| origin.port).unwrap_or(NO_PORT);
        let server = origin.and_then(|origin| origin.server).map_or_else(
            || (NOWHERE.to_owned(), NO_PORT),
            |server| (server.ip().to_canonical().to_string(), server.port()),
        );
        [
            ("SSH_CLIENT", format!("{client} {port} {}", server.1)),
            ("SSH_CONNECTION", format!("{client} {port} {} {}", server.0, server.1)),
        ]
    }
}

/// As the log has it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.peer.clone();
        if self.address.is_some() || words.is_empty() {
            words.push(self.host.clone());
        }
        if let Some(port) = self.port {
            words.push(format!("port {port}"));
        }
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_are_sshds_with_and_without_addresses() {
        let end = |text: &str| text.parse().expect("an address");
        let origin = Origin::new(end("10.0.0.1:5"), end("10.0.0.2:22"));
        let [client, connection] = Origin::variables(Some(&origin)).map(|(_, value)| value);
        assert_eq!((client.as_str(), connection.as_str()), ("10.0.0.1 5 22", "10.0.0.1 5 10.0.0.2 22"));
        let [client, connection] = Origin::variables(None).map(|(_, value)| value);
        assert_eq!(client, "UNKNOWN 65535 65535");
        assert_eq!(connection, "UNKNOWN 65535 UNKNOWN 65535");
        let peer = Origin::of_peer(Some("laptop"), None, Some([127, 3, 4, 5].into()));
        let [_, connection] = Origin::variables(Some(&peer)).map(|(_, value)| value);
        assert_eq!(connection, "127.3.4.5 65535 UNKNOWN 65535");
    }

    #[test]
    fn the_log_names_the_peer_in_one_word_each() {
        let end = |text: &str| text.parse().expect("an address");
        assert_eq!(Origin::new(end("10.0.0.1:5"), end("10.0.0.2:22")).to_string(), "10.0.0.1 port 5");
        let address = Some([127, 3, 4, 5].into());
        let peer = Origin::of_peer(Some("laptop"), Some("SHA256:x"), address);
        assert_eq!(peer.to_string(), "laptop SHA256:x 127.3.4.5");
        assert_eq!(Origin::of_peer(Some("a\nb c"), None, None).to_string(), r#""a\nb c""#);
        assert_eq!(Origin::of_peer(None, None, None).to_string(), "UNKNOWN");
    }
}
