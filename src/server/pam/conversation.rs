//! What PAM's modules say and ask, and how it gets to the server.

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
};

use zeroize::Zeroizing;

use super::{
    codec::frame_length,
    libpam::{Answer, Conversation, Message, Style},
    messages::{Prompt, Questions},
    surroundings,
    wire::{LONGEST_TEXT, PamMessage, ServerMessage, WireError},
};

/// The socket to the server, and what has not been said yet.
pub(super) struct ServerLink {
    socket: UnixStream,
    /// Whether questions may be asked now.
    pub(super) asks: bool,
    messages: String,
}

/// The server cannot be heard, or not be understood.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It has closed the socket.
    #[error("the server has gone")]
    Gone,
    /// The socket failed.
    #[error("the server's socket: {0}")]
    Socket(#[source] io::Error),
    /// What it says makes no sense.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It says what is not its turn to say.
    #[error("the server spoke out of turn")]
    OutOfTurn,
}

impl ServerLink {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, asks: false, messages: String::new() }
    }

    /// What modules had to say since this was asked last.
    pub(super) fn take_messages(&mut self) -> String {
        std::mem::take(&mut self.messages)
    }

    /// Waits for the server's next message; `None` where the server has gone, or a signal asks this
    /// process to end.
    ///
    /// # Errors
    ///
    /// [`LinkError`].
    pub(super) fn next(&mut self) -> Result<Option<ServerMessage>, LinkError> {
        if !surroundings::wait(&self.socket).map_err(LinkError::Socket)? {
            return Ok(None);
        }
        match self.receive() {
            Ok(message) => Ok(Some(message)),
            Err(LinkError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for the server's next message, whatever signals come.
    ///
    /// # Errors
    ///
    /// [`LinkError`].
    pub(super) fn receive(&mut self) -> Result<ServerMessage, LinkError> {
        let mut header = [0; 4];
        self.fill(&mut header)?;
        let mut body = Zeroizing::new(vec![0; frame_length(header)?]);
        self.fill(&mut body)?;
        Ok(ServerMessage::decode(&body)?)
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), LinkError> {
        while !buffer.is_empty() {
            match self.socket.read(buffer) {
                Ok(0) => return Err(LinkError::Gone),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The server left something unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(LinkError::Gone),
                Err(error) => return Err(LinkError::Socket(error)),
            }
        }
        Ok(())
    }

    /// # Errors
    ///
    /// [`LinkError`].
    pub(super) fn send(&mut self, message: &PamMessage) -> Result<(), LinkError> {
        use rustix::{
            io::Errno,
            net::{SendFlags, send},
        };
        let frame = message.encode()?;
        let mut rest = &frame[..];
        while !rest.is_empty() {
            // SIGPIPE is at its default, and would end this process with a session open.
            match send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LinkError::Gone),
                Err(error) => return Err(LinkError::Socket(error.into())),
            }
        }
        Ok(())
    }

    fn ask(&mut self, prompts: Vec<Prompt>) -> Result<Option<Vec<Answer>>, LinkError> {
        let questions = Questions { name: String::new(), instructions: self.take_messages(), prompts };
        self.send(&PamMessage::Ask(questions))?;
        match self.receive()? {
            ServerMessage::Answers(answers) => Ok(Some(answers)),
            ServerMessage::NoAnswers => Ok(None),
            ServerMessage::Start(_) | ServerMessage::OpenSession { .. } => Err(LinkError::OutOfTurn),
        }
    }

    /// Keeps what a module says, as far as there is room for it.
    fn keep(&mut self, text: &str) {
        let room = LONGEST_TEXT.saturating_sub(self.messages.len() + 1);
        let cut = text.floor_char_boundary(room);
        self.messages.push_str(&text[..cut]);
        if self.messages.len() < LONGEST_TEXT {
            self.messages.push('\n');
        }
    }
}

impl Conversation for ServerLink {
    fn converse(&mut self, messages: Vec<Message>) -> Option<Vec<Answer>> {
        let mut prompts = Vec::new();
        let mut is_prompt = Vec::new();
        for Message { style, text } in messages {
            let echo = match style {
                Style::PromptEchoOff => Some(false),
                Style::PromptEchoOn => Some(true),
                Style::Error | Style::Info => None,
            };
            is_prompt.push(echo.is_some());
            match echo {
                Some(echo) => prompts.push(Prompt { text: bounded(text), echo }),
                // sshd leaves out what is empty, too.
                None if text.is_empty() => {}
                None => self.keep(&text),
            }
        }
        if prompts.is_empty() {
            return Some(is_prompt.iter().map(|_| Answer::default()).collect());
        }
        if !self.asks {
            return None;
        }
        let count = prompts.len();
        let answers = self.ask(prompts).unwrap_or_else(|error| {
            // What comes next fails as well, and says so.
            tracing::debug!("no answers: {error}");
            None
        })?;
        if answers.len() != count {
            return None;
        }
        let mut answers = answers.into_iter();
        let answer =
            |is_prompt| if is_prompt { answers.next().unwrap_or_default() } else { Answer::default() };
        Some(is_prompt.into_iter().map(answer).collect())
    }
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    text
}
