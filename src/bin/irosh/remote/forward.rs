//! `irosh forward`.

use std::process::ExitCode;

use anyhow::Context;
use irosh::{
    client::forward::{Bound, Forward as Placed},
    files::Paths,
};
use serde_json::json;

use super::{
    Lend, Link, Reach, RemoteArguments,
    exit::Failure,
    forwards::{Forwards, configured, option},
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
    /// Listen here, connect there: `[BIND:]PORT:HOST:HOSTPORT`
    #[arg(short = 'L', value_name = "FORWARD", value_parser = Forward::local)]
    local: Vec<Forward>,
    /// Listen there, connect here: `[BIND:]PORT:HOST:HOSTPORT`
    #[arg(short = 'R', value_name = "FORWARD", value_parser = Forward::remote)]
    back: Vec<Forward>,
    /// Listen here as a SOCKS proxy: `[BIND:]PORT`
    #[arg(short = 'D', value_name = "FORWARD", value_parser = Forward::dynamic)]
    dynamic: Vec<Forward>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(paths: Paths, arguments: ForwardArguments) -> anyhow::Result<ExitCode> {
    let interrupted = interrupted()?;
    let (link, forwards) = tokio::select! {
        made = set_up(&paths, arguments) => made?,
        () = interrupted.cancelled() => return Ok(ExitCode::from(Failure::Interrupted as u8)),
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

/// Connects, and sets up what was asked for and what ssh_config says.
async fn set_up(paths: &Paths, arguments: ForwardArguments) -> anyhow::Result<(Link, Forwards)> {
    let ForwardArguments { remote, local, back, dynamic, json } = arguments;
    let wanted: Vec<Forward> = local.into_iter().chain(back).chain(dynamic).collect();
    let reach = Reach::prepare(paths, &remote, Lend::Never).await?;
    let configured = configured(&reach.config);
    anyhow::ensure!(
        !wanted.is_empty() || !configured.is_empty(),
        "nothing to forward\nsay what with -L, -R or -D, as in -L 8080:localhost:80"
    );
    let link = reach.connect().await?;
    let mut forwards = Forwards::new(link.connection.clone(), &link.config);
    for forward in wanted {
        let text = format!("{} {forward}", option(&forward));
        let placed = forwards.add(forward).await.context(text)?;
        say(placed, json);
    }
    for forward in configured {
        if let Some(placed) = forwards.add_configured(forward, &link.config).await? {
            say(placed, json);
        }
    }
    anyhow::ensure!(!forwards.is_empty(), "nothing is forwarded");
    Ok((link, forwards))
}

fn say((forward, placed): &(Forward, Placed), json: bool) {
    let (text, at) = (format!("{} {forward}", option(forward)), place_of(placed));
    if json {
        crate::print(&json!({ "forward": text, "listening": at }).to_string());
    } else {
        crate::print(&format!("{text} listens on {at}"));
    }
}

fn place_of(placed: &Placed) -> String {
    match placed.bound() {
        Bound::Addresses(addresses) => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Bound::Socket(path) => path.display().to_string(),
        Bound::RemotePort { address, port } => format!("{address}:{port} at the server"),
        Bound::RemoteSocket(path) => format!("{path} at the server"),
    }
}
