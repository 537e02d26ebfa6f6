//! The escape character, as `-e` and `EscapeChar` name it.

use std::{fmt, str::FromStr};

/// The character that starts an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EscapeChar {
    /// There is none: every byte is sent.
    None,
    /// This one.
    Byte(u8),
}

/// A text names no escape character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "bad escape character `{0}`\nexpected one character such as ~, a control character such as ^X, or none"
)]
pub(crate) struct NotEscapeChar(String);

impl Default for EscapeChar {
    fn default() -> Self {
        Self::Byte(b'~')
    }
}

impl FromStr for EscapeChar {
    type Err = NotEscapeChar;

    fn from_str(text: &str) -> Result<Self, NotEscapeChar> {
        match *text.as_bytes() {
            [byte] => Ok(Self::Byte(byte)),
            // What Ctrl makes of a letter.
            [b'^', letter @ 64..128] => Ok(Self::Byte(letter & 31)),
            _ if text == "none" => Ok(Self::None),
            _ => Err(NotEscapeChar(text.to_owned())),
        }
    }
}

impl fmt::Display for EscapeChar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Byte(byte @ 0..32) => write!(f, "^{}", char::from(byte + 64)),
            Self::Byte(byte) => write!(f, "{}", char::from(*byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_control_characters_and_none_are_read() {
        for (text, escape) in [
            ("~", EscapeChar::Byte(b'~')),
            ("^", EscapeChar::Byte(b'^')),
            ("^X", EscapeChar::Byte(24)),
            ("^[", EscapeChar::Byte(27)),
            ("none", EscapeChar::None),
        ] {
            assert_eq!(text.parse(), Ok(escape));
            assert_eq!(escape.to_string(), text);
        }
        assert_eq!("^x".parse(), Ok(EscapeChar::Byte(24)));
        for text in ["", "foo", "^1", "é", "^XX", "None"] {
            assert_eq!(text.parse::<EscapeChar>(), Err(NotEscapeChar(text.to_owned())));
        }
    }
}
