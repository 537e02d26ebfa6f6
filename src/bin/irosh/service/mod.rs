//! `irosh service`: the host as a service of the machine's, or of its user's.

mod account;
mod by_hand;
mod install;
mod jobs;
mod launchd;
mod lingering;
mod manager;
mod of_this_machine;
mod openrc;
mod plan;
mod systemd;
mod tool;
mod user;

use std::{os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context, ensure};
use clap::Subcommand;
use nix::unistd::geteuid;
use serde_json::json;

use self::{
    install::{InstallArguments, UninstallArguments},
    manager::{Kind, Manager, State},
    plan::Whose,
};

pub(crate) use jobs::room_for_sessions;

const STATUSES: &str = "\
Exit status:
  0  done; of `status`: the host runs
  1  an error
  3  of `status`: it is installed, and does not run
  4  of `status`: it is not installed";

/// Run the host as a service: at each start of the machine, of systemd, OpenRC or launchd
///
/// Without --user and --system, root means the system's service, and everybody else their own. That of a user leads to the
/// sshd of this machine, or has irosh's own server, which serves that user; that of the system leads to sshd, as a user of
/// its own that may do nothing else.
///
/// It is the host's alone. What ssh needs in the background on the machine that you sit at, the first ssh starts: see
/// `irosh agent`.
#[derive(clap::Args)]
#[command(after_long_help = STATUSES)]
pub(super) struct ServiceArguments {
    #[command(subcommand)]
    command: ServiceCommand,
    /// The service of the user who types
    #[arg(long, global = true)]
    user: bool,
    /// What starts services here, where that is not found out
    #[arg(long, global = true, hide = true)]
    manager: Option<Kind>,
}

#[derive(Subcommand)]
enum ServiceCommand {
    /// Install it, start it, and have it start with the machine; once more after an upgrade, or with other options
    Install(InstallArguments),
    /// Stop it, and remove all but the host's keys, lists and settings
    Uninstall(UninstallArguments),
    /// Start it
    Start,
    /// Stop it; sessions are given some seconds to end
    Stop,
    /// Start the program that is on disk by now; sessions go on
    Restart,
    /// Whether it is installed, starts by itself, and runs
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what it logs
    Logs {
        /// Go on showing what comes
        #[arg(short, long)]
        follow: bool,
        /// How many lines of what there is already
        #[arg(short = 'n', long, default_value_t = 100)]
        lines: usize,
    },
}

pub(super) fn run(system: bool, arguments: ServiceArguments) -> anyhow::Result<ExitCode> {
    let ServiceArguments { command, user, manager } = arguments;
    ensure!(!(system && user), "a service is the user's or the system's: leave out --user or --system");
    let whose = if system || !user && geteuid().is_root() { Whose::System } else { Whose::User };
    let found = of_this_machine::find(whose, manager);
    if command.changes() {
        require_root(whose)?;
    }
    match command {
        ServiceCommand::Install(arguments) => install::install(whose, &*found?, arguments)?,
        // Where there is none, nothing of it is left but files.
        ServiceCommand::Uninstall(arguments) => install::uninstall(whose, found.ok().as_deref(), &arguments)?,
        ServiceCommand::Start => installed(whose, found?)?.start()?,
        ServiceCommand::Stop => installed(whose, found?)?.stop()?,
        ServiceCommand::Restart => restart(whose, found)?,
        ServiceCommand::Status { json } => return status(whose, found, json),
        ServiceCommand::Logs { follow, lines } => {
            return show_log(&*installed(whose, found?)?, lines, follow);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl ServiceCommand {
    fn changes(&self) -> bool {
        !matches!(self, Self::Status { .. } | Self::Logs { .. })
    }
}

impl Whose {
    /// As it stands in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
        }
    }

    /// As people say it.
    fn service(self) -> &'static str {
        match self {
            Self::User => "a service of yours",
            Self::System => "a service of the system",
        }
    }
}

