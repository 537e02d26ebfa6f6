//! Completion of commands, targets, codes and remote paths in bash, zsh and fish: clap's engine says which
//! argument the cursor is in, and the adapters here get the quoting right.
//!
//! A shell learns of it by `source <(IROSH_COMPLETE=bash irosh)`, with zsh in place of bash, and by
//! `IROSH_COMPLETE=fish irosh | source`.

mod bash_line;
mod candidates;
mod paths;
mod shell;

use clap::Command;
use clap_complete::{CompleteEnv, env::Shells};
use shell::{BASH, FISH, ZSH};

pub(crate) use paths::{codes, get_paths, put_paths, targets};

/// The variable that asks for completions.
pub(crate) const VARIABLE: &str = "IROSH_COMPLETE";

/// Answers a shell that asks for completions or for its script, and ends the process then. Otherwise
/// it returns. Call it before anything is read or printed.
pub(crate) fn answer(command: fn() -> Command) {
    let shells = Shells(&[&BASH, &ZSH, &FISH]);
    CompleteEnv::with_factory(command).var(VARIABLE).shells(shells).complete();
}

#[cfg(test)]
mod tests;
