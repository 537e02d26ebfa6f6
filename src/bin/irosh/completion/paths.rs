//! Completers for clap's arguments.

use std::{ffi::OsStr, sync::mpsc, time::Duration};

use clap_complete::{ArgValueCompleter, CompletionCandidate, PathCompleter, engine::ValueCompleter};
use irosh::pairing::Code;

use super::candidates::{BEFORE, Before};

/// Looks up remote paths: the target, and the start of the path as it was typed. Each result starts
/// with that and is a whole path; a folder ends in `/`.
pub(crate) type Remote = fn(&str, &str) -> Vec<String>;

/// Completes `[user@]NAME` with names that are known here.
#[must_use]
pub(crate) fn targets(names: fn() -> Vec<String>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let current = current.to_string_lossy();
        let user = current.rfind('@').map_or("", |at| &current[..=at]);
        names().into_iter().map(|name| CompletionCandidate::new(format!("{user}{name}"))).collect()
    })
}

/// Completes the words of a code.
#[must_use]
pub(crate) fn codes() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let completions = Code::completions(&current.to_string_lossy());
        completions.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// Completes `LOCAL... REMOTE` of `put`: the first path is local, each other one may be the last.
#[must_use]
pub(crate) fn put_paths(remote: Remote) -> ArgValueCompleter {
    ArgValueCompleter::new(Paths { remote, remote_first: false })
}

/// Completes `REMOTE... LOCAL` of `get`, in the same way.
#[must_use]
pub(crate) fn get_paths(remote: Remote) -> ArgValueCompleter {
    ArgValueCompleter::new(Paths { remote, remote_first: true })
}

struct Paths {
    remote: Remote,
    remote_first: bool,
}

impl ValueCompleter for Paths {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let Some(before) = BEFORE.get() else { return Vec::new() };
        let mut found = Vec::new();
        if before.paths > 0 || self.remote_first {
            found.extend(self.remote(before, current).into_iter().map(CompletionCandidate::new));
        }
        if before.paths > 0 || !self.remote_first {
            found.extend(PathCompleter::any().complete(current));
        }
        found
    }
}

impl Paths {
    /// Nothing, if the host takes longer than a person waits.
    fn remote(&self, before: &Before, current: &OsStr) -> Vec<String> {
        let (Some(target), Some(current)) = (&before.target, current.to_str()) else { return Vec::new() };
        let (remote, target, current) = (self.remote, target.clone(), current.to_owned());
        let (sender, receiver) = mpsc::channel();
        // The thread ends with the process, which ends once the candidates are printed.
        std::thread::spawn(move || sender.send(remote(&target, &current)));
        receiver.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

/// How long a person waits for a host after TAB.
const PATIENCE: Duration = Duration::from_secs(3);
