//! The server's end of the PAM process.

use std::{
    io,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
};
use zeroize::Zeroizing;

use super::{
    codec::frame_length,
    messages::{Denied, Granted, Questions, Refusal, Request, Secret, Session},
    wire::{PamMessage, ServerMessage, WireError},
};

/// A PAM process: one attempt of one user to log in, and the session that follows.
///
/// Dropping this closes the socket, upon which the process closes the session and ends, in its own time.
#[derive(Debug)]
pub struct PamProcess {
    socket: UnixStream,
    child: Child,
    turn: Turn,
    /// Whether the user may not log in whatever PAM says.
    in_vain: bool,
    /// What was received of the next message.
    received: Vec<u8>,
    /// What is to be sent, and how much of it was.
    sending: (Zeroizing<Vec<u8>>, usize),
}

/// What PAM wants next, or what it has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PamStep {
    /// Ask the user, and give the answers to [`PamProcess::answer`].
    Ask(Questions),
    /// The user may log in.
    Granted(Granted),
    /// The user may not, and this process is of no more use.
    Denied(Denied),
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// PAM's: it asks or decides.
    Pam,
    /// The user's, with so many answers.
    User(usize),
    /// The server's, which may open a session.
    Granted,
    /// PAM's: it opens a session.
    Opening,
    /// Nobody's: all is said.
    Over,
}