fn require_root(whose: Whose) -> anyhow::Result<()> {
    let program = super::programs::this_one().unwrap_or_else(|_| "irosh".into());
    ensure!(
        whose == Whose::User || geteuid().is_root(),
        "the service of the system is root's to change\nrun the command with sudo, by the program's path: sudo {} service ...",
        program.display()
    );
    Ok(())
}

/// The service manager, where the service is installed.
fn installed(whose: Whose, manager: Box<dyn Manager>) -> anyhow::Result<Box<dyn Manager>> {
    ensure!(
        manager.state()?.definition.is_some(),
        "the host is not installed as {}\ninstall it: irosh service install {}",
        whose.service(),
        whose.flag()
    );
    Ok(manager)
}

/// A host that nobody has started as a service can start anew, too.
fn restart(whose: Whose, found: anyhow::Result<Box<dyn Manager>>) -> anyhow::Result<()> {
    let paths = whose.paths()?;
    let manager = match found {
        Ok(manager) if manager.state()?.definition.is_some() => manager,
        _ if by_hand::host(&paths).is_some() => return by_hand::restart(&paths),
        other => installed(whose, other?)?,
    };
    manager.restart(false)
}

fn status(whose: Whose, found: anyhow::Result<Box<dyn Manager>>, json: bool) -> anyhow::Result<ExitCode> {
    let host = by_hand::host(&whose.paths()?);
    let (manager, state) = match found {
        Ok(manager) => (Some(manager.kind().name()), manager.state()?),
        Err(_) if json => (None, State::default()),
        Err(error) => return Err(error),
    };
    let code = match (&state.definition, state.is_running) {
        (None, _) => 4,
        (Some(_), false) => 3,
        (Some(_), true) => 0,
    };
    let State { definition, enabled, word, is_running, has_process: _, ends_at_logout } = state;
    let (version, pid) = (host.as_ref().map(|host| &host.version), host.as_ref().map(|host| host.pid));
    if json {
        let found = json!({
            "service": whose.name(), "manager": manager, "definition": definition, "enabled": enabled,
            "state": word, "running": is_running, "ends_at_logout": ends_at_logout,
            "host": host.as_ref().map(|host| json!({ "version": host.version, "pid": host.pid, "backend": host.backend })),
        });
        super::print::print(&found.to_string());
        return Ok(ExitCode::from(code));
    }
    let Some(definition) = definition else {
        let besides = pid.map(|pid| format!("\na host runs that was started in another way: process {pid}"));
        super::print::print(&format!(
            "the host is not installed as {}{}\ninstall it: irosh service install {}",
            whose.service(),
            besides.unwrap_or_default(),
            whose.flag()
        ));
        return Ok(ExitCode::from(code));
    };
    let mut lines = vec![format!("the host as {}: {word}", whose.service())];
    if let Some((version, pid)) = version.zip(pid) {
        lines.push(format!("  version     {version}, process {pid}"));
    }
    lines.push(format!("  defined in  {}, for {}", definition.display(), manager.unwrap_or_default()));
    let starts = match (enabled, &ends_at_logout) {
        (false, _) => "not by itself: irosh service install",
        (true, Some(_)) => "when its user logs in, and ends when its user logs out",
        (true, None) => "with the machine",
    };
    lines.push(format!("  starts      {starts}"));
    lines.extend(ends_at_logout);
    if version.is_some_and(|version| version != env!("CARGO_PKG_VERSION")) {
        lines.push(format!(
            "this program is {}; sessions go on: irosh service restart",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if !is_running {
        lines.push("see why: irosh service logs".to_owned());
    }
    super::print::print(&lines.join("\n"));
    Ok(ExitCode::from(code))
}

/// Becomes the program that shows it, which ends by Ctrl-C as by itself.
fn show_log(manager: &dyn Manager, lines: usize, follow: bool) -> anyhow::Result<ExitCode> {
    let mut log = manager.log(lines, follow);
    let name = log.get_program().to_string_lossy().into_owned();
    Err(log.exec()).with_context(|| format!("cannot run {name}"))
}
