//! systemd, for the system and for users.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use irosh::files::write_file;

use super::{
    lingering::{self, Lingering},
    manager::{Kind, Manager, State, Written},
    plan::{Account, Plan, Whose},
    tool::{self, Tool},
};

/// The units, by whom the host runs as.
const OF_USER: &str = include_str!("../../../../contrib/systemd/irosh-host-user.service");
const OF_SYSTEM: &str = include_str!("../../../../contrib/systemd/irosh-host.service");
const OF_ROOT: &str = include_str!("../../../../contrib/systemd/irosh-host-root.service");

/// How a file of ours begins.
const MARK: &str = "# Written by `irosh service install`, which writes it anew.";

/// Says that lingering is to end with the service. systemd leaves sections alone that begin with X-.
const LINGERING: &str = "[X-Irosh]\nLingering=ours\n";

/// What we add to a package's unit.
const DROP_IN: &str = "irosh-service.conf";

pub(super) struct Systemd {
    whose: Whose,
    unit: &'static str,
    /// Where units are that are nobody's but the administrator's, or the user's.
    folder: PathBuf,
    /// Where those of packages are, the ones that go before others first.
    of_packages: Vec<PathBuf>,
}

impl Systemd {
    pub(super) fn new(whose: Whose) -> anyhow::Result<Self> {
        let under = |folders: &[&str], name: &str| -> Vec<PathBuf> {
            folders.iter().map(|folder| Path::new(folder).join("systemd").join(name)).collect()
        };
        Ok(match whose {
            Whose::System => Self {
                whose,
                unit: "irosh-host.service",
                folder: "/etc/systemd/system".into(),
                of_packages: under(&["/usr/local/lib", "/usr/lib", "/lib"], "system"),
            },
            Whose::User => Self {
                whose,
                unit: "irosh-host-user.service",
                folder: folder_of_user()?,
                of_packages: under(&["/etc", "/usr/local/lib", "/usr/lib"], "user"),
            },
        })
    }

    fn own_unit(&self) -> PathBuf {
        self.folder.join(self.unit)
    }

    fn drop_in(&self) -> PathBuf {
        self.folder.join(format!("{}.d", self.unit)).join(DROP_IN)
    }

    fn of_package(&self) -> Option<PathBuf> {
        self.of_packages.iter().map(|folder| folder.join(self.unit)).find(|unit| unit.exists())
    }

    fn systemctl(&self, words: &[&str]) -> anyhow::Result<String> {
        let systemctl = match self.whose {
            Whose::System => Tool::new("systemctl"),
            Whose::User => {
                lingering::require_manager(&lingering::runtime_folder())?;
                of_user()
            }
        };
        Ok(systemctl.args(words.iter().copied()).run()?)
    }

    /// A job that ends when the host is ready, or is not going to be.
    fn starts(&self, verb: &str) -> anyhow::Result<()> {
        // Earlier failures do not count.
        let _ = self.systemctl(&["reset-failed", self.unit]);
        let Err(error) = self.systemctl(&[verb, self.unit]) else { return Ok(()) };
        // systemd says no more than that it failed.
        let mut log = self.journal(20);
        let said = log.args(["--identifier=irosh", "--output=cat"]).output();
        let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
        match last_words(&said) {
            Some(words) => bail!("the host does not start: {words}"),
            None => Err(error),
        }
    }

    fn journal(&self, lines: usize) -> Command {
        let of = if self.whose == Whose::User { "--user-unit" } else { "--unit" };
        let mut journal = tool::command("journalctl");
        journal.args(["--quiet", of, self.unit, "--lines", &lines.to_string()]);
        journal
    }

    /// Whether nothing else of this user's is to start by itself.
    fn is_alone(&self) -> bool {
        let Ok(folder) = fs::read_dir(&self.folder) else { return true };
        let wants = folder.flatten().map(|entry| entry.path()).filter(|path| {
            path.extension().is_some_and(|extension| extension == "wants" || extension == "requires")
        });
        wants.filter_map(|folder| fs::read_dir(folder).ok()).flatten().next().is_none()
    }
}

impl Manager for Systemd {
    fn kind(&self) -> Kind {
        Kind::Systemd
    }

