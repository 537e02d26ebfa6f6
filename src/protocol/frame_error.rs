//! What is wrong with bytes that should be a frame.

use super::numbers::{FIRST_WINDOW, MAX_WINDOW, VERSION};

/// Bytes that are not a frame of `irosh/1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is longer than any of its kind.
    #[error("a frame of {length} bytes is longer than {max}")]
    TooLong {
        /// What the header says.
        length: usize,
        /// What is allowed here.
        max: usize,
    },
    /// The frame ends within a field.
    #[error("a frame ends within a field")]
    Truncated,
    /// Something follows the last field.
    #[error("{0} bytes follow the end of a frame")]
    Trailing(usize),
    /// A field is longer than it may be.
    #[error("a field of {length} bytes is longer than {max}")]
    FieldTooLong {
        /// What the field says.
        length: usize,
        /// What is allowed.
        max: usize,
    },
    /// A field for people is not UTF-8, or has control characters in it.
    #[error("a text field is not text")]
    NotText,
    /// No such frame.
    #[error("there is no frame of type {0}")]
    UnknownType(u8),
    /// A frame that has no place here.
    #[error("a frame of type {0} was not expected")]
    Unexpected(u8),
    /// A window that is too small to begin with, or more than anybody has to keep.
    #[error("a window of {0} bytes is not from {FIRST_WINDOW} to {MAX_WINDOW}")]
    Window(u32),
    /// The other side speaks another revision, and nothing more of what it says is understood.
    #[error("the other side speaks version {0} of irosh/1, and this is version {VERSION}")]
    Version(u32),
}
