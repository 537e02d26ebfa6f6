//! What `-L`, `-R` and `-D` take: `[bind:]port:host:hostport` and its kin (ssh(1)).

mod bind;
mod fields;
#[cfg(test)]
mod tests;
mod wrong;

use std::{fmt, path::PathBuf};

pub(crate) use bind::Bind;
use fields::{Field, split};
pub(crate) use wrong::Wrong;

/// Which side listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// `-L` and `-D`: this side listens, the other connects.
    Local,
    /// `-R`: the other side listens, this one connects.
    Remote,
}

/// A forward that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// Who listens.
    pub(crate) direction: Direction,
    /// Where.
    pub(crate) listen: Listen,
    /// Where the connections go.
    pub(crate) to: Destination,
    /// As it was given, for people.
    text: String,
}

/// Where a forward listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A TCP port; 0, which only `-R` may ask for, leaves the choice to the other side.
    Tcp {
        /// On which addresses.
        bind: Bind,
        /// In host order.
        port: u16,
    },
    /// A Unix domain socket.
    Socket(PathBuf),
}

/// Where a forwarded connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A TCP port.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Not 0.
        port: u16,
    },
    /// A Unix domain socket.
    Socket(PathBuf),
    /// Where the connecting program asks for, by SOCKS 4 or 5.
    Socks,
}

/// A text that is no forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotForward {
    /// What `-L` does not understand.
    #[error(
        "bad local forwarding specification `{text}`: {why}\n\
         expected [BIND:]PORT:HOST:HOSTPORT, such as 8080:localhost:80, or /SOCKET in place of a port or of HOST:HOSTPORT"
    )]
    Local {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: Wrong,
    },
    /// What `-R` does not understand.
    #[error(
        "bad remote forwarding specification `{text}`: {why}\n\
         expected [BIND:]PORT:HOST:HOSTPORT, such as 8080:localhost:80, [BIND:]PORT alone for SOCKS, or /SOCKET in place of a port or of HOST:HOSTPORT"
    )]
    Remote {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: Wrong,
    },
    /// What `-D` does not understand.
    #[error(
        "bad dynamic forwarding specification `{text}`: {why}\n\
         expected [BIND:]PORT, such as 1080 or localhost:1080"
    )]
    Dynamic {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: Wrong,
    },
}

impl Forward {
    /// Reads what `-L` takes.
    ///
    /// # Errors
    ///
    /// [`NotForward::Local`]. Names of services, which ssh takes for ports, are not known.
    pub(crate) fn local(text: impl AsRef<[u8]>) -> Result<Self, NotForward> {
        let text = text.as_ref();
        let (listen, to) =
            listen_and_to(text, 1).map_err(|why| NotForward::Local { text: shown(text), why })?;
        Ok(Self { direction: Direction::Local, listen, to, text: shown(text) })
    }

    /// Reads what `-R` takes; without a destination it is [`Destination::Socks`].
    ///
    /// # Errors
    ///
    /// [`NotForward::Remote`].
    pub(crate) fn remote(text: impl AsRef<[u8]>) -> Result<Self, NotForward> {
        let text = text.as_ref();
        let read = || match listen_alone(&split(text)?, 0) {
            Ok(listen) => Ok((listen, Destination::Socks)),
            Err(Wrong::Parts(1)) => Err(Wrong::Parts(1)),
            Err(_) => listen_and_to(text, 0),
        };
        let (listen, to) = read().map_err(|why| NotForward::Remote { text: shown(text), why })?;
        Ok(Self { direction: Direction::Remote, listen, to, text: shown(text) })
    }

    /// Reads what `-D` takes.
    ///
    /// # Errors
    ///
    /// [`NotForward::Dynamic`].
    pub(crate) fn dynamic(text: impl AsRef<[u8]>) -> Result<Self, NotForward> {
        let text = text.as_ref();
        let listen = split(text)
            .and_then(|fields| listen_alone(&fields, 1))
            .map_err(|why| NotForward::Dynamic { text: shown(text), why })?;
        Ok(Self { direction: Direction::Local, listen, to: Destination::Socks, text: shown(text) })
    }
}

/// A text that is no forward, for people.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn listen_and_to(text: &[u8], least_port: u16) -> Result<(Listen, Destination), Wrong> {
    let fields = split(text)?;
    Ok(match fields.as_slice() {
        [listen, to] if listen.is_path() && to.is_path() => {
            (Listen::Socket(listen.path()), Destination::Socket(to.path()))
        }
        [port, to] if to.is_path() => (tcp(Bind::Unnamed, port, least_port)?, Destination::Socket(to.path())),
        [bind, port, to] if !bind.is_path() && to.is_path() => {
            (tcp(bind.bind()?, port, least_port)?, Destination::Socket(to.path()))
        }
        [listen, host, port] if listen.is_path() => (Listen::Socket(listen.path()), tcp_to(host, port)?),
        [port, host, host_port] => (tcp(Bind::Unnamed, port, least_port)?, tcp_to(host, host_port)?),
        [bind, port, host, host_port] => (tcp(bind.bind()?, port, least_port)?, tcp_to(host, host_port)?),
        _ => return Err(Wrong::Parts(fields.len())),
    })
}

fn listen_alone(fields: &[Field], least_port: u16) -> Result<Listen, Wrong> {
    match fields {
        [path] if path.is_path() => Ok(Listen::Socket(path.path())),
        [port] => tcp(Bind::Unnamed, port, least_port),
        [bind, port] => tcp(bind.bind()?, port, least_port),
        _ => Err(Wrong::Parts(fields.len())),
    }
}

fn tcp(bind: Bind, port: &Field, least_port: u16) -> Result<Listen, Wrong> {
    Ok(Listen::Tcp { bind, port: port.port(least_port)? })
}

fn tcp_to(host: &Field, port: &Field) -> Result<Destination, Wrong> {
    Ok(Destination::Tcp { host: host.host()?, port: port.port(1)? })
}

impl fmt::Display for Forward {
    /// With its option, as it was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match (self.direction, &self.to) {
            (Direction::Local, Destination::Socks) => "-D",
            (Direction::Local, _) => "-L",
            (Direction::Remote, _) => "-R",
        };
        write!(f, "{option} {}", self.text)
    }
}