    fn write(&self, plan: &Plan) -> anyhow::Result<Written> {
        let (unit, drop_in) = (self.own_unit(), self.drop_in());
        let old = own_text(&unit)?;
        let old_drop_in = own_text(&drop_in)?;
        let lingering = match self.whose {
            Whose::User => Some(lingering::begin()?),
            Whose::System => None,
        };
        if self.whose == Whose::User {
            lingering::require_manager(&lingering::runtime_folder())?;
        }
        let was_ours = [&old, &old_drop_in].into_iter().flatten().any(|text| text.contains(LINGERING));
        let mark = if was_ours || matches!(lingering, Some(Lingering::Begun)) { LINGERING } else { "" };
        // Where a package has a unit for this, its next version may have a better one.
        let of_package = self.of_package().filter(|_| plan.account != Account::Root);
        let (whole, part) = match &of_package {
            Some(of_package) => {
                let theirs = fs::read_to_string(of_package).unwrap_or_default();
                let differs = !mark.is_empty() || unit_of(plan) != theirs;
                (None, differs.then(|| format!("{MARK}\n\n[Service]\nExecStart=\n{}\n{mark}", start(plan))))
            }
            None => (Some(format!("{MARK}\n{}\n{mark}", unit_of(plan).trim_end())), None),
        };
        let mut changed = put(&unit, old.as_deref(), whole.as_deref())?;
        changed |= put(&drop_in, old_drop_in.as_deref(), part.as_deref())?;
        self.systemctl(&["daemon-reload"])?;
        let ends_at_logout = match lingering {
            Some(Lingering::Refused(why)) => {
                lingering::lack()?.map(|what| format!("lingering is not allowed here: {why}\n{what}"))
            }
            _ => None,
        };
        Ok(Written { definition: of_package.unwrap_or(unit), changed, ends_at_logout })
    }

    fn enable(&self) -> anyhow::Result<()> {
        self.systemctl(&["enable", self.unit]).map(drop)
    }

    fn start(&self) -> anyhow::Result<()> {
        self.starts("start")
    }

    fn stop(&self) -> anyhow::Result<()> {
        self.systemctl(&["stop", self.unit]).map(drop)
    }

    fn restart(&self, _changed: bool) -> anyhow::Result<()> {
        self.starts("restart")
    }

    fn state(&self) -> anyhow::Result<State> {
        let wanted = "--property=LoadState,ActiveState,SubState,UnitFileState,FragmentPath";
        let said = self.systemctl(&["show", wanted, self.unit])?;
        let property = |name: &str| {
            let found = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default().to_owned()
        };
        if property("LoadState") == "not-found" {
            return Ok(State::default());
        }
        let (active, sub) = (property("ActiveState"), property("SubState"));
        let ends_at_logout = match self.whose {
            Whose::User => lingering::lack()?,
            Whose::System => None,
        };
        let fragment = Some(property("FragmentPath")).filter(|path| !path.is_empty());
        Ok(State {
            definition: Some(fragment.map_or_else(|| self.own_unit(), PathBuf::from)),
            enabled: property("UnitFileState").starts_with("enabled"),
            // "auto-restart" says more of what is the matter.
            word: if active == "activating" { format!("{active} ({sub})") } else { active.clone() },
            is_running: matches!(active.as_str(), "active" | "reloading" | "deactivating"),
            has_process: active != "inactive" && active != "failed",
            ends_at_logout,
        })
    }

    fn remove(&self, purge: bool) -> anyhow::Result<Vec<PathBuf>> {
        let (unit, drop_in) = (self.own_unit(), self.drop_in());
        let texts = [own_text(&unit)?, own_text(&drop_in)?];
        let lingering = texts.iter().flatten().any(|text| text.contains(LINGERING));
        if self.state()?.definition.is_some() {
            self.systemctl(&["disable", "--now", self.unit])?;
        }
        let _ = self.systemctl(&["reset-failed", self.unit]);
        let mut removed = Vec::new();
        for (file, text) in [&unit, &drop_in].into_iter().zip(&texts) {
            if text.is_some() {
                fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
                removed.push(file.clone());
            }
        }
        if let Some(changes) = drop_in.parent().filter(|folder| folder.exists()) {
            // What `systemctl edit` has made is the administrator's.
            if purge {
                fs::remove_dir_all(changes)
                    .with_context(|| format!("cannot remove {}", changes.display()))?;
                removed.push(changes.to_owned());
            }
            let _ = fs::remove_dir(changes);
        }
        self.systemctl(&["daemon-reload"])?;
        if lingering && self.is_alone() {
            lingering::end()?;
        }
        if self.whose == Whose::User {
            remove_empty(&self.folder);
        }
        Ok(removed)
    }

    fn log(&self, lines: usize, follow: bool) -> Command {
        let mut journal = self.journal(lines);
        journal.args(follow.then_some("--follow"));
        journal
    }
}

/// What a host says that fails: an error, and the next step on a line of its own.
fn last_words(log: &str) -> Option<String> {
    const OURS: &str = "irosh: ";
    let last = log.lines().rev().skip_while(|line| !line.starts_with(OURS));
    let mut last: Vec<_> = last.map_while(|line| line.strip_prefix(OURS)).take(2).collect();
    last.reverse();
    (!last.is_empty()).then(|| last.join("\n"))
}

/// `systemctl --user`.
fn of_user() -> Tool {
    Tool::new("systemctl").args(["--user"]).env("XDG_RUNTIME_DIR", &lingering::runtime_folder())
}

