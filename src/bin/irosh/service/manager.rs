//! What starts services on a machine.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::bail;

use super::{
    launchd::Launchd,
    openrc::OpenRc,
    plan::{Plan, Whose},
    systemd::Systemd,
    tool,
};

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

    fn of_this_machine() -> Option<Self> {
        if cfg!(target_os = "macos") {
            return Some(Self::Launchd);
        }
        // sd_booted(3), and what OpenRC's own scripts look at.
        let signs = [("/run/systemd/system", Self::Systemd), ("/run/openrc/softlevel", Self::OpenRc)];
        signs.into_iter().find(|(sign, _)| Path::new(sign).exists()).map(|(_, kind)| kind)
    }
}

/// The one of this machine, unless another one is meant.
pub(super) fn find(whose: Whose, meant: Option<Kind>) -> anyhow::Result<Box<dyn Manager>> {
    Ok(match meant.or_else(Kind::of_this_machine) {
        Some(Kind::Systemd) => Box::new(Systemd::new(whose)?),
        Some(Kind::Launchd) => Box::new(Launchd::new(whose)?),
        Some(Kind::OpenRc) if whose == Whose::System => Box::new(OpenRc),
        Some(Kind::OpenRc) => bail!(
            "OpenRC starts services of the system, and none of users\n{}\nor have root install the system's: sudo irosh \
             service install --system",
            by_hand(whose)
        ),
        None => {
            let first = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
            bail!(
                "process 1 of this machine is `{}`, and no service manager that irosh knows (systemd, OpenRC, launchd)\n{}",
                first.trim(),
                by_hand(whose)
            )
        }
    })
}

/// How the host runs without a service manager.
fn by_hand(whose: Whose) -> String {
    let program = super::super::programs::this_one().unwrap_or_else(|_| "irosh".into());
    let program = super::plan::shell_quoted(&program.to_string_lossy());
    let host = if whose == Whose::System { "--system host" } else { "host" };
    let mut ways = Vec::new();
    if ["/.dockerenv", "/run/.containerenv"].into_iter().any(|sign| Path::new(sign).exists()) {
        ways.push(format!(
            "in a container, let the host be process 1: ENTRYPOINT [\"irosh\", {}]",
            entry(host)
        ));
    }
    if tool::find("crontab").is_some() {
        ways.push(format!(
            "have cron start it with the machine: (crontab -l; echo '@reboot {program} {host}') | crontab -"
        ));
    }
    ways.push(format!("start it yourself: setsid -f {program} {host} </dev/null >irosh-host.log 2>&1"));
    ways.join("\n")
}

fn entry(words: &str) -> String {
    words.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}
