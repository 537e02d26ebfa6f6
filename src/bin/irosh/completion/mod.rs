//! Completion of commands, targets, codes and remote paths in bash, zsh and fish: clap's engine says which
//! argument the cursor is in, and the adapters here get the quoting right.
//!
//! A shell learns of it by `source <(IROSH_COMPLETE=bash irosh)`, with zsh in place of bash, and by
//! `IROSH_COMPLETE=fish irosh | source`.

mod bash;
mod bash_line;
mod fish;
mod paths;
mod zsh;

use std::{ffi::OsString, io, sync::OnceLock};

use clap::Command;
use clap_complete::{CompleteEnv, engine, env::Shells};

pub(crate) use paths::{codes, get_paths, put_paths, targets};

/// The variable that asks for completions.
pub(crate) const VARIABLE: &str = "IROSH_COMPLETE";

/// Answers a shell that asks for completions or for its script, and ends the process then. Otherwise
/// it returns. Call it before anything is read or printed.
pub(crate) fn answer(command: fn() -> Command) {
    let shells = Shells(&[&bash::Bash, &zsh::Zsh, &fish::Fish]);
    CompleteEnv::with_factory(command).var(VARIABLE).shells(shells).complete();
}

/// What the line says so far, for the completers, which are told no more than a word.
static BEFORE: OnceLock<Before> = OnceLock::new();

#[derive(Debug, Default)]
struct Before {
    /// The argument `target`.
    target: Option<String>,
    /// How many `paths` there are already. The engine's own count is one too low from the second on.
    paths: usize,
}

/// Candidates for the last of these words, without quotes. Errors have none: a person who presses TAB
/// wants no messages.
fn candidates(command: &mut Command, words: &[String]) -> Vec<String> {
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

/// Prints them, one a line.
fn print(lines: impl IntoIterator<Item = String>, out: &mut dyn io::Write) -> io::Result<()> {
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The words that a shell's script gives behind `--`.
fn words(arguments: Vec<OsString>) -> Vec<String> {
    arguments.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// A text as one word of a shell's script.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
