//! `irosh doctor`.

use std::{path::PathBuf, process::ExitCode};

use irosh::{
    doctor::{Case, Verdict, examine},
    files::Paths,
    host::load_settings,
    settings::{ClientSettings, NetworkChoice},
};
use serde_json::json;

use super::{completion, network::NetworkArguments};

const STATUSES: &str = "Exit status:
    0  nothing has failed, whatever was warned of
    1  something has
    2  the command line is wrong";

/// What is installed and configured, what the network lets through, and whether a host answers; and what to do about
/// what is wrong.
#[derive(clap::Args)]
#[command(arg = super::network::no_system(), after_long_help = STATUSES)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Have ssh read this file instead of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, an object a check
    #[arg(long)]
    json: bool,
    /// A host to reach: a name of `irosh hosts`, a ticket, an invite or an endpoint id
    #[arg(add = completion::targets(super::remote::known_names))]
    target: Option<String>,
}

pub(super) async fn run(paths: Paths, arguments: DoctorArguments) -> anyhow::Result<ExitCode> {
    let DoctorArguments { network, config, json, target } = arguments;
    // What is wrong with them is found out.
    let settings: ClientSettings = load_settings(&paths.client_settings()).unwrap_or_default();
    let identity = settings.identity.clone();
    let network = NetworkChoice::from(network).or(settings.into());
    let mut failed = false;
    let case = Case { paths, network, identity, target, ssh_config: config };
    examine(&case, |found| {
        failed |= found.verdict == Verdict::Failed;
        super::print::print(&if json { json!(found).to_string() } else { found.to_string() });
    })
    .await;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
