//! The user's files, and the agent.

use std::{io, path::Path, time::Duration};

use tokio::{task::spawn_blocking, time::timeout};

use super::finding::Finding;
use crate::{
    agent::{self, Running},
    files::{Paths, PrivateFileError, read_trusted_file},
    host::{AuthorizedPeers, HostSettings, check_revoked_keys},
    names::Aliases,
    settings::{AgentUse, ClientSettings, agent_use, load_settings},
    transport::{KeyError, KeyFile},
};

/// How long an agent may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn existing(key: Result<KeyFile, KeyError>) -> Result<Option<KeyFile>, KeyError> {
    match key {
        Err(KeyError::File(PrivateFileError::Missing(_))) => Ok(None),
        other => other.map(Some),
    }
}

/// Of the host's key, where there is one.
pub(super) fn host_key(paths: &Paths) -> Option<Finding> {
    const CHECK: &str = "host key";
    match existing(KeyFile::load(&paths.host_key())) {
        Ok(key) => key.map(|key| {
            let print = key.public().fingerprint(russh::keys::HashAlg::Sha256);
            Finding::ok(CHECK, format!("{print} in {}", key.path().display()))
        }),
        Err(error) => Some(Finding::failed(CHECK, &error)),
    }
}

/// Whether each file says something that can be understood.
pub(super) fn settings(paths: &Paths) -> Vec<Finding> {
    let client = load_settings::<ClientSettings>(&paths.client_settings()).map(drop);
    let host = load_settings::<HostSettings>(&paths.host_settings());
    let revoked = host.as_ref().ok().map(|settings| check_revoked_keys(paths, settings));
    let host = host.map(drop);
    let mut found = vec![
        of_file("settings", &paths.client_settings(), client),
        of_file("names", &paths.aliases(), Aliases::load(&paths.aliases()).map(drop)),
    ];
    if paths.host_settings().exists() {
        found.push(of_file("host settings", &paths.host_settings(), host));
    }
    if paths.authorized_peers().exists() {
        found.push(of_file("peers", &paths.authorized_peers(), peers(&paths.authorized_peers())));
    }
    match revoked {
        Some(Ok(list)) if list.exists() => {
            found.push(of_file("revoked keys", &list, Ok::<(), io::Error>(())))
        }
        Some(Err(error)) => {
            let message =
                format!("nobody can be let in here: {error}\nmend it, or name another list: revoked-keys");
            found.push(Finding::failed("revoked keys", &message));
        }
        _ => {}
    }
    found
}

fn of_file(check: &'static str, path: &Path, read: Result<(), impl std::fmt::Display>) -> Finding {
    match read {
        Ok(()) if path.exists() => Finding::ok(check, path.display().to_string()),
        Ok(()) => Finding::ok(check, format!("no {}, which is fine", path.display())),
        Err(error) => Finding::failed(check, &error),
    }
}

/// The first line of the list that is not understood.
fn peers(path: &Path) -> Result<(), String> {
    let told = |error: io::Error| format!("cannot use {}: {error}", path.display());
    let text = read_trusted_file(path).map_err(told)?.unwrap_or_default();
    let peers = AuthorizedPeers::parse(&text, &jiff::tz::TimeZone::system());
    match peers.refused.first() {
        Some(line) => Err(format!("{}: {line}", path.display())),
        None => Ok(()),
    }
}

pub(super) async fn agent(paths: &Paths) -> Vec<Finding> {
    if agent_use(paths) == AgentUse::Off {
        return vec![Finding::ok("agent", "turned off: each ssh dials by itself")];
    }
    let paths = paths.clone();
    let asked = timeout(PATIENCE, spawn_blocking(move || agent::running(&paths))).await;
    let running = asked.ok().and_then(Result::ok);
    vec![match running.as_deref() {
        None => Finding::warning("agent", &"it does not answer\nrun: irosh agent stop"),
        Some([]) => Finding::ok("agent", "none is running: the next ssh to one of our hosts starts it"),
        Some(running) => of_agents(running),
    }]
}

fn of_agents(running: &[Running]) -> Finding {
    let known: Vec<_> = running.iter().filter_map(|agent| agent.status.as_ref()).collect();
    match known[..] {
        [status] if running.len() == 1 => {
            let (pid, hosts) = (status.pid, status.hosts.len());
            Finding::ok("agent", format!("version {}, pid {pid}, knows {hosts} of our hosts", status.version))
        }
        _ => Finding::warning(
            "agent",
            &"one of another version is running, or does not answer; it leaves when its sessions are over\nto end it \
              and them, run: irosh agent stop",
        ),
    }
}
