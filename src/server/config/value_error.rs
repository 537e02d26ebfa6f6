//! Why a value is refused.

use super::{algorithms::AlgorithmError, tokens::TokenError};
use crate::server::{host_port::NotHostPort, pattern::HostListError};

/// A value was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// There is none.
    #[error("a value is missing")]
    Missing,
    /// There are too many.
    #[error("`{0}` is one value too many")]
    Extra(String),
    /// It is of the wrong kind.
    #[error("`{got}` is not {want}")]
    Wrong {
        /// As written.
        got: String,
        /// What may stand there.
        want: &'static str,
    },
    /// `any` or `none` beside others.
    #[error("`{0}` must stand alone")]
    NotAlone(&'static str),
    /// A place for forwards.
    #[error(transparent)]
    Place(#[from] NotHostPort),
    /// A pattern of users and hosts.
    #[error(transparent)]
    Hosts(#[from] HostListError),
    /// A list of algorithms.
    #[error(transparent)]
    Algorithms(#[from] AlgorithmError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

pub(super) fn wrong(got: &str, want: &'static str) -> ValueError {
    ValueError::Wrong { got: got.to_owned(), want }
}

pub(super) fn parse_all(
    words: &[String],
    want: &'static str,
    good: impl Fn(&str) -> bool,
) -> Result<Vec<String>, ValueError> {
    match words.iter().find(|word| !good(word)) {
        Some(word) => Err(wrong(word, want)),
        None if words.is_empty() => Err(ValueError::Missing),
        None => Ok(words.to_vec()),
    }
}

pub(super) fn names(words: &[String]) -> Result<Vec<String>, ValueError> {
    parse_all(words, "a name", |word| !word.is_empty())
}
