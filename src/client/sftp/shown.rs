//! Bytes from a stranger, made fit for a terminal.

use std::fmt::{self, Write};

/// A path or a message as text. What is not UTF-8 is replaced, and characters that could steer a terminal are
/// escaped.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in String::from_utf8_lossy(self.0).chars() {
            if crate::log::steers(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
