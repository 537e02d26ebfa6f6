//! launchd, for the system and for users.
//!
//! A user's own services run while that user is logged in: launchd has nothing like lingering. It keeps no descriptors
//! either, so that sessions end when the host is restarted.

use std::{fs, io, path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Context, bail};
use irosh::files::{home, write_file};
use nix::unistd::geteuid;

use super::{
    account,
    manager::{Kind, Manager, State, Written},
    openrc::tail,
    plan::{Account, Plan, Whose},
    tool::{Tool, ToolError},
    user::user,
};

/// The definitions, by whose they are.
const OF_USER: &str = include_str!("../../../../contrib/launchd/io.github.irosh.host-user.plist");
const OF_SYSTEM: &str = include_str!("../../../../contrib/launchd/io.github.irosh.host.plist");

const LABEL: &str = "io.github.irosh.host";

/// How a file of ours is known.
const MARK: &str = "<!-- Written by `irosh service install`, which writes it anew. -->";

/// What stands in contrib/ for a user's home directory.
const HOME: &str = "/Users/USER";

/// How often a definition is loaded again, which fails for as long as the one before is going.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Launchd {
    whose: Whose,
    definition: PathBuf,
    log: PathBuf,
    home: PathBuf,
}

impl Launchd {
    pub(super) fn new(whose: Whose) -> anyhow::Result<Self> {
        let file = format!("{LABEL}.plist");
        let home = home().context("no home directory\nset HOME")?;
        let (definition, log) = match whose {
            Whose::User => {
                (home.join("Library/LaunchAgents").join(file), home.join("Library/Logs/irosh-host.log"))
            }
            Whose::System => {
                let [_, state] = account::folders();
                (PathBuf::from("/Library/LaunchDaemons").join(file), state.join("host.log"))
            }
        };
        Ok(Self { whose, definition, log, home })
    }

    /// Where it is loaded: for a user who is not at the screen, in the background.
    fn domain(&self) -> String {
        if self.whose == Whose::System {
            return "system".to_owned();
        }
        let at_the_screen = format!("gui/{}", geteuid());
        match Tool::new("launchctl").args(["print", &at_the_screen]).run() {
            Ok(_) => at_the_screen,
            Err(_) => format!("user/{}", geteuid()),
        }
    }

    fn target(&self) -> String {
        format!("{}/{LABEL}", self.domain())
    }

    fn launchctl(&self, words: &[&str]) -> Result<String, ToolError> {
        Tool::new("launchctl").args(words.iter().copied()).run()
    }

    /// What launchd says of it; nothing where it is not loaded.
    fn print(&self) -> Option<String> {
        self.launchctl(&["print", &self.target()]).ok()
    }

    fn load(&self) -> anyhow::Result<()> {
        let definition = self.definition.to_string_lossy();
        let mut tries = 0;
        loop {
            match self.launchctl(&["bootstrap", &self.domain(), &definition]) {
                Ok(_) => return Ok(()),
                Err(error) if tries >= TRIES => return Err(error.into()),
                Err(_) => thread::sleep(PAUSE),
            }
            tries += 1;
        }
    }

    fn unload(&self) -> anyhow::Result<()> {
        if self.print().is_some() {
            self.launchctl(&["bootout", &self.target()])?;
        }
        Ok(())
    }

    fn own_text(&self) -> anyhow::Result<Option<String>> {
        let path = self.definition.display();
        match fs::read_to_string(&self.definition) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(text) if text.contains(MARK) || [OF_USER, OF_SYSTEM].contains(&text.as_str()) => {
                Ok(Some(text))
            }
            Ok(_) => bail!(
                "{path} was not written by this command\nif it is not needed, remove it, and do this again: rm {path}"
            ),
            Err(error) => Err(error).with_context(|| format!("cannot read {path}")),
        }
    }
}

impl Manager for Launchd {
    fn kind(&self) -> Kind {
        Kind::Launchd
    }

