//! What a check has found.

use std::fmt;

use serde::Serialize;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be, or not asked for.
    Ok,
    /// It works, but not as well as it could, or not for everybody.
    Warning,
    /// It does not work.
    Failed,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it stands with it.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    /// Of a message whose first line says what is wrong, and the others what to do.
    pub(super) fn warning(check: &'static str, message: &dyn fmt::Display) -> Self {
        Self::of(check, Verdict::Warning, &message.to_string())
    }

    /// The same.
    pub(super) fn failed(check: &'static str, message: &dyn fmt::Display) -> Self {
        Self::of(check, Verdict::Failed, &message.to_string())
    }

    fn of(check: &'static str, verdict: Verdict, message: &str) -> Self {
        let (found, advice) = match message.split_once('\n') {
            Some((found, advice)) => (found, Some(advice.to_owned())),
            None => (message, None),
        };
        Self { check, verdict, found: found.to_owned(), advice }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        })
    }
}

/// A line, and what to do about it indented below.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7}  {}: {}", self.verdict, self.check, self.found)?;
        let mut advice = self.advice.iter().flat_map(|advice| advice.lines());
        advice.try_for_each(|line| write!(f, "\n           {line}"))
    }
}