/// The PAM process cannot go on. Before the login, the user must be refused.
#[derive(Debug, thiserror::Error)]
pub enum PamError {
    /// It could not be started.
    #[error("cannot start the PAM process: {0}")]
    Start(#[source] io::Error),
    /// It ended before it decided.
    #[error("the PAM process ended by itself")]
    Ended,
    /// The socket failed.
    #[error("the PAM process's socket: {0}")]
    Socket(#[source] io::Error),
    /// A message is too long, or makes no sense.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The PAM process says what is not its turn to say.
    #[error("the PAM process spoke out of turn")]
    OutOfTurn,
    /// This was called when it was not the server's turn.
    #[error("nothing was asked")]
    NotAsked,
    /// There must be an answer to each question.
    #[error("{given} answers to {asked} questions")]
    Answers {
        /// The questions there were.
        asked: usize,
        /// The answers there were.
        given: usize,
    },
    /// The server cannot become what the PAM process became.
    #[error("cannot take over from the PAM process: {0}")]
    Legacy(#[source] io::Error),
    /// There is no session: what PAM says.
    #[error("no session: {}", .0.reason)]
    NoSession(Denied),
}

impl PamProcess {
    /// Starts the PAM process, which asks nothing before [`PamProcess::next`] is called.
    ///
    /// The command runs a program that calls [`run`](super::run) at once. Its stdin and stdout are set
    /// here, and of its environment only TZ is left, as in sshd.
    ///
    /// # Errors
    ///
    /// Where the program cannot be run, or a name in the request is too long.
    pub fn start(command: std::process::Command, request: Request) -> io::Result<Self> {
        let frame = ServerMessage::Start(request).encode().map_err(io::Error::other)?;
        let (socket, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        theirs.set_nonblocking(false)?;
        let mut command = Command::from(command);
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).env_clear();
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        let child = command.spawn()?;
        Ok(Self { socket, child, turn: Turn::Pam, in_vain: false, received: Vec::new(), sending: (frame, 0) })
    }

    /// Goes through the motions for a user who may not log in: one whom the server does not know, or root
    /// where root may not. PAM gets answers that nobody gives, of the same length, and whatever it
    /// decides is no (OpenSSH's `fake_password`). Neither the questions nor the time tell such a user.
    #[must_use]
    pub fn in_vain(mut self) -> Self {
        self.in_vain = true;
        self
    }

    /// What PAM wants next.
    ///
    /// Cancel safe: nothing is lost where it is dropped and called again.
    ///
    /// # Errors
    ///
    /// [`PamError`]: the user must be refused.
    pub async fn next(&mut self) -> Result<PamStep, PamError> {
        if self.turn != Turn::Pam {
            return Err(PamError::NotAsked);
        }
        let message = self.exchange().await?;
        let (turn, step) = match message {
            PamMessage::Ask(questions) if !questions.prompts.is_empty() => {
                (Turn::User(questions.prompts.len()), PamStep::Ask(questions))
            }
            PamMessage::Granted(granted) if self.in_vain => (Turn::Over, PamStep::Denied(vain(granted))),
            PamMessage::Granted(granted) => (Turn::Granted, PamStep::Granted(granted)),
            PamMessage::Denied(denied) => (Turn::Over, PamStep::Denied(denied)),
            PamMessage::Ask(_) | PamMessage::SessionOpened(_) | PamMessage::SessionFailed(_) => {
                return Err(PamError::OutOfTurn);
            }
        };
        self.turn = turn;
        Ok(step)
    }

    /// Answers the questions that [`PamProcess::next`] returned, one each. They are sent by the next call
    /// of it.
    ///
    /// # Errors
    ///
    /// [`PamError`], also where an answer is longer than [`LONGEST_ANSWER`](super::LONGEST_ANSWER): the
    /// user must be refused.
    pub fn answer(&mut self, mut answers: Vec<Secret>) -> Result<(), PamError> {
        let Turn::User(asked) = self.turn else { return Err(PamError::NotAsked) };
        if answers.len() != asked {
            return Err(PamError::Answers { asked, given: answers.len() });
        }
        if self.in_vain {
            answers = answers.iter().map(|answer| fake(answer.len())).collect();
        }
        self.say(&ServerMessage::Answers(answers), Turn::Pam)
    }

    /// Leaves the questions without answers, upon which PAM mostly says no.
    ///
    /// # Errors
    ///
    /// [`PamError::NotAsked`].
    pub fn leave_unanswered(&mut self) -> Result<(), PamError> {
        let Turn::User(_) = self.turn else { return Err(PamError::NotAsked) };
        self.say(&ServerMessage::NoAnswers, Turn::Pam)
    }

    /// Sets up the credentials and opens a session, once, after PAM granted the login: while the server is
    /// still root, and before it takes on the user's groups. The terminal is PAM_TTY; sshd says `ssh`.
    /// `authentication` has the steps of authentication, one a line, which modules see as SSH_AUTH_INFO_0.
    ///
    /// Not cancel safe: where it is dropped, so must this be.
    ///
    /// # Errors
    ///
    /// [`PamError`]; [`PamError::NoSession`] where PAM says no.
    pub async fn open_session(&mut self, tty: &str, authentication: &str) -> Result<Session, PamError> {
        if self.turn != Turn::Granted {
            return Err(PamError::NotAsked);
        }
        let message =
            ServerMessage::OpenSession { tty: tty.to_owned(), authentication: authentication.to_owned() };
        self.say(&message, Turn::Opening)?;
        let message = self.exchange().await?;
        self.turn = Turn::Over;
        match message {
            PamMessage::SessionOpened(session) => Ok(session),
            PamMessage::SessionFailed(denied) => Err(PamError::NoSession(denied)),
            PamMessage::Ask(_) | PamMessage::Granted(_) | PamMessage::Denied(_) => Err(PamError::OutOfTurn),
        }
    }

    /// The number of the process, as long as it has not been waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process has ended, which it does by itself only where something went wrong.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Closes the socket, and waits until the session is closed and the process has ended.
    ///
    /// Cancel safe: the process ends in its own time then.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn end(self) -> io::Result<ExitStatus> {
        let Self { socket, mut child, .. } = self;
        drop(socket);
        child.wait().await
    }

    fn say(&mut self, message: &ServerMessage, turn: Turn) -> Result<(), PamError> {
        self.sending = (message.encode()?, 0);
        self.turn = turn;
        Ok(())
    }

    /// Sends what is to be sent, and receives a message. Cancel safe.
    async fn exchange(&mut self) -> Result<PamMessage, PamError> {
        let (frame, sent) = &mut self.sending;
        while *sent < frame.len() {
            match self.socket.write(&frame[*sent..]).await {
                Ok(count) => *sent += count,
                // What it said before is still to be read.
                Err(error) if is_end(&error) => break,
                Err(error) => return Err(PamError::Socket(error)),
            }
        }
        self.sending = (Zeroizing::default(), 0);
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            match self.socket.read_buf(&mut self.received).await {
                Ok(0) => return Err(PamError::Ended),
                Ok(_) => {}
                Err(error) if is_end(&error) => return Err(PamError::Ended),
                Err(error) => return Err(PamError::Socket(error)),
            }
        }
    }

    /// The message that was received, if all of it was.
    fn take_message(&mut self) -> Result<Option<PamMessage>, WireError> {
        let Some((header, rest)) = self.received.split_first_chunk() else { return Ok(None) };
        let length = frame_length(*header)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = PamMessage::decode(body)?;
        self.received.drain(..4 + length);
        Ok(Some(message))
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// What a user is told who may not log in, though PAM says otherwise.
fn vain(granted: Granted) -> Denied {
    Denied {
        messages: granted.messages,
        refusal: Refusal::Authentication,
        reason: "PAM granted a login that the server does not".to_owned(),
    }
}

/// An answer that is never right, which is as long as the one that was given.
fn fake(length: usize) -> Secret {
    const JUNK: &[u8] = b"\x08\n\r\x7fINCORRECT";
    let mut answer = Secret::new(String::with_capacity(length));
    answer.extend(JUNK.iter().cycle().take(length).map(|byte| char::from(*byte)));
    answer
}
