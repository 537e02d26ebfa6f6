//! How a session ended.

use std::io;

use super::output::Printed;

/// What came of a session.
pub(super) enum Ended {
    /// The process there ended.
    Process(Printed),
    /// This side was told to leave, with this to be said.
    Here(Option<String>),
}

impl Ended {
    pub(super) fn printed(printed: io::Result<Printed>) -> Self {
        match printed {
            Ok(printed) => Self::Process(printed),
            Err(error) => Self::Here(Some(error.to_string())),
        }
    }
}
