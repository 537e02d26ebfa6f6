//! How much is logged.

use std::fmt;

/// How much is logged, by the words of LogLevel (sshd_config(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Nothing.
    Quiet,
    /// What ends the server.
    Fatal,
    /// What went wrong at its side.
    #[default]
    Error,
    /// Logins; of sftp, sessions, files that were opened and closed, what was changed, and what failed.
    Info,
    /// Also forwards and why they failed; of sftp, links and paths that were asked for, and requests that are not
    /// allowed.
    Verbose,
    /// As the next.
    Debug1,
    /// As the next.
    Debug2,
    /// Every packet, or request.
    Debug3,
}

impl LogLevel {
    /// The words there are.
    pub(super) const WORDS: &str = "QUIET, FATAL, ERROR, INFO, VERBOSE, DEBUG, DEBUG2 or DEBUG3";

    /// Reads a word, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "QUIET" => Self::Quiet,
            "FATAL" => Self::Fatal,
            "ERROR" => Self::Error,
            "INFO" => Self::Info,
            "VERBOSE" => Self::Verbose,
            "DEBUG" | "DEBUG1" => Self::Debug1,
            "DEBUG2" => Self::Debug2,
            "DEBUG3" => Self::Debug3,
            _ => return None,
        })
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quiet => "QUIET",
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Info => "INFO",
            Self::Verbose => "VERBOSE",
            Self::Debug1 => "DEBUG",
            Self::Debug2 => "DEBUG2",
            Self::Debug3 => "DEBUG3",
        })
    }
}
