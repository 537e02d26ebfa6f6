//! `irosh reload`.

use irosh::{
    host::{Admin, Ended, Reloaded},
    log::{one_line, printable},
};
use serde_json::json;

use super::status::text::count;

/// Have the running host read its settings and lists again
///
/// Says which settings of host.toml have changed and are in use now (`access`, those of `[limits]`, and those that the
/// built-in server reads itself), which are in use only after the host is started anew, and what has ended because
/// somebody may not stay. Where the file is wrong, says what is, and all stays as it was.
#[derive(clap::Args)]
pub(super) struct ReloadArguments {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(host: Admin, arguments: &ReloadArguments) -> anyhow::Result<()> {
    let reloaded = host.reload()?;
    for bad in &reloaded.refused {
        tracing::warn!("{bad}");
    }
    let text = if arguments.json { json!(reloaded).to_string() } else { shown(&reloaded) };
    super::print::print(&text);
    Ok(())
}

fn shown(reloaded: &Reloaded) -> String {
    let Reloaded { taken, waiting, ended, .. } = reloaded;
    let mut lines = Vec::new();
    if taken.is_empty() && waiting.is_empty() {
        lines.push("no setting has changed".to_owned());
    }
    if !taken.is_empty() {
        lines.push(format!("in use now: {}", taken.join(", ")));
    }
    if !waiting.is_empty() {
        lines.push(format!("in use once the host is started anew: {}", waiting.join(", ")));
    }
    lines.extend(ended.iter().map(|Ended { peer, name, connections, sessions }| {
        let what = format!("{}, {}", count(*connections, "connection"), count(*sessions, "session"));
        format!("ended: {what} of {peer}  {}", one_line(name)).trim_end().to_owned()
    }));
    printable(&lines.join("\n"))
}
