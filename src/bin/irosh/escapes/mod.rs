//! The escape characters of an interactive session (ssh(1), ESCAPE CHARACTERS): what was typed in,
//! what is to be sent and done out.

mod command;
mod escape_char;
mod line;
#[cfg(test)]
mod ssh_tests;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub(crate) use command::{Command, NotCommand};
pub(crate) use escape_char::EscapeChar;
use line::{Line, LineEvent};

/// What follows from typed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Bytes for the other side.
    Input(Vec<u8>),
    /// Something to do here.
    Action(Action),
}

/// What an escape asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// `~.`: end the connection.
    Disconnect,
    /// `~^Z`: stop this process until it is continued.
    Suspend,
    /// `~#`: print the forwarded connections.
    ListForwards,
    /// `~&`: go on in the background after the session.
    Background,
    /// `~?`: print [`text::help`].
    Help,
    /// `~B`: send a BREAK (RFC 4335).
    Break,
    /// `~R`: exchange keys anew.
    Rekey,
    /// `~V`: log less.
    LogLess,
    /// `~v`: log more.
    LogMore,
    /// `~C`, and while its line is typed: show these bytes on the terminal. Output of the other side
    /// waits while [`Escapes::is_command_line_open`], as it does in ssh.
    Show(Vec<u8>),
    /// The line of `~C` is complete.
    Command(Result<Command, NotCommand>),
}

/// Where in a line the typing is.
#[derive(Debug)]
pub(crate) struct Escapes {
    escape: Option<u8>,
    state: State,
    /// The command line that `~C` opened.
    line: Option<Line>,
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
        Self { escape, state: State::LineStart, line: None }
    }

    /// Whether a line for `~C` is being typed.
    #[must_use]
    pub(crate) fn is_command_line_open(&self) -> bool {
        self.line.is_some()
    }

    /// Takes what was typed. Where the bytes are split over calls makes no difference, but to where
    /// the inputs are split.
    pub(crate) fn typed(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut out = Output(Vec::new());
        for &byte in bytes {
            if let Some(line) = &mut self.line {
                match line.typed(byte) {
                    LineEvent::Show(bytes) => out.show(&bytes),
                    LineEvent::Ended(text) => {
                        self.line = None;
                        out.show(b"\r\n");
                        out.action(Action::Command(text.parse()));
                    }
                }
            } else {
                self.byte(byte, &mut out);
            }
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
                None if byte == b'C' => {
                    self.state = State::LineStart;
                    self.line = Some(Line::default());
                    out.show(text::PROMPT.as_bytes());
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
            b'&' => Self::Background,
            b'?' => Self::Help,
            b'B' => Self::Break,
            b'R' => Self::Rekey,
            b'V' => Self::LogLess,
            b'v' => Self::LogMore,
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

    fn show(&mut self, shown: &[u8]) {
        match self.0.last_mut() {
            _ if shown.is_empty() => {}
            Some(Typed::Action(Action::Show(bytes))) => bytes.extend_from_slice(shown),
            _ => self.action(Action::Show(shown.to_vec())),
        }
    }

    fn action(&mut self, action: Action) {
        self.0.push(Typed::Action(action));
    }
}
