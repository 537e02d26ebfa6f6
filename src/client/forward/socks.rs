//! What a SOCKS client says, versions 4, 4a and 5 (RFC 1928). Pure: bytes in, bytes out.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::place::Place;

/// The longest name or user name in version 4, as long as in version 5.
const LONGEST: usize = 255;

const VERSION_4: u8 = 4;
const VERSION_5: u8 = 5;
const CONNECT: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;

/// The state of a conversation before its connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Socks {
    /// Nothing was understood yet.
    #[default]
    New,
    /// Version 5, whose method was agreed on.
    Agreed,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// More bytes are needed.
    More,
    /// So many bytes are used; this is to be sent, and the conversation goes on.
    Say {
        /// Bytes used.
        used: usize,
        /// The reply.
        reply: Vec<u8>,
    },
    /// So many bytes are used; the client wants to be connected to this.
    Connect {
        /// Bytes used; what follows is for the target.
        used: usize,
        /// Where to.
        target: Place,
        /// For the reply.
        version: Version,
    },
    /// This cannot be done; the reply is to be sent, possibly nothing, and the connection closed.
    Refuse {
        /// The reply.
        reply: Vec<u8>,
        /// For people.
        why: &'static str,
    },
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 4 and 4a.
    Four,
    /// 5.
    Five,
}

impl Version {
    /// The reply to a client whose connection is open.
    #[must_use]
    pub(super) fn granted(self) -> Vec<u8> {
        match self {
            Self::Four => four(90),
            Self::Five => five(0),
        }
    }

    /// The reply to a client whose target cannot be reached.
    #[must_use]
    pub(super) fn unreachable(self) -> Vec<u8> {
        match self {
            Self::Four => four(91),
            // "Connection refused" is what most clients show something sensible for.
            Self::Five => five(5),
        }
    }

    /// The reply to a client whose target is not allowed.
    #[must_use]
    pub(super) fn prohibited(self) -> Vec<u8> {
        match self {
            Self::Four => four(91),
            Self::Five => five(2),
        }
    }
}

impl Socks {
    /// What the bytes that have come mean; those that were used are to be taken away before the next call.
    #[must_use]
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        let mut reader = Reader { bytes, at: 0 };
        let step = match (*self, bytes.first()) {
            (_, None) => return Step::More,
            (Self::New, Some(&VERSION_4)) => version_4(&mut reader),
            (Self::New, Some(&VERSION_5)) => greeting(&mut reader),
            (Self::Agreed, Some(&VERSION_5)) => request(&mut reader),
            _ => Some(Step::Refuse { reply: Vec::new(), why: "this is not SOCKS" }),
        };
        if matches!(step, Some(Step::Say { .. })) {
            *self = Self::Agreed;
        }
        step.unwrap_or(Step::More)
    }
}

/// Reads as long as there is something; `None` asks for more.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N).and_then(|taken| taken.try_into().ok())
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes up to a zero, which is taken too.
    fn text(&mut self) -> Option<Result<&'a [u8], Step>> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().position(|byte| *byte == 0);
        if length.unwrap_or(rest.len()) > LONGEST {
            return Some(Err(Step::Refuse { reply: four(91), why: "a name is too long" }));
        }
        let text = self.take(length?)?;
        self.take(1)?;
        Some(Ok(text))
    }
}

fn version_4(reader: &mut Reader<'_>) -> Option<Step> {
    let refuse = |why| Some(Step::Refuse { reply: four(91), why });
    let [_, command] = reader.array()?;
    let port = reader.port()?;
    let address: [u8; 4] = reader.array()?;
    if command != CONNECT {
        return refuse("only CONNECT is done");
    }
    if let Err(refusal) = reader.text()? {
        return Some(refusal);
    }
    // 0.0.0.x means that a name follows (4a).
    let host = match address {
        [0, 0, 0, last] if last != 0 => {
            let name = match reader.text()? {
                Ok(name) => name,
                Err(refusal) => return Some(refusal),
            };
            match name_of(name) {
                Some(name) => name,
                None => return refuse("the name is none"),
            }
        }
        address => Ipv4Addr::from(address).to_string(),
    };
    Some(Step::Connect { used: reader.at, target: Place::Tcp { host, port }, version: Version::Four })
}

fn greeting(reader: &mut Reader<'_>) -> Option<Step> {
    let [_, count] = reader.array()?;
    let methods = reader.take(count.into())?;
    if methods.contains(&NO_AUTHENTICATION) {
        Some(Step::Say { used: reader.at, reply: vec![VERSION_5, NO_AUTHENTICATION] })
    } else {
        let reply = vec![VERSION_5, NO_METHOD];
        Some(Step::Refuse { reply, why: "the client wants to authenticate itself" })
    }
}

fn request(reader: &mut Reader<'_>) -> Option<Step> {
    let refuse = |code, why| Some(Step::Refuse { reply: five(code), why });
    let [_, command, _, kind] = reader.array()?;
    let host = match kind {
        1 => Ipv4Addr::from(reader.array::<4>()?).to_string(),
        3 => {
            let length = reader.byte()?;
            match name_of(reader.take(length.into())?) {
                Some(name) => name,
                None => return refuse(1, "the name is none"),
            }
        }
        4 => Ipv6Addr::from(reader.array::<16>()?).to_string(),
        _ => return refuse(8, "the address is of an unknown kind"),
    };
    let port = reader.port()?;
    if command != CONNECT {
        return refuse(7, "only CONNECT is done");
    }
    Some(Step::Connect { used: reader.at, target: Place::Tcp { host, port }, version: Version::Five })
}

/// A name that a server can be asked for.
fn name_of(bytes: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(bytes).ok()?;
    let plain = !name.is_empty() && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    plain.then(|| name.to_owned())
}

fn four(code: u8) -> Vec<u8> {
    vec![0, code, 0, 0, 0, 0, 0, 0]
}

fn five(code: u8) -> Vec<u8> {
    // The address that was bound is not known here.
    vec![VERSION_5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
#[path = "socks_tests.rs"]
mod tests;
