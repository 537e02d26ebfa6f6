//! `irosh forward`.

use std::process::ExitCode;

use irosh::{
    client::forward::{Bound, Forward as Placed},
    files::Paths,
};
use serde_json::json;

use super::{
    Interrupted, Lend, Link, Reach, RemoteArguments,
    exit::Failure,
    forwards::{ForwardOptions, Forwards, configured},
    interrupted,
};
use crate::forward_spec::Forward;

/// Forward ports and sockets until it is interrupted.
///
/// What ssh_config says with LocalForward, RemoteForward and DynamicForward is forwarded, too.
#[derive(clap::Args)]
#[command(after_long_help = super::exit::OF_FORWARD)]
pub(crate) struct ForwardArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    forwards: ForwardOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(paths: Paths, arguments: ForwardArguments) -> anyhow::Result<ExitCode> {
    let interrupted = interrupted(Failure::Interrupted as u8)?;
    let ForwardArguments { remote, forwards, json } = arguments;
    let wanted: Vec<Forward> = forwards.all().cloned().collect();
    let reach = Reach::prepare(&paths, &remote, Lend::Never, &interrupted).await?;
    let configured = configured(&reach.config);
    anyhow::ensure!(
        !wanted.is_empty() || !configured.is_empty(),
        "nothing to forward\nsay what with -L, -R or -D, as in -L 8080:localhost:80"
    );
    let link = reach.connect(&interrupted).await?;
    let placing = place(&link, wanted, configured, json);
    let forwards = match interrupted.run_until_cancelled(placing).await {
        Some(Ok(forwards)) => forwards,
        failed => {
            link.close().await;
            return Err(failed.and_then(Result::err).unwrap_or_else(|| Interrupted.into()));
        }
    };
    tokio::select! {
        () = interrupted.cancelled() => {
            drop(forwards);
            link.close().await;
            Ok(ExitCode::SUCCESS)
        }
        why = link.connection.wait_disconnected() => {
            link.client.close().await;
            Err(why.into())
        }
    }
}

/// Sets up what was asked for and what ssh_config says.
async fn place(
    link: &Link,
    wanted: Vec<Forward>,
    configured: Vec<Forward>,
    json: bool,
) -> anyhow::Result<Forwards> {
    let mut forwards = Forwards::new(link.connection.clone(), &link.config);
    for forward in wanted {
        say(forwards.add(forward).await?, json);
    }
    for forward in configured {
        if let Some(placed) = forwards.try_add(forward).await? {
            say(placed, json);
        }
    }
    anyhow::ensure!(!forwards.is_empty(), "nothing is forwarded");
    Ok(forwards)
}

fn say((forward, placed): &(Forward, Placed), json: bool) {
    let (text, at) = (forward.to_string(), place_of(placed));
    if json {
        crate::print::print(&json!({ "forward": text, "listening": at }).to_string());
    } else {
        crate::print::print(&format!("{text} listens on {at}"));
    }
}

fn place_of(placed: &Placed) -> String {
    match placed.bound() {
        Bound::Addresses(addresses) => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Bound::Socket(path) => path.display().to_string(),
        Bound::RemotePort { address, port } => format!("{address}:{port} at the server"),
        Bound::RemoteSocket(path) => format!("{} at the server", path.display()),
    }
}