/// Where this user's manager looks: it need not know of what a shell has set.
fn folder_of_user() -> anyhow::Result<PathBuf> {
    let of_home = irosh::files::home().context("no home directory\nset HOME")?.join(".config/systemd/user");
    let set = std::env::var_os("XDG_CONFIG_HOME").map(|config| Path::new(&config).join("systemd/user"));
    let Some(set) = set.filter(|folder| *folder != of_home) else { return Ok(of_home) };
    let looks = of_user().args(["show", "--property=UnitPath", "--value"]).run().unwrap_or_default();
    Ok(if looks.split_whitespace().any(|folder| Path::new(folder) == set) { set } else { of_home })
}

/// Takes away what is left of our folders where nothing else is in them.
fn remove_empty(folder: &Path) {
    let wants = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in wants.filter(|path| path.extension().is_some_and(|extension| extension == "wants")) {
        let _ = fs::remove_dir(folder);
    }
    for folder in folder.ancestors().take(3) {
        let _ = fs::remove_dir(folder);
    }
}

/// The text of a file of ours, if there is one.
fn own_text(path: &Path) -> anyhow::Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    // Of the unit as it is in contrib/, an earlier README had people make copies.
    if text.starts_with(MARK) || [OF_USER, OF_SYSTEM, OF_ROOT].contains(&text.as_str()) {
        return Ok(Some(text));
    }
    bail!(
        "{path} was not written by this command\nif it is not needed, remove it, and do this again: rm {path}",
        path = path.display()
    )
}

/// Has a file be this, or be none; says whether it was otherwise.
fn put(path: &Path, old: Option<&str>, new: Option<&str>) -> anyhow::Result<bool> {
    if old == new {
        return Ok(false);
    }
    match new {
        Some(new) => {
            write_file(path, new.as_bytes(), 0o644)
                .with_context(|| format!("cannot write {}", path.display()))?;
            readable(path)?;
        }
        None => fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?,
    }
    Ok(true)
}

/// A folder that was made for it is not for its owner alone: systemd lets everybody see what it starts.
fn readable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match path.parent().filter(|folder| folder.extension().is_some_and(|extension| extension == "d")) {
        Some(folder) => {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).context("the folder's mode")
        }
        None => Ok(()),
    }
}

/// The unit of contrib/, with the command line and the environment in it.
fn unit_of(plan: &Plan) -> String {
    let source = match plan.account {
        Account::Own => OF_USER,
        Account::Irosh => OF_SYSTEM,
        Account::Root => OF_ROOT,
    };
    let mut text = String::new();
    for line in source.lines() {
        match line.starts_with("ExecStart=") {
            true => text += &start(plan),
            false => text += line,
        }
        text.push('\n');
    }
    text
}

fn start(plan: &Plan) -> String {
    let program = plan.program.to_string_lossy();
    let words = std::iter::once(&*program).chain(plan.arguments.iter().map(String::as_str));
    let mut lines = format!("ExecStart={}", words.map(quoted).collect::<Vec<_>>().join(" "));
    for (name, value) in &plan.environment {
        lines += &format!("\nEnvironment={}", quoted(&format!("{name}={value}")).replace("$$", "$"));
    }
    lines
}

/// A word of a command line (systemd.service(5), "Command lines").
fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('%', "%%").replace('$', "$$").replace('"', "\\\"");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@,+%$".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) { word } else { format!("\"{word}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(account: Account, arguments: &[&str]) -> Plan {
        Plan {
            account,
            program: "/usr/bin/irosh".into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: Vec::new(),
        }
    }

    #[test]
    fn the_units_are_those_of_contrib() {
        for (account, words, source) in [
            (Account::Own, &["host"][..], OF_USER),
            (Account::Irosh, &["--system", "host", "--backend", "tcp:127.0.0.1:22"], OF_SYSTEM),
            (Account::Root, &["--system", "host", "--backend", "builtin"], OF_ROOT),
        ] {
            assert_eq!(unit_of(&plan(account, words)), source);
        }
    }

    #[test]
    fn a_host_that_fails_is_quoted_with_its_next_step() {
        let log = "irosh: old\nready\nirosh: no\nirosh: do this\nirosh: no\nirosh: do this\nwarning\n";
        assert_eq!(last_words(log).as_deref(), Some("no\ndo this"));
        assert_eq!(last_words("irosh: no\n").as_deref(), Some("no"));
        assert_eq!(last_words("other: no\n"), None);
    }

    #[test]
    fn a_word_of_a_command_line_stays_as_it_is() {
        let mut plan = plan(Account::Own, &["host", "--backend", r#"exec:sh -c 'echo "$HOME" 100% \n'"#]);
        plan.program = "/home/a b/irosh".into();
        plan.environment = vec![("IROSH_HOME", "/home/a $b/%irosh".to_owned())];
        let lines = start(&plan);
        assert_eq!(
            lines,
            "ExecStart=\"/home/a b/irosh\" host --backend \"exec:sh -c 'echo \\\"$$HOME\\\" 100%% \\\\n'\"\n\
             Environment=\"IROSH_HOME=/home/a $b/%%irosh\""
        );
    }
}
