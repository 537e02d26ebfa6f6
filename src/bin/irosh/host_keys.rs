//! `irosh host-keys`.

use anyhow::bail;
use clap::Subcommand;
use irosh::host::{AcceptedKeys, Admin, Basis, KeptKeys};
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

pub(super) fn run(host: &Admin, arguments: &HostKeysArguments) -> anyhow::Result<()> {
    match arguments.command {
        None | Some(HostKeysCommand::List) => show(&known(host.host_keys()?)?, arguments.json),
        Some(HostKeysCommand::Accept) => {
            let AcceptedKeys { accepted, kept } = host.accept_host_keys()?;
            let kept = known(kept)?;
            show(&accepted, arguments.json);
            if let Some(kept) = kept.iter().find(|kept| !kept.waiting().is_empty()) {
                bail!("the keys of {} are those of host-keys in host.toml\nchange them there", kept.backend);
            }
            if accepted.is_empty() {
                tracing::warn!("there was nothing to accept: the servers show the keys that are announced");
            }
        }
    }
    Ok(())
}

/// The servers, of which there is one at least.
fn known(kept: Vec<KeptKeys>) -> anyhow::Result<Vec<KeptKeys>> {
    if kept.is_empty() {
        bail!("this host has not asked any ssh server for its keys yet\nstart it: irosh host");
    }
    Ok(kept)
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
                super::print::print(&line.to_string());
            } else {
                let state = match (announced, seen) {
                    (true, true) => "announced",
                    (true, false) => "announced, not seen",
                    _ => "seen, not announced",
                };
                super::print::print(&format!(
                    "{backend}  {state}  {kind}  {fingerprint}  {}",
                    reason(kept.basis)
                ));
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
