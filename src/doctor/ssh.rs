//! ssh's configuration, as ssh sees it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    case::Case,
    finding::Finding,
    programs::{is_program, on_path},
};
use crate::{client::ssh_config::ask_ssh, files::Paths, names::Aliases};

const CHECK: &str = "ssh configuration";

const PROXY: &str = "irosh-proxy";

/// What to do where ssh's configuration is not ours.
const INSTALL: &str = "run: irosh ssh-config install";

/// A socket's path is shorter than this (unix(7)).
const SOCKET_PATH: usize = if cfg!(target_os = "linux") { 108 } else { 104 };

/// What ssh puts behind the path of a master until it listens (mux.c: a dot and 16 characters).
const WHILE_BINDING: usize = 17;

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let name = name(case);
    let file = case.ssh_config.iter().flat_map(|file| [OsString::from("-F"), file.into()]);
    match ask_ssh(&name, &file.collect::<Vec<_>>()).await {
        Ok(Some(text)) => Config::read(&text).findings(&name, &case.paths),
        Ok(None) => vec![Finding::ok(CHECK, "not looked at: there is no ssh for this user")],
        Err(error) => vec![Finding::failed(CHECK, &format!("{error}\nlook at ~/.ssh/config"))],
    }
}

/// A host to ask ssh about: the one that is meant, or any.
fn name(case: &Case) -> String {
    match &case.target {
        Some(name) => name.clone(),
        None => {
            let known = Aliases::load(&case.paths.aliases()).ok();
            let first = known.and_then(|aliases| aliases.hosts.into_keys().next());
            first.unwrap_or_else(|| "any.irosh".to_owned())
        }
    }
}

/// What `ssh -G` prints, as far as it matters here.
#[derive(Default)]
struct Config {
    proxy: String,
    known_hosts: String,
    known_hosts_files: String,
    control_path: String,
    is_master: bool,
}

impl Config {
    fn read(text: &[u8]) -> Self {
        let mut config = Self::default();
        for line in String::from_utf8_lossy(text).lines() {
            let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
            match keyword {
                "proxycommand" => value.clone_into(&mut config.proxy),
                "knownhostscommand" => value.clone_into(&mut config.known_hosts),
                "globalknownhostsfile" => value.clone_into(&mut config.known_hosts_files),
                "controlpath" if value != "none" => value.clone_into(&mut config.control_path),
                "controlmaster" => config.is_master = !matches!(value, "false" | "no"),
                _ => {}
            }
        }
        config
    }

    fn findings(&self, name: &str, paths: &Paths) -> Vec<Finding> {
        let mut found = vec![self.proxy(name)];
        if program(&self.proxy).is_some() {
            found.extend(self.known_hosts(paths));
        }
        found.extend(self.control_path());
        found
    }

    fn proxy(&self, name: &str) -> Finding {
        let Some(program) = program(&self.proxy) else {
            let instead = match self.proxy.as_str() {
                "" | "none" => "looks it up and connects to it".to_owned(),
                other => format!("runs `{}`", crate::log::one_line(other)),
            };
            return Finding::warning(
                CHECK,
                &format!("ssh does not reach {name} by irosh-proxy: it {instead}\n{INSTALL}"),
            );
        };
        match find(program) {
            Some(path) => Finding::ok(CHECK, format!("ssh reaches {name} by {}", path.display())),
            None => Finding::failed(
                CHECK,
                &format!("its ProxyCommand runs {program}, which is no program\n{INSTALL}"),
            ),
        }
    }

    /// A host with a name has a file of its keys, and others are asked for theirs.
    fn known_hosts(&self, paths: &Paths) -> Option<Finding> {
        let announced = paths.announced_keys("").display().to_string();
        match program(&self.known_hosts) {
            None if self.known_hosts_files.contains(&announced) => None,
            None => Some(Finding::warning(
                CHECK,
                &format!(
                    "its KnownHostsCommand is not ours: ssh asks about a host's key when it first sees it\n{INSTALL}"
                ),
            )),
            Some(program) if find(program).is_none() => Some(Finding::failed(
                CHECK,
                &format!("its KnownHostsCommand runs {program}, which is no program\n{INSTALL}"),
            )),
            Some(_) => None,
        }
    }

    /// ssh ends with an error where it is too long, also where it only looks for a master.
    fn control_path(&self) -> Option<Finding> {
        let length = self.control_path.len() + if self.is_master { WHILE_BINDING } else { 0 };
        (length >= SOCKET_PATH).then(|| {
            let over = length + 1 - SOCKET_PATH;
            Finding::failed(
                CHECK,
                &format!(
                    "its ControlPath is too long for a socket by {over} bytes: {}\nset a shorter one, such as \
                     ControlPath ~/.ssh/%C",
                    self.control_path
                ),
            )
        })
    }
}

/// Our program in a command, as it is named there.
fn program(command: &str) -> Option<&str> {
    let end = command.find(PROXY)? + PROXY.len();
    let before = &command[..end];
    let quoted = before.rfind(['\'', '"']).filter(|at| {
        let quote = &before[*at..=*at];
        before.matches(quote).count() % 2 == 1
    });
    let named = quoted.map_or(before, |at| &before[at + 1..]);
    let named = if named.starts_with('/') && quoted.is_some() {
        named
    } else {
        named.rsplit(char::is_whitespace).next().unwrap_or_default()
    };
    Some(named)
}

fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        let path = Path::new(program);
        return is_program(path).then(|| path.to_owned());
    }
    on_path(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_program_is_found_in_every_way_to_write_it() {
        for (command, named) in [
            ("irosh-proxy -- 'box'", Some("irosh-proxy")),
            ("/usr/bin/irosh-proxy --known-hosts=%H -- %h", Some("/usr/bin/irosh-proxy")),
            ("exec /usr/bin/irosh-proxy box", Some("/usr/bin/irosh-proxy")),
            ("'/my programs/irosh-proxy' -- 'box'", Some("/my programs/irosh-proxy")),
            ("\"/my programs/irosh-proxy\" box", Some("/my programs/irosh-proxy")),
            ("/bin/sh -c 'exec irosh-proxy --known-hosts=\"$1\" -- \"$2\"' sh %H %h", Some("irosh-proxy")),
            ("nc %h %p", None),
        ] {
            assert_eq!(program(command), named, "{command}");
        }
    }

    #[test]
    fn a_control_path_that_ssh_could_not_use_is_named() {
        let config = |master: &str, length: usize| {
            let path = "x".repeat(length);
            Config::read(format!("controlmaster {master}\ncontrolpath {path}\n").as_bytes()).control_path()
        };
        assert_eq!(config("false", SOCKET_PATH - 1), None);
        assert!(config("false", SOCKET_PATH).expect("too long").found.contains("by 1 bytes"));
        assert_eq!(config("auto", SOCKET_PATH - 18), None);
        assert!(config("auto", SOCKET_PATH - 17).expect("too long").found.contains("by 1 bytes"));
        assert_eq!(Config::read(b"controlpath none\n").control_path(), None);
    }
}