    fn write(&self, plan: &Plan) -> anyhow::Result<Written> {
        let new = text(plan, &self.home.to_string_lossy());
        let changed = self.own_text()?.as_deref() != Some(&new);
        if changed {
            let path = &self.definition;
            write_file(path, new.as_bytes(), 0o644)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if plan.account != Account::Own {
            // There is nobody else to make them.
            for folder in account::folders() {
                fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
                if plan.account == Account::Irosh {
                    let user = user()?;
                    account::give(&folder, (user.uid.as_raw(), user.gid.as_raw()))?;
                }
            }
        }
        let ends_at_logout = (self.whose == Whose::User)
            .then(|| "have it stay when you log out: sudo irosh service install --system".to_owned());
        Ok(Written { definition: self.definition.clone(), changed, ends_at_logout })
    }

    fn enable(&self) -> anyhow::Result<()> {
        self.launchctl(&["enable", &self.target()])?;
        Ok(())
    }

    fn start(&self) -> anyhow::Result<()> {
        if self.print().is_none() {
            self.load()?;
        }
        self.launchctl(&["kickstart", &self.target()])?;
        Ok(())
    }

    fn stop(&self) -> anyhow::Result<()> {
        self.unload()
    }

    fn restart(&self, changed: bool) -> anyhow::Result<()> {
        if changed {
            self.unload()?;
            return self.start();
        }
        match self.print() {
            Some(_) => self.launchctl(&["kickstart", "-k", &self.target()]).map(drop)?,
            None => self.start()?,
        }
        Ok(())
    }

    fn state(&self) -> anyhow::Result<State> {
        if !self.definition.exists() {
            return Ok(State::default());
        }
        let said = self.print().unwrap_or_default();
        let word = said.lines().find_map(|line| line.trim().strip_prefix("state = "));
        let disabled = self.launchctl(&["print-disabled", &self.domain()]).unwrap_or_default();
        let off = [format!("\"{LABEL}\" => disabled"), format!("\"{LABEL}\" => true")];
        Ok(State {
            definition: Some(self.definition.clone()),
            enabled: !off.iter().any(|line| disabled.contains(line)),
            is_running: word == Some("running"),
            has_process: word == Some("running"),
            word: word.unwrap_or("not loaded").to_owned(),
            ends_at_logout: None,
        })
    }

    fn remove(&self, _purge: bool) -> anyhow::Result<Vec<PathBuf>> {
        if self.own_text()?.is_none() {
            return Ok(Vec::new());
        }
        self.unload()?;
        let files = [self.definition.clone(), self.log.clone()];
        Ok(files.into_iter().filter(|file| fs::remove_file(file).is_ok()).collect())
    }

    fn log(&self, lines: usize, follow: bool) -> Command {
        tail(&self.log, lines, follow)
    }
}

/// The definition of contrib/, with what differs from machine to machine.
fn text(plan: &Plan, home: &str) -> String {
    let source = if plan.account == Account::Own { OF_USER } else { OF_SYSTEM };
    let program = plan.program.to_string_lossy();
    let words = std::iter::once(&*program).chain(plan.arguments.iter().map(String::as_str));
    let words: String = words.map(|word| format!("\t\t<string>{}</string>\n", escaped(word))).collect();
    let variables = plan.environment.iter();
    let variables: String = variables
        .map(|(name, value)| format!("\t\t<key>{name}</key>\n\t\t<string>{}</string>\n", escaped(value)))
        .collect();
    let mut text = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        match line.trim() {
            "<array>" => {
                text += &format!("\t<array>\n{words}\t</array>\n");
                lines.by_ref().find(|line| line.trim() == "</array>");
            }
            "<dict/>" if !variables.is_empty() => text += &format!("\t<dict>\n{variables}\t</dict>\n"),
            "<key>UserName</key>" if plan.account == Account::Root => _ = lines.next(),
            "<key>Umask</key>" if plan.account == Account::Root => _ = lines.next(),
            start if start.starts_with("<plist") => text += &format!("{MARK}\n{line}\n"),
            _ => text += &format!("{}\n", line.replace(HOME, &escaped(home))),
        }
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_says_what_the_plan_does() {
        let mut plan = Plan {
            account: Account::Own,
            program: "/opt/homebrew/bin/irosh".into(),
            arguments: ["host", "--backend", "exec:a <b> & c"].map(str::to_owned).to_vec(),
            environment: vec![("IROSH_RELAY", "none".to_owned())],
        };
        let own = text(&plan, "/Users/alice");
        for part in [
            "<array>\n\t\t<string>/opt/homebrew/bin/irosh</string>\n\t\t<string>host</string>\n",
            "<string>exec:a &lt;b&gt; &amp; c</string>\n\t</array>",
            "<dict>\n\t\t<key>IROSH_RELAY</key>\n\t\t<string>none</string>\n\t</dict>",
            "<string>/Users/alice/Library/Logs/irosh-host.log</string>",
            MARK,
        ] {
            assert!(own.contains(part), "{part}\n{own}");
        }
        assert!(!own.contains("USER"));
        plan.account = Account::Irosh;
        assert!(text(&plan, "").contains("<string>_irosh</string>"));
        plan.account = Account::Root;
        let root = text(&plan, "");
        for part in ["UserName", "<string>_irosh</string>", "Umask", "<integer>63</integer>"] {
            assert!(!root.contains(part), "{part}\n{root}");
        }
    }
}
