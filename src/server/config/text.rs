//! The syntax of sshd_config(5): lines, quotes, comments, `Match` and `Include`.

use std::{borrow::Cow, io};

use super::{ConfigError, Problem, SshdConfig, condition::Condition, set::Arguments};

/// OpenSSH's `SERVCONF_MAX_DEPTH`.
const DEEPEST_INCLUDE: usize = 16;

/// Reads the files that a pattern of `Include` stands for, in order: names and texts. None is no error.
/// The pattern is as written; in sshd a relative one is in `/etc/ssh`.
pub type IncludeFiles<'a> = dyn FnMut(&str) -> io::Result<Vec<(String, String)>> + 'a;

/// Where a line stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// All of them must hold.
    pub(super) conditions: Vec<Condition>,
    /// Whether a `Match` came before, be it `Match all`.
    pub(super) in_match: bool,
}

impl SshdConfig {
    /// Adds a file. What was added before it counts before it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first line that is wrong; also one in a block that never matches.
    pub fn add_file(
        &mut self,
        name: &str,
        text: &str,
        include: &mut IncludeFiles<'_>,
    ) -> Result<(), ConfigError> {
        self.add_lines(name, text, include, &Scope::default(), 0)
    }

    /// Adds `keyword=value` or `keyword value` (sshd(8), -o).
    ///
    /// # Errors
    ///
    /// [`ConfigError`], also for `Match` and `Include`.
    pub fn add_option(&mut self, text: &str) -> Result<(), ConfigError> {
        let at = |problem| ConfigError { place: "-o".to_owned(), problem };
        match Line::read(text).map_err(at)? {
            Some(Line::Match(_)) => Err(at(Problem::NotHere("Match"))),
            Some(Line::Include(_)) => Err(at(Problem::NotHere("Include"))),
            Some(Line::Keyword(name, arguments)) => {
                self.set(&Scope::default(), &name, &arguments).map_err(at)
            }
            None => Ok(()),
        }
    }

    fn add_lines(
        &mut self,
        name: &str,
        text: &str,
        include: &mut IncludeFiles<'_>,
        outer: &Scope,
        depth: usize,
    ) -> Result<(), ConfigError> {
        let mut scope = outer.clone();
        for (index, line) in text.split('\n').enumerate() {
            let at = |problem| ConfigError { place: format!("{name} line {}", index + 1), problem };
            match Line::read(line).map_err(at)? {
                None => {}
                Some(Line::Match(conditions)) => {
                    let conditions = outer.conditions.iter().cloned().chain(conditions).collect();
                    scope = Scope { conditions, in_match: true };
                }
                Some(Line::Include(patterns)) => {
                    if depth == DEEPEST_INCLUDE {
                        return Err(at(Problem::TooDeep));
                    }
                    for pattern in patterns {
                        let unreadable =
                            |error: io::Error| at(Problem::Include(pattern.clone(), error.to_string()));
                        for (name, text) in include(&pattern).map_err(unreadable)? {
                            // What the file says of Match ends with it.
                            self.add_lines(&name, &text, include, &scope, depth + 1)?;
                        }
                    }
                }
                Some(Line::Keyword(keyword, arguments)) => {
                    self.set(&scope, &keyword, &arguments).map_err(at)?;
                }
            }
        }
        Ok(())
    }
}

/// A line that says something.
enum Line {
    Match(Vec<Condition>),
    Include(Vec<String>),
    Keyword(String, Arguments),
}

impl Line {
    fn read(line: &str) -> Result<Option<Self>, Problem> {
        let line = line.trim_end_matches([' ', '\t', '\r', '\n', '\x0c']);
        let mut words = Delimited::new(line);
        // The first word is empty where blanks lead.
        let keyword = words.by_ref().take(2).find(|word| !word.is_empty());
        let Some(keyword) = keyword.filter(|word| !word.starts_with('#')) else { return Ok(None) };
        let rest = words.rest.unwrap_or_default();
        if rest.is_empty() {
            return Err(Problem::NoValue(keyword.into_owned()));
        }
        let arguments =
            split_words(rest, true).ok_or_else(|| Problem::Quotes(keyword.clone().into_owned()))?;
        Ok(Some(if keyword.eq_ignore_ascii_case("Match") {
            Self::Match(Condition::parse_line(rest)?)
        } else if keyword.eq_ignore_ascii_case("Include") {
            if arguments.is_empty() || arguments.iter().any(String::is_empty) {
                return Err(Problem::NoValue(keyword.into_owned()));
            }
            Self::Include(arguments)
        } else {
            Self::Keyword(keyword.into_owned(), Arguments { words: arguments, rest: rest.to_owned() })
        }))
    }
}

/// Words between blanks, with one `=` between two of them counting as a blank, and with quotes (OpenSSH's
/// `strdelim`). May give an empty word at the start and at the end; ends at a quote that is not closed.
pub(super) struct Delimited<'a> {
    rest: Option<&'a str>,
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
