//! The environment of a session, and how its program is started (OpenSSH's `do_setup_env`, `do_child`).

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::process::Program;
use crate::server::{account::Account, config::value::UserEnvironment};

/// What a session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The login shell.
    Shell,
    /// A command, in the user's shell.
    Command(OsString),
}

/// The variables of a session. A later value replaces an earlier one.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// What every session has.
    pub(super) fn add_basics(&mut self, account: &Account) {
        let path = if account.uid.is_root() {
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        } else {
            "/usr/local/bin:/usr/bin:/bin:/usr/games"
        };
        self.set("USER", &account.name);
        self.set("LOGNAME", &account.name);
        self.set("HOME", &account.home);
        self.set("PATH", path);
        self.set("MAIL", Path::new("/var/mail").join(&account.name));
        self.set("SHELL", &account.shell);
        if let Some(zone) = std::env::var_os("TZ") {
            self.set("TZ", zone);
        }
    }

    /// What this machine has for everybody.
    pub(super) fn add_etc_environment(&mut self) {
        let machine = std::fs::read("/etc/environment").unwrap_or_default();
        self.read(&String::from_utf8_lossy(&machine), &UserEnvironment::Yes);
    }

    pub(super) fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let (name, value) = (name.into(), value.into());
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    /// Reads `NAME=value` lines (sshd(8), ~/.ssh/environment), as far as they are permitted.
    pub(super) fn read(&mut self, text: &str, permitted: &UserEnvironment) {
        for line in text.lines().map(str::trim_start) {
            let pair = line.split_once('=').filter(|(name, _)| !name.is_empty() && !name.starts_with('#'));
            let Some((name, value)) = pair else { continue };
            if permitted.permits(name) {
                // pam_env, which reads /etc/environment elsewhere, takes quotes off.
                let plain = value.trim_end();
                let inner = plain.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                self.set(name, inner.unwrap_or(plain));
            }
        }
    }

    pub(super) fn into_variables(self) -> Vec<(OsString, OsString)> {
        self.0
    }
}

/// How the user's shell runs it. The folder is the home directory, or `/` where that cannot be entered.
pub(super) fn program(account: &Account, environment: Environment, what: &What) -> Program {
    let base = account.shell.file_name().map_or_else(|| OsString::from("sh"), OsString::from);
    let (name, arguments) = match what {
        What::Shell => {
            let mut name = OsString::from("-");
            name.push(base);
            (name, Vec::new())
        }
        What::Command(command) => (base, vec![OsString::from("-c"), command.clone()]),
    };
    Program {
        path: account.shell.clone(),
        name,
        arguments,
        environment: environment.into_variables(),
        folder: folder(&account.home).unwrap_or_else(|_| PathBuf::from("/")),
    }
}

/// The home directory, if it can be entered.
pub(super) fn folder(home: &Path) -> std::io::Result<PathBuf> {
    rustix::fs::access(home, rustix::fs::Access::EXEC_OK)?;
    if home.is_dir() { Ok(home.to_owned()) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_files_are_read_as_far_as_permitted() {
        let mut environment = Environment::default();
        environment.set("A", "1");
        environment.read("# no\n B=\"two words\" \nA=3\n=\nC\n", &UserEnvironment::Yes);
        environment.read("LD_PRELOAD=/x\nLC_ALL=C\n", &UserEnvironment::Matching("LC_*".to_owned()));
        let variables = environment.into_variables();
        let expected = [("B", "two words"), ("A", "3"), ("LC_ALL", "C")];
        assert_eq!(variables, expected.map(|(name, value)| (name.into(), value.into())));
    }
}
