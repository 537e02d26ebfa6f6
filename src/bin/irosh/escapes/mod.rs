//! The escape characters of an interactive session (ssh(1), ESCAPE CHARACTERS): what was typed in,
//! what is to be sent and done out.

mod escape_char;
#[cfg(test)]
mod ssh_tests;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub(crate) use escape_char::EscapeChar;

/// What follows from typed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Bytes for the other side.
    Input(Vec<u8>),
    /// Something to do here.
    Action(Action),
}

/// What an escape asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// `~.`: end the connection.
    Disconnect,
    /// `~^Z`: stop this process until it is continued.
    Suspend,
    /// `~#`: print the forwarded connections.
    ListForwards,
    /// `~?`: print [`text::help`].
    Help,
    /// `~B`: send a BREAK (RFC 4335).
    Break,
    /// `~R`: exchange keys anew.
    Rekey,
}

/// Where in a line the typing is.
#[derive(Debug)]
pub(crate) struct Escapes {
    escape: Option<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start or behind a newline, where an escape counts.
    LineStart,
    /// Behind an escape, which is held back.
    Escaped,
    /// Elsewhere.
    Within,
}

impl Escapes {
    /// A session's, at the start of its first line. ssh knows no escapes in a session without a
    /// terminal: give [`EscapeChar::None`] there.
    #[must_use]
    pub(crate) fn new(escape: EscapeChar) -> Self {
        let escape = match escape {
            EscapeChar::None => None,
            EscapeChar::Byte(byte) => Some(byte),
        };
        Self { escape, state: State::LineStart }
    }

    /// Takes what was typed. Where the bytes are split over calls makes no difference, but to where
    /// the inputs are split.
    pub(crate) fn typed(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut out = Output(Vec::new());
        for &byte in bytes {
            self.byte(byte, &mut out);
        }
        out.0
    }

    fn byte(&mut self, byte: u8, out: &mut Output) {
        match (self.state, self.escape) {
            (State::LineStart, Some(escape)) if byte == escape => self.state = State::Escaped,
            (State::Escaped, Some(escape)) => match Action::of(byte) {
                // Behind what was done here the next escape counts too.
                Some(action) => {
                    self.state = State::LineStart;
                    out.action(action);
                }
                None => {
                    out.input(escape);
                    self.state = State::Within;
                    if byte != escape {
                        self.plain(byte, out);
                    }
                }
            },
            _ => self.plain(byte, out),
        }
    }

    fn plain(&mut self, byte: u8, out: &mut Output) {
        out.input(byte);
        self.state = if matches!(byte, b'\r' | b'\n') { State::LineStart } else { State::Within };
    }
}

impl Action {
    /// What the character behind an escape asks for at once.
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'.' => Self::Disconnect,
            0x1a => Self::Suspend,
            b'#' => Self::ListForwards,
            b'?' => Self::Help,
            b'B' => Self::Break,
            b'R' => Self::Rekey,
            _ => return None,
        })
    }
}

/// Joins what belongs together.
struct Output(Vec<Typed>);

impl Output {
    fn input(&mut self, byte: u8) {
        match self.0.last_mut() {
            Some(Typed::Input(bytes)) => bytes.push(byte),
            _ => self.0.push(Typed::Input(vec![byte])),
        }
    }

    fn action(&mut self, action: Action) {
        self.0.push(Typed::Action(action));
    }
}
