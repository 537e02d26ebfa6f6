//! OpenRC, for the system.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use irosh::files::write_file;

use super::{
    manager::{Kind, Manager, State, Written},
    plan::{Account, Plan, shell_quoted},
    tool::{self, Tool},
    user,
};

/// The script of contrib/.
const SCRIPT: &str = include_str!("../../../../contrib/openrc/irosh-host");

/// What stands behind its first line in ours.
const MARK: &str = "# Written by `irosh service install`, which writes it anew.";

const NAME: &str = "irosh-host";
const DEFINITION: &str = "/etc/init.d/irosh-host";
const LOG: &str = "/var/log/irosh-host.log";
const RUNLEVEL: &str = "default";

pub(super) struct OpenRc;

impl OpenRc {
    fn service(&self, verb: &str) -> anyhow::Result<()> {
        Tool::new("rc-service").args([NAME, verb]).run()?;
        Ok(())
    }

    fn is_started(&self) -> bool {
        self.service("status").is_ok()
    }
}

impl Manager for OpenRc {
    fn kind(&self) -> Kind {
        Kind::OpenRc
    }

    fn write(&self, plan: &Plan) -> anyhow::Result<Written> {
        let definition = PathBuf::from(DEFINITION);
        let (old, new) = (own_text()?, script(plan));
        let changed = old.as_deref() != Some(&new);
        if changed {
            write_file(&definition, new.as_bytes(), 0o755).context("cannot write the script")?;
            fs::set_permissions(&definition, fs::Permissions::from_mode(0o755)).context("its mode")?;
        }
        Ok(Written { definition, changed, ends_at_logout: None })
    }

    fn enable(&self) -> anyhow::Result<()> {
        Tool::new("rc-update").args(["add", NAME, RUNLEVEL]).run()?;
        Ok(())
    }

    fn start(&self) -> anyhow::Result<()> {
        self.service("start")
    }

    fn stop(&self) -> anyhow::Result<()> {
        // It fails where there is nothing to stop.
        if self.is_started() { self.service("stop") } else { Ok(()) }
    }

    fn restart(&self, changed: bool) -> anyhow::Result<()> {
        match (self.is_started(), changed) {
            // The process that runs becomes what is on disk, with the command line that it has.
            (true, false) => self.service("upgrade"),
            (true, true) => self.service("restart"),
            (false, _) => self.service("start"),
        }
    }

    fn state(&self) -> anyhow::Result<State> {
        if !Path::new(DEFINITION).exists() {
            return Ok(State::default());
        }
        let is_running = self.is_started();
        let levels = Tool::new("rc-update").args(["show", RUNLEVEL]).run()?;
        Ok(State {
            definition: Some(DEFINITION.into()),
            enabled: levels.lines().any(|line| line.split_whitespace().next() == Some(NAME)),
            word: if is_running { "started" } else { "stopped" }.to_owned(),
            is_running,
            has_process: is_running,
            ends_at_logout: None,
        })
    }

    fn remove(&self, _purge: bool) -> anyhow::Result<Vec<PathBuf>> {
        if own_text()?.is_none() {
            return Ok(Vec::new());
        }
        self.stop()?;
        // It fails where it was not to start by itself.
        let _ = Tool::new("rc-update").args(["del", NAME, RUNLEVEL]).run();
        let files = [DEFINITION, LOG].map(PathBuf::from);
        let removed = files.into_iter().filter(|file| fs::remove_file(file).is_ok());
        Ok(removed.collect())
    }

    fn log(&self, lines: usize, follow: bool) -> Command {
        tail(Path::new(LOG), lines, follow)
    }
}

/// The end of a file, and what comes to it.
pub(super) fn tail(file: &Path, lines: usize, follow: bool) -> Command {
    let mut tail = tool::command("tail");
    tail.args(["-n", &lines.to_string()]).args(follow.then_some("-F")).arg(file);
    tail
}

/// The script, if there is one of ours.
fn own_text() -> anyhow::Result<Option<String>> {
    match fs::read_to_string(DEFINITION) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(text) if text.contains(MARK) || text == SCRIPT => Ok(Some(text)),
        Ok(_) => bail!(
            "{DEFINITION} was not written by this command\nif it is not needed, remove it, and do this again: rm {DEFINITION}"
        ),
        Err(error) => Err(error).context(format!("cannot read {DEFINITION}")),
    }
}

/// The script of contrib/, with what differs from machine to machine.
fn script(plan: &Plan) -> String {
    let words = plan.arguments.iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ");
    // OpenRC's own script evaluates them once more.
    let program = shell_quoted(&shell_quoted(&plan.program.to_string_lossy()));
    let words = shell_quoted(&words);
    let user = if plan.account == Account::Root { "root" } else { user::NAME };
    let mut text = String::new();
    for line in SCRIPT.lines() {
        match line.split_once('=').map(|(name, _)| name) {
            Some("command") => text += &format!("command={program}"),
            Some("command_args") => text += &format!("command_args={words}"),
            Some("command_user") => text += &format!("command_user=\"{user}:{user}\""),
            _ => text += line,
        }
        text.push('\n');
        if line.starts_with("#!") {
            text += &format!("{MARK}\n");
        }
    }
    for (name, value) in &plan.environment {
        text += &format!("\nexport {name}={}", shell_quoted(value));
    }
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_what_the_plan_does() {
        let plan = Plan {
            account: Account::Root,
            program: "/opt/a b/irosh".into(),
            arguments: ["--system", "host", "--backend", "exec:echo $1"].map(str::to_owned).to_vec(),
            environment: vec![("IROSH_RELAY", "none".to_owned())],
        };
        let text = script(&plan);
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        has(r"command=''\''/opt/a b/irosh'\'''");
        has(r"command_args='--system host --backend '\''exec:echo $1'\'''");
        has("command_user=\"root:root\"");
        has("export IROSH_RELAY=none");
        assert_eq!(text.lines().nth(1), Some(MARK));
        // Nothing is replaced that is not there.
        assert_eq!(text.lines().count(), SCRIPT.lines().count() + 3);
    }
}
