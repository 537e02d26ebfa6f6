//! What is wrong with a configuration.

use super::{condition::ConditionError, keyword::UnknownKeyword, value_error::ValueError};

/// The configuration is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// File and line, `-o` or `[sshd]`.
    pub place: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No such keyword.
    #[error(transparent)]
    Unknown(#[from] UnknownKeyword),
    /// A keyword of sshd that is not served, with a value that asks for something.
    #[error("{keyword} is not supported by this server: leave it out, or write {harmless}")]
    Unsupported {
        /// The keyword.
        keyword: &'static str,
        /// The value that asks for nothing.
        harmless: &'static str,
    },
    /// A keyword alone.
    #[error("{0} needs a value")]
    NoValue(String),
    /// The value is refused.
    #[error("{keyword}: {error}")]
    Value {
        /// The keyword.
        keyword: &'static str,
        /// Why.
        error: ValueError,
    },
    /// A quote that is not closed.
    #[error("{0}: a quote is not closed")]
    Quotes(String),
    /// In TOML, a value of a type that says nothing here.
    #[error("{0}: use a string, a number, true, false or a list of them")]
    Type(String),
    /// A keyword for the whole server in a `Match` block.
    #[error("{0} is not allowed within a Match block")]
    NotInMatch(&'static str),
    /// `Match` or `Include` on a command line.
    #[error("{0} is not supported as a command-line option")]
    NotHere(&'static str),
    /// A `Match` line.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// A file could not be read: pattern and reason.
    #[error("cannot include {0}: {1}")]
    Include(String, String),
    /// Files that include one another.
    #[error("too many files include one another")]
    TooDeep,
}
