//! Lines cut into words.

use std::borrow::Cow;

/// Words between blanks, with one `=` between two of them counting as a blank, and with quotes (OpenSSH's
/// `strdelim`). May give an empty word at the start and at the end; ends at a quote that is not closed.
pub(super) struct Delimited<'a> {
    pub(super) rest: Option<&'a str>,
}

impl<'a> Delimited<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }
}

impl<'a> Iterator for Delimited<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
        let text = self.rest.take()?;
        let Some(at) = text.find([' ', '\t', '\r', '\n', '"', '=']) else { return Some(text.into()) };
        let (word, delimiter, after) = (&text[..at], &text[at..=at], &text[at + 1..]);
        if delimiter == "\"" {
            let (quoted, after) = after.split_once('"')?;
            self.rest = Some(after.trim_start_matches(BLANKS));
            return Some(if word.is_empty() { quoted.into() } else { format!("{word}{quoted}").into() });
        }
        let after = after.trim_start_matches(BLANKS);
        let after_equals = after.strip_prefix('=').filter(|_| delimiter != "=");
        self.rest = Some(after_equals.map_or(after, |after| after.trim_start_matches(BLANKS)));
        Some(word.into())
    }
}

/// Splits a text into words as a shell does, more or less: at spaces and tabs, with single and double
/// quotes, and backslashes before quotes, backslashes and blanks; with `comments`, a `#` at the start of
/// a word ends it (OpenSSH's `argv_split`). `None` when a quote is not closed.
#[must_use]
pub fn split_words(text: &str, comments: bool) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|&c| c == ' ' || c == '\t').is_some() {}
        match chars.peek() {
            None => return Some(words),
            Some('#') if comments => return Some(words),
            Some(_) => {}
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', _) => {
                    let escaped = chars.next_if(|&c| "'\"\\".contains(c) || c == ' ' && quote.is_none());
                    word.push(escaped.unwrap_or('\\'));
                }
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.push(c),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}
