//! What the server and its PAM process say to each other.
//!
//! Each message is a frame: a `uint32` with the length of what follows, a byte that tells the message,
//! and its fields in the types of RFC 4251 section 5.

use zeroize::Zeroizing;

use super::{
    codec::{Reader, Writer},
    messages::{Denied, Granted, Prompt, Proof, Questions, Refusal, Request, Secret, Session},
};

/// The most bytes of a frame, without its length.
pub(super) const LONGEST_FRAME: usize = 1 << 20;

/// The most bytes of an answer, which is what sshd takes of a password.
pub const LONGEST_ANSWER: usize = 1024;

/// The most questions at once (Linux-PAM's `PAM_MAX_NUM_MSG`).
pub(super) const MOST_PROMPTS: usize = 32;

/// The most variables of an environment, which is what sshd takes from its PAM process.
pub(super) const MOST_VARIABLES: usize = 1024;

/// The most bytes of a name: of a user, a service, a terminal.
pub(super) const LONGEST_NAME: usize = 1024;

/// The most bytes of a text for the user: some modules draw pictures.
pub(super) const LONGEST_TEXT: usize = 64 * 1024;

/// The most supplementary groups, which is what Linux has.
const MOST_GROUPS: usize = 65_536;

/// The most kinds of limits that a system could have.
const MOST_LIMITS: usize = 64;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerMessage {
    /// The first message, once.
    Start(Request),
    /// One for each prompt.
    Answers(Vec<Secret>),
    /// The questions cannot be answered: the conversation fails.
    NoAnswers,
    /// Once, after it was granted.
    OpenSession {
        /// PAM_TTY.
        tty: String,
        /// All steps of authentication, for SSH_AUTH_INFO_0.
        authentication: String,
    },
}

/// What the PAM process says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PamMessage {
    /// The user is asked; answers must follow.
    Ask(Questions),
    /// The user may log in.
    Granted(Granted),
    /// The user may not. The process ends.
    Denied(Denied),
    /// The session is open until the socket is closed.
    SessionOpened(Session),
    /// There is no session. The process ends.
    SessionFailed(Denied),
}

/// A message could not be sent, or makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than its bound.
    #[error("a {what} of {length} is above {bound}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Bytes or pieces.
        length: usize,
        /// The most there may be.
        bound: usize,
    },
    /// It ends too early, or too late, or a byte has a value that means nothing.
    #[error("a malformed {0}")]
    Malformed(&'static str),
}

impl ServerMessage {
    /// The frame, of which no copy stays behind in memory.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLong`].
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let mut writer = match self {
            Self::Start(_) => Writer::new(1, 256),
            // As long as it gets: a vector that grows leaves its old memory as it was.
            Self::Answers(answers) => Writer::new(2, answers.iter().map(|answer| answer.len() + 4).sum()),
            Self::NoAnswers => Writer::new(3, 0),
            Self::OpenSession { .. } => Writer::new(4, 256),
        };
        match self {
            Self::Start(request) => request.write(&mut writer)?,
            Self::Answers(answers) => {
                writer.count("list of answers", answers.len(), MOST_PROMPTS)?;
                for answer in answers {
                    writer.string("answer", answer.as_bytes(), LONGEST_ANSWER)?;
                }
            }
            Self::NoAnswers => {}
            Self::OpenSession { tty, authentication } => {
                writer.string("terminal", tty.as_bytes(), LONGEST_NAME)?;
                writer.string("list of methods", authentication.as_bytes(), LONGEST_TEXT)?;
            }
        }
        writer.finish()
    }

    /// Reads what is in a frame, without its length.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub(super) fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let message = match reader.byte("message")? {
            1 => Self::Start(Request::read(&mut reader)?),
            2 => {
                let count = reader.count("list of answers", MOST_PROMPTS)?;
                let answer =
                    |_| reader.text("answer", LONGEST_ANSWER).map(|text| Secret::new(text.to_owned()));
                Self::Answers((0..count).map(answer).collect::<Result<_, _>>()?)
            }
            3 => Self::NoAnswers,
            4 => Self::OpenSession {
                tty: reader.text("terminal", LONGEST_NAME)?.to_owned(),
                authentication: reader.text("list of methods", LONGEST_TEXT)?.to_owned(),
            },
            _ => return Err(WireError::Malformed("message")),
        };
        reader.finish(message)
    }
}

impl PamMessage {
    /// The frame.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLong`].
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let kind = match self {
            Self::Ask(_) => 1,
            Self::Granted(_) => 2,
            Self::Denied(_) => 3,
            Self::SessionOpened(_) => 4,
            Self::SessionFailed(_) => 5,
        };
        let mut writer = Writer::new(kind, 256);
        match self {
            Self::Ask(questions) => questions.write(&mut writer)?,
            Self::Granted(granted) => {
                writer.string("text", granted.messages.as_bytes(), LONGEST_TEXT)?;
                writer.flag(granted.change_password);
            }
            Self::Denied(denied) | Self::SessionFailed(denied) => {
                writer.string("text", denied.messages.as_bytes(), LONGEST_TEXT)?;
                writer.byte(denied.refusal as u8);
                writer.string("reason", denied.reason.as_bytes(), LONGEST_TEXT)?;
            }
            Self::SessionOpened(session) => session.write(&mut writer)?,
        }
        writer.finish()
    }

    /// Reads what is in a frame, without its length.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub(super) fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let message = match reader.byte("message")? {
            1 => Self::Ask(Questions::read(&mut reader)?),
            2 => Self::Granted(Granted {
                messages: reader.text("text", LONGEST_TEXT)?.to_owned(),
                change_password: reader.flag("flag")?,
            }),
            3 => Self::Denied(Denied::read(&mut reader)?),
            4 => Self::SessionOpened(Session::read(&mut reader)?),
            5 => Self::SessionFailed(Denied::read(&mut reader)?),
            _ => return Err(WireError::Malformed("message")),
        };
        reader.finish(message)
    }
}

