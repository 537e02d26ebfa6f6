//! Where a client comes from, where that is known.

use std::net::SocketAddr;

use super::key_options::Whence;

/// The two ends of a TCP connection, as inetd would hand it over. Over iroh, there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    client: SocketAddr,
    server: SocketAddr,
    host: String,
}

/// What sshd says of a client that did not come over TCP.
const NOWHERE: &str = "UNKNOWN";
const NO_PORT: u16 = 65_535;

impl Origin {
    /// Of a connection between these two.
    #[must_use]
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self { client, server, host: client.ip().to_canonical().to_string() }
    }

    /// What `from=` and `Match` look at.
    pub(super) fn whence(origin: Option<&Self>) -> Whence<'_> {
        match origin {
            Some(origin) => {
                Whence { host: Some(&origin.host), address: Some(origin.client.ip().to_canonical()) }
            }
            None => Whence { host: Some(NOWHERE), address: None },
        }
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    /// SSH_CLIENT and SSH_CONNECTION.
    pub(super) fn variables(origin: Option<&Self>) -> [(&'static str, String); 2] {
        let [client, server] = match origin {
            Some(Self { client, server, .. }) => {
                [client, server].map(|end| (end.ip().to_canonical().to_string(), end.port()))
            }
            None => [(NOWHERE.to_owned(), NO_PORT), (NOWHERE.to_owned(), NO_PORT)],
        };
        [
            ("SSH_CLIENT", format!("{} {} {}", client.0, client.1, server.1)),
            ("SSH_CONNECTION", format!("{} {} {} {}", client.0, client.1, server.0, server.1)),
        ]
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
    }
}
