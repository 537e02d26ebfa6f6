//! `irosh forward`.

use std::process::ExitCode;

use anyhow::Context;
use irosh::{
    client::forward::{Bound, Forward as Placed},
    files::Paths,
    signals::interrupted,
};
use serde_json::json;

use super::{
    RemoteArguments, connect,
    forwards::{Forwards, option},
};
use crate::forward_spec::Forward;

/// Forward ports and sockets until it is interrupted.
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
    let ForwardArguments { remote, local, back, dynamic, json } = arguments;
    let wanted: Vec<Forward> = local.into_iter().chain(back).chain(dynamic).collect();
    anyhow::ensure!(
        !wanted.is_empty(),
        "nothing to forward\nsay what with -L, -R or -D, as in -L 8080:localhost:80"
    );
    let interrupted = interrupted()?;
    let link = connect(&paths, &remote, false).await?;
    let mut forwards = Forwards::new(link.connection.clone(), &link.config);
    for forward in wanted {
        let text = format!("{} {forward}", option(&forward));
        let placed = forwards.add(forward).await.with_context(|| text.clone())?;
        let at = place_of(placed);
        if json {
            crate::print(&json!({ "forward": text, "listening": at }).to_string());
        } else {
            crate::print(&format!("{text} listens on {at}"));
        }
    }
    tokio::select! {
        () = interrupted => {
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
