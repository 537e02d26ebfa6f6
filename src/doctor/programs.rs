//! Which programs are installed, where, and of which version.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::finding::Finding;
use crate::names::ssh_config::SshVersion;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn look() -> Vec<Finding> {
    let (proxy, server, ssh) = tokio::join!(sibling("irosh-proxy"), sibling("irosh-sshd"), ssh());
    vec![own(), proxy, server, ssh]
}

fn own() -> Finding {
    let at = env::current_exe().map(|path| format!(" at {}", path.display())).unwrap_or_default();
    Finding::ok("irosh", format!("version {VERSION}{at}"))
}

/// One of the other programs of the package, which belong beside this one.
async fn sibling(name: &'static str) -> Finding {
    let beside = env::current_exe().map(|path| path.with_file_name(name));
    let beside = beside.ok().filter(|path| is_program(path));
    let Some(path) = beside.or_else(|| on_path(name)) else {
        return match name {
            "irosh-sshd" => Finding::ok(name, "not installed; `irosh sshd` takes its place on a host"),
            _ => Finding::failed(
                name,
                &"not installed beside irosh, and not on PATH: ssh reaches no host\ninstall all programs of the \
                  package in one folder",
            ),
        };
    };
    match says(&path, "--version").await {
        Ok(said) if said.trim() == format!("{name} {VERSION}") => {
            Finding::ok(name, format!("version {VERSION} at {}", path.display()))
        }
        Ok(said) => Finding::warning(
            name,
            &format!(
                "{} is not of this version, {VERSION}, but says `{}`\ninstall all programs of the package together",
                path.display(),
                crate::log::one_line(said.trim()),
            ),
        ),
        Err(error) => {
            Finding::failed(name, &format!("{} cannot be run: {error}\ninstall it anew", path.display()))
        }
    }
}

async fn ssh() -> Finding {
    let Some(path) = on_path("ssh") else {
        return Finding::warning(
            "ssh",
            &"not on PATH\ninstall an OpenSSH client, or do without: `irosh shell`, `exec`, `put`, `get` and \
              `forward`",
        );
    };
    match says(&path, "-V").await {
        Ok(said) => {
            let version = crate::log::one_line(said.trim());
            let at = path.display();
            if SshVersion::read(&version).has_known_hosts_command() {
                return Finding::ok("ssh", format!("{version} at {at}"));
            }
            Finding::warning(
                "ssh",
                &format!(
                    "{version} at {at} is older than 8.5 and has no KnownHostsCommand: of a host without a name \
                     here, it asks about the key when it first sees it\ninstall a newer OpenSSH, and run `irosh ssh-config install` again"
                ),
            )
        }
        Err(error) => Finding::failed("ssh", &format!("{} cannot be run: {error}", path.display())),
    }
}

/// What a program prints when it is asked for its version.
async fn says(program: &Path, question: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.arg(question).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    // ssh says it on stderr.
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A program that a shell would find.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_program(path))
}

/// Whether it may be run.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
