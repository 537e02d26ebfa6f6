//! The syntax of sshd_config(5): lines, quotes, comments, `Match` and `Include`.

use std::io;

use super::{
    condition::Condition,
    problem::{ConfigError, Problem},
    set::Arguments,
    sshd_config::{Scope, SshdConfig},
    words::{Delimited, split_words},
};

/// OpenSSH's `SERVCONF_MAX_DEPTH`.
const DEEPEST_INCLUDE: usize = 16;

/// Reads the files that a pattern of `Include` stands for, in order: names and texts. None is no error.
/// The pattern is as written; in sshd a relative one is in `/etc/ssh`.
pub type IncludeFiles<'a> = dyn FnMut(&str) -> io::Result<Vec<(String, String)>> + 'a;

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
