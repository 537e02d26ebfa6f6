//! Asking the agents of a user how they are, and to stop.

use std::{fs, path::PathBuf};

use super::{
    call::ask,
    message::{Answer, What, socket_of},
    status::Status,
};
use crate::files::Paths;

/// An agent that runs.
#[derive(Debug)]
pub struct Running {
    socket: PathBuf,
    /// How it is; nothing where it is of another version, or does not answer.
    pub status: Option<Status>,
}

/// The agents that run: mostly one, and one more while that of an older version has something left to do.
#[must_use]
pub fn running(paths: &Paths) -> Vec<Running> {
    let running = sockets(paths).filter_map(|socket| {
        let answer = ask(paths, &socket, What::Status)?;
        let status = match answer {
            Answer::Status(status) => Some(*status),
            _ => None,
        };
        Some(Running { socket, status })
    });
    running.collect()
}

/// The sockets at which agents listen, or did.
pub(super) fn sockets(paths: &Paths) -> impl Iterator<Item = PathBuf> {
    let is_agent = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("agent-") && name.ends_with(".sock")
    };
    let entries = fs::read_dir(paths.agents()).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_agent)
}

impl Running {
    /// Whether it would understand this program, if it answered.
    #[must_use]
    pub fn is_of_this_version(&self, paths: &Paths) -> bool {
        self.socket == socket_of(paths)
    }

    /// Ends it, and the sessions that it holds; says whether it heard.
    #[must_use]
    pub fn stop(&self, paths: &Paths) -> bool {
        matches!(ask(paths, &self.socket, What::Stop), Some(Answer::Over))
    }
}
