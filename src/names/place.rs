//! Where a port is that leads to a host.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// An address and a port of this machine; a port alone is one of 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Place(pub SocketAddr);

/// It is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give a port, or an address and a port, as in 127.0.0.1:2222")]
pub struct NoPlace;

impl Place {
    /// Why nobody listens there unless it is asked for: whoever gets there is taken for this user.
    #[must_use]
    pub fn reached_from_elsewhere(self) -> Option<String> {
        let ip = self.0.ip();
        (!ip.is_loopback()).then(|| {
            format!("{ip} can be reached from other machines, for whom every user there would be you")
        })
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        if let Ok(port) = text.parse() {
            return Ok(port_alone(port));
        }
        text.parse().map(Self).map_err(|_| NoPlace)
    }
}

fn port_alone(port: u16) -> Place {
    Place((Ipv4Addr::LOCALHOST, port).into())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// In a file, a port alone may be a number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a port, or an address and a port, as in \"127.0.0.1:2222\"")]
enum Written {
    Port(u16),
    Text(String),
}

impl TryFrom<Written> for Place {
    type Error = NoPlace;

    fn try_from(written: Written) -> Result<Self, NoPlace> {
        match written {
            Written::Port(port) => Ok(port_alone(port)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        let place = |text: &str| text.parse().map(|place: Place| place.to_string());
        assert_eq!(place("2222").as_deref(), Ok("127.0.0.1:2222"));
        assert_eq!(place("[::1]:2222").as_deref(), Ok("[::1]:2222"));
        for wrong in ["", "localhost", "70000", "127.0.0.1"] {
            assert_eq!(place(wrong), Err(NoPlace), "{wrong}");
        }
    }
}
