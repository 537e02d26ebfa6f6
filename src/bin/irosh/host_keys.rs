//! `irosh host-keys`.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Subcommand;
use irosh::{
    files::Paths,
    host::{Basis, KeptKeys, Presence, accept_seen_keys, ask_again, kept_keys, was_asked},
};
use serde_json::json;

#[derive(clap::Args)]
pub(super) struct HostKeysArguments {
    #[command(subcommand)]
    command: Option<HostKeysCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum HostKeysCommand {
    /// List the SSH host keys that this host announces, and those that its servers show
    List,
    /// Announce the keys that the servers show now, in place of those that were announced
    Accept,
}

/// How long a running host may take to ask its servers.
const ASKING: Duration = Duration::from_secs(20);

pub(super) fn run(paths: &Paths, arguments: &HostKeysArguments) -> anyhow::Result<()> {
    let file = paths.kept_host_keys();
    if Presence::of_running(paths)?.is_some() {
        have_servers_asked(&file)?;
    }
    let all = kept_keys(&file)?;
    if all.is_empty() {
        bail!("this host has not asked any ssh server for its keys yet\nstart it: irosh host");
    }
    match arguments.command {
        None | Some(HostKeysCommand::List) => show(&all, arguments.json),
        Some(HostKeysCommand::Accept) => {
            let accepted = accept_seen_keys(&file)?;
            show(&accepted, arguments.json);
            if let Some(kept) = kept_keys(&file)?.iter().find(|kept| !kept.waiting().is_empty()) {
                bail!("the keys of {} are those of host-keys in host.toml\nchange them there", kept.backend);
            }
            if accepted.is_empty() {
                tracing::warn!("there was nothing to accept: the servers show the keys that are announced");
            }
        }
    }
    Ok(())
}

/// So that what is shown and accepted is what the servers show now.
fn have_servers_asked(file: &Path) -> anyhow::Result<()> {
    ask_again(file)?;
    let end = Instant::now() + ASKING;
    while !was_asked(file)? {
        if Instant::now() > end {
            tracing::warn!("the running host does not ask its servers; what follows is what it saw last");
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn show(all: &[KeptKeys], json: bool) {
    for kept in all {
        let waiting = kept.waiting();
        for key in kept.announced.iter().chain(waiting) {
            let (announced, seen) = (kept.announced.contains(key), kept.seen.contains(key));
            let (backend, kind, fingerprint) = (&kept.backend, key.kind(), key.fingerprint());
            if json {
                let line = json!({
                    "backend": backend, "type": kind, "fingerprint": fingerprint, "key": key.openssh(),
                    "announced": announced, "seen": seen, "basis": kept.basis,
                });
                super::print(&line.to_string());
            } else {
                let state = match (announced, seen) {
                    (true, true) => "announced",
                    (true, false) => "announced, not seen",
                    _ => "seen, not announced",
                };
                super::print(&format!("{backend}  {state}  {kind}  {fingerprint}  {}", reason(kept.basis)));
            }
        }
    }
}

fn reason(basis: Basis) -> &'static str {
    match basis {
        Basis::Configured => "(configured)",
        Basis::Builtin => "(built in)",
        Basis::Machine => "(/etc/ssh)",
        Basis::Kept => "(kept)",
        Basis::Elsewhere => "(on another machine)",
    }
}
