//! A stranger's words, as the log has them.

use std::borrow::Cow;

/// The longest name that is logged, in characters.
const LONGEST_NAME: usize = 64;

/// A stranger's word as it stands in the log: one that could be taken for several, or for something else, is
/// quoted.
pub(super) fn shown(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_.@+:/=$".contains(c);
    if !word.is_empty() && word.chars().all(plain) && word.chars().nth(LONGEST_NAME).is_none() {
        return word.into();
    }
    let short: String = word.chars().take(LONGEST_NAME).collect();
    format!("{short:?}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_read_as_more_are_quoted() {
        for (word, expected) in [
            ("alice", "alice"),
            ("DOMAIN\\alice", r#""DOMAIN\\alice""#),
            ("root from 10.0.0.1", r#""root from 10.0.0.1""#),
            ("a\nb", r#""a\nb""#),
            ("\u{202e}x", r#""\u{202e}x""#),
            ("", r#""""#),
        ] {
            assert_eq!(shown(word), expected);
        }
        assert_eq!(shown(&"x".repeat(1000)).len(), LONGEST_NAME + 2, "cut, and quoted to show it");
    }
}