impl Request {
    fn write(&self, writer: &mut Writer) -> Result<(), WireError> {
        writer.string("service", self.service.as_bytes(), LONGEST_NAME)?;
        writer.string("user", self.user.as_bytes(), LONGEST_NAME)?;
        writer.optional("host", self.rhost.as_deref().map(str::as_bytes), LONGEST_NAME)?;
        writer.string("terminal", self.tty.as_bytes(), LONGEST_NAME)?;
        writer.optional("connection", self.connection.as_deref().map(str::as_bytes), LONGEST_NAME)?;
        writer.string("list of methods", self.authentication.as_bytes(), LONGEST_TEXT)?;
        writer.byte(self.proof as u8);
        writer.flag(self.permit_empty_passwords);
        let services = self.services.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
        writer.optional("folder", services, LONGEST_NAME)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        use std::os::unix::ffi::OsStrExt;
        Ok(Self {
            service: reader.text("service", LONGEST_NAME)?.to_owned(),
            user: reader.text("user", LONGEST_NAME)?.to_owned(),
            rhost: reader.optional_text("host", LONGEST_NAME)?.map(str::to_owned),
            tty: reader.text("terminal", LONGEST_NAME)?.to_owned(),
            connection: reader.optional_text("connection", LONGEST_NAME)?.map(str::to_owned),
            authentication: reader.text("list of methods", LONGEST_TEXT)?.to_owned(),
            proof: match reader.byte("proof")? {
                0 => Proof::Answers,
                1 => Proof::Password,
                2 => Proof::Elsewhere,
                _ => return Err(WireError::Malformed("proof")),
            },
            permit_empty_passwords: reader.flag("flag")?,
            services: reader
                .optional("folder", LONGEST_NAME)?
                .map(|bytes| std::ffi::OsStr::from_bytes(bytes).into()),
        })
    }
}

impl Questions {
    fn write(&self, writer: &mut Writer) -> Result<(), WireError> {
        writer.string("name", self.name.as_bytes(), LONGEST_NAME)?;
        writer.string("text", self.instructions.as_bytes(), LONGEST_TEXT)?;
        writer.count("list of prompts", self.prompts.len(), MOST_PROMPTS)?;
        for prompt in &self.prompts {
            writer.string("prompt", prompt.text.as_bytes(), LONGEST_TEXT)?;
            writer.flag(prompt.echo);
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let name = reader.text("name", LONGEST_NAME)?.to_owned();
        let instructions = reader.text("text", LONGEST_TEXT)?.to_owned();
        let count = reader.count("list of prompts", MOST_PROMPTS)?;
        let prompt = |_| {
            let text = reader.text("prompt", LONGEST_TEXT)?.to_owned();
            Ok(Prompt { text, echo: reader.flag("flag")? })
        };
        Ok(Self { name, instructions, prompts: (0..count).map(prompt).collect::<Result<_, _>>()? })
    }
}

impl Denied {
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let messages = reader.text("text", LONGEST_TEXT)?.to_owned();
        let refusal = match reader.byte("refusal")? {
            0 => Refusal::Setup,
            1 => Refusal::Authentication,
            2 => Refusal::TooManyTries,
            3 => Refusal::Account,
            4 => Refusal::Session,
            _ => return Err(WireError::Malformed("refusal")),
        };
        Ok(Self { messages, refusal, reason: reader.text("reason", LONGEST_TEXT)?.to_owned() })
    }
}

impl Session {
    fn write(&self, writer: &mut Writer) -> Result<(), WireError> {
        writer.count("environment", self.environment.len(), MOST_VARIABLES)?;
        for (name, value) in &self.environment {
            writer.string("variable", name, LONGEST_TEXT)?;
            writer.string("variable", value, LONGEST_TEXT)?;
        }
        writer.string("text", self.messages.as_bytes(), LONGEST_TEXT)?;
        writer.number(self.legacy.umask);
        writer.number(self.legacy.nice.cast_unsigned());
        writer.count("list of groups", self.legacy.groups.len(), MOST_GROUPS)?;
        self.legacy.groups.iter().for_each(|group| writer.number(*group));
        writer.count("list of limits", self.legacy.limits.len(), MOST_LIMITS)?;
        for (resource, soft, hard) in &self.legacy.limits {
            writer.number(*resource);
            writer.long(*soft);
            writer.long(*hard);
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut session = Self::default();
        for _ in 0..reader.count("environment", MOST_VARIABLES)? {
            let name = reader.string("variable", LONGEST_TEXT)?.to_vec();
            session.environment.push((name, reader.string("variable", LONGEST_TEXT)?.to_vec()));
        }
        session.messages = reader.text("text", LONGEST_TEXT)?.to_owned();
        session.legacy.umask = reader.number("mask")?;
        session.legacy.nice = reader.number("nice value")?.cast_signed();
        for _ in 0..reader.count("list of groups", MOST_GROUPS)? {
            session.legacy.groups.push(reader.number("group")?);
        }
        for _ in 0..reader.count("list of limits", MOST_LIMITS)? {
            let resource = reader.number("limit")?;
            session.legacy.limits.push((resource, reader.long("limit")?, reader.long("limit")?));
        }
        Ok(session)
    }
}
