//! `irosh peers allow github:NAME`: the keys that somebody has published.

use std::{fmt::Write as _, path::Path};

use anyhow::{bail, ensure};
use irosh::{
    client::auth::{Answer, Prompt as _},
    host::{HostSettings, Peer, PublishedKeys, fetch_keys, load_settings},
    log::{printable, say},
};
use jiff::tz::TimeZone;

use super::ask::{Ask, ask};

/// Fetches the keys of a name, shows them, and has each admitted as a line of its own once somebody has said yes.
pub(super) fn allow(
    settings: &Path,
    (options, name): (&str, &str),
    yes: bool,
    admit: impl Fn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    ensure!(
        yes || Ask.can_answer(),
        "there is no terminal to ask whether these keys are to be admitted\nlook at them yourself, and say --yes"
    );
    let settings: HostSettings = load_settings(settings)?;
    let place = settings.keys_url.unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = runtime.block_on(async {
        let (url, keys) = fetch_keys(&place, name, settings.ca.as_ref()).await?;
        let PublishedKeys { identities, passed_over } = &keys;
        ensure!(
            !identities.is_empty(),
            "{url} has no ed25519 key, and {} of other kinds\nan identity is made with: ssh-keygen -t ed25519",
            passed_over.len()
        );
        let line = |key: &str| format!("{options} {key} github:{name}").trim_start().to_owned();
        let lines: Vec<_> = identities.iter().map(|identity| line(&identity.openssh())).collect();
        for line in &lines {
            Peer::parse(line, &TimeZone::system()).map_err(|reason| {
                anyhow::anyhow!("`{options}` cannot stand before a key: {reason}")
            })?;
        }
        say(&printable(&shown(url.as_str(), &keys)));
        if !yes {
            is_agreed(options, name, lines.len()).await?;
        }
        anyhow::Ok(lines)
    });
    // A thread may still wait for a line of the terminal.
    runtime.shutdown_background();
    lines?.iter().try_for_each(|line| admit(line))
}

fn shown(url: &str, keys: &PublishedKeys) -> String {
    let mut text = format!("irosh: {url} has\n");
    for identity in &keys.identities {
        let kind = identity.openssh().split(' ').next().unwrap_or_default().to_owned();
        let _ = writeln!(text, "  {identity}  {kind}");
    }
    for other in &keys.passed_over {
        let _ = writeln!(text, "  passed over: {other}");
    }
    text
}

/// Asks whether that is right.
async fn is_agreed(options: &str, name: &str, count: usize) -> anyhow::Result<()> {
    let keys = if count == 1 { "this key" } else { "these keys" };
    let with = if options.is_empty() { String::new() } else { format!(" with {options}") };
    let question = printable(&format!("admit {keys} as github:{name}{with}? [y/N] "));
    match ask(&question, true).await? {
        Answer::Given(answer) if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) => {
            Ok(())
        }
        _ => bail!("nobody was admitted"),
    }
}
