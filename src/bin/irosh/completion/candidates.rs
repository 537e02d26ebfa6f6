//! What a line can go on with.

use std::{ffi::OsString, sync::OnceLock};

use clap::Command;
use clap_complete::engine;

/// What the line says so far, for the completers, which are told no more than a word.
pub(super) static BEFORE: OnceLock<Before> = OnceLock::new();

#[derive(Debug, Default)]
pub(super) struct Before {
    /// The argument `target`.
    pub(super) target: Option<String>,
    /// How many `paths` there are already. The engine's own count is one too low from the second on.
    pub(super) paths: usize,
}

/// Candidates for the last of these words, without quotes. Errors have none: a person who presses TAB
/// wants no messages.
pub(super) fn candidates(command: &mut Command, words: &[String]) -> Vec<String> {
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    BEFORE.get_or_init(|| Before::read(command, before));
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let found = engine::complete(command, words, before.len(), None).unwrap_or_default();
    found
        .into_iter()
        .map(|candidate| candidate.get_value().to_string_lossy().into_owned())
        // The engine offers options for an empty word, which is more often one for a path.
        .filter(|text| {
            text.starts_with(current.as_str()) && (!text.starts_with('-') || current.starts_with('-'))
        })
        .filter(|text| !text.contains(char::is_control) && !text.contains(char::REPLACEMENT_CHARACTER))
        .collect()
}

impl Before {
    fn read(command: &Command, words: &[String]) -> Self {
        // With too few values, clap keeps none of them, so there are two more.
        let words = words.iter().map(String::as_str).chain(["", ""]);
        let matches = command.clone().ignore_errors(true).try_get_matches_from(words);
        let Ok(Some((_, matches))) = matches.as_ref().map(clap::ArgMatches::subcommand) else {
            return Self::default();
        };
        let target = matches.try_get_raw("target").ok().flatten().and_then(|mut target| target.next());
        let target = target.and_then(|target| target.to_str()).map(str::to_owned);
        let paths = matches.try_get_raw("paths").ok().flatten().map_or(0, |paths| paths.len());
        let paths = paths.saturating_sub(2);
        Self { target, paths }
    }
}
