//! What starts services on a machine.

use std::{path::PathBuf, process::Command};

use super::plan::Plan;

/// A program that starts services, with the machine or for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Systemd,
    #[value(name = "openrc")]
    OpenRc,
    Launchd,
}

/// The definition of the service, once it is written.
pub(super) struct Written {
    /// The file that defines it, ours or a package's.
    pub(super) definition: PathBuf,
    /// Whether it was another one before, or none.
    pub(super) changed: bool,
    /// Why it ends when its user logs out, where it does, and what to do about it.
    pub(super) ends_at_logout: Option<String>,
}

/// What is known of the service.
#[derive(Default)]
pub(super) struct State {
    /// The file that defines it; none where it is not installed.
    pub(super) definition: Option<PathBuf>,
    /// Whether it starts by itself.
    pub(super) enabled: bool,
    /// In the service manager's word.
    pub(super) word: String,
    pub(super) is_running: bool,
    /// Whether the host that runs is its, even if it is not ready yet.
    pub(super) has_process: bool,
    /// Why it ends when its user logs out, where it does.
    pub(super) ends_at_logout: Option<String>,
}

/// What one of them does with the host.
pub(super) trait Manager {
    fn kind(&self) -> Kind;

    /// Writes the definition, and has it read.
    fn write(&self, plan: &Plan) -> anyhow::Result<Written>;

    /// Has it start by itself from now on.
    fn enable(&self) -> anyhow::Result<()>;

    fn start(&self) -> anyhow::Result<()>;

    fn stop(&self) -> anyhow::Result<()>;

    /// Starts the program that is on disk by now, in place of the one that runs, if one does. Sessions go on, where that
    /// can be.
    fn restart(&self, changed: bool) -> anyhow::Result<()>;

    fn state(&self) -> anyhow::Result<State>;

    /// Ends it, and removes all that [`Self::write`] has made; returns what that was.
    fn remove(&self, purge: bool) -> anyhow::Result<Vec<PathBuf>>;

    /// The program that shows so many lines of its log, and those to come.
    fn log(&self, lines: usize, follow: bool) -> Command;
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "OpenRC",
            Self::Launchd => "launchd",
        }
    }
}
