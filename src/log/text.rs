//! Text for people: a stranger's, and that of errors.

use std::error::Error;

/// An error and its causes, each said once: many an error says its cause itself.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        next = cause.source();
    }
    said
}

/// Text that may be a stranger's, for a terminal or a log: characters that could steer it, or show what follows
/// in another order than it is written, are escaped, but for ends of lines and tabs.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The same as one line, and no more of it than fits one: what the other side of a connection said.
#[must_use]
pub fn one_line(text: &str) -> String {
    let text = printable(&text.replace(['\n', '\t'], " "));
    text.chars().take(200).collect()
}

/// Whether a character is one of Unicode's controls (Cc), formats (Cf) or separators of lines and paragraphs
/// (Zl, Zp), as of Unicode 17: nothing of it is seen but what it does to others.
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped_and_everything_else_stays() {
        for (text, shown) in [
            ("a\tb\nc", "a\tb\nc"),
            ("é 漢字\u{3000}e\u{301} 😀", "é 漢字\u{3000}e\u{301} 😀"),
            ("\u{1b}]0;x\u{7}\u{9b}2J\r", "\\u{1b}]0;x\\u{7}\\u{9b}2J\\r"),
            ("exe.\u{202e}txt", "exe.\\u{202e}txt"),
            ("\u{2066}x\u{2069}\u{200f}", "\\u{2066}x\\u{2069}\\u{200f}"),
            ("a\u{2028}b\u{e0041}", "a\\u{2028}b\\u{e0041}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::other("the disk is full");
        let says_its_cause = crate::names::AliasError::Io(cause());
        assert_eq!(with_causes(&says_its_cause), "cannot use the list of hosts: the disk is full");
        let does_not = anyhow::Error::new(cause()).context("the invite was not made");
        assert_eq!(with_causes(&*does_not), "the invite was not made: the disk is full");
        let both = anyhow::Error::new(says_its_cause).context("no name was given");
        assert_eq!(with_causes(&*both), "no name was given: cannot use the list of hosts: the disk is full");
    }
}
