//! `irosh agent`.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
    time::Duration,
};

use anyhow::ensure;
use clap::Subcommand;
use irosh::{
    agent, files::Paths, host::load_settings, log::printable, settings::ClientSettings, signals::Interrupts,
    transport::Authorities,
};
use serde_json::json;

use super::status::text;

/// How long a connection is kept after its last session, unless the settings say otherwise.
const KEEP_WARM: Duration = Duration::from_secs(600);

/// A log that is longer is started anew.
const LONGEST_LOG: u64 = 1 << 20;

#[derive(clap::Args)]
#[command(arg = super::network::no_system())]
pub(super) struct AgentArguments {
    #[command(subcommand)]
    command: Option<AgentCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum AgentCommand {
    /// What it holds: the hosts and sessions of `irosh status`
    Status,
    /// Start it, which the first ssh does otherwise, so that the ports of hosts are open
    Start,
    /// End it, and the sessions that it holds
    Stop,
    /// Serve those who call at the socket that stdin is; it is started by itself where it is needed
    Serve,
}

impl AgentArguments {
    /// Whether this process is to be the agent.
    pub(super) fn serves(&self) -> bool {
        matches!(self.command, Some(AgentCommand::Serve))
    }
}

pub(super) fn run(paths: Paths, arguments: AgentArguments) -> anyhow::Result<()> {
    match arguments.command.unwrap_or(AgentCommand::Status) {
        AgentCommand::Status => status(&paths, arguments.json),
        AgentCommand::Start => start(&paths)?,
        AgentCommand::Stop => stop(&paths),
        AgentCommand::Serve => return serve(paths),
    }
    Ok(())
}

/// What `irosh status` says of it.
fn status(paths: &Paths, json: bool) {
    let running = agent::running(paths);
    if !json {
        return super::print::print(&printable(&text::agents(paths, &running)));
    }
    for status in running.iter().filter_map(|running| running.status.as_ref()) {
        super::print::print(&json!(status).to_string());
    }
}

fn start(paths: &Paths) -> anyhow::Result<()> {
    ensure!(
        agent::start(paths, &std::env::current_exe()?),
        "no agent can be started\nsee whether {} is a folder of your own that can be written to",
        paths.agents().display()
    );
    Ok(())
}

fn stop(paths: &Paths) {
    let running = agent::running(paths);
    let stopped = running.iter().filter(|running| running.stop(paths)).count();
    super::print::print(match (running.len(), stopped) {
        (0, _) => "no agent was running",
        (all, stopped) if all == stopped => "stopped",
        _ => "an agent of another version goes on, until its sessions are over",
    });
}

fn serve(paths: Paths) -> anyhow::Result<()> {
    let listener = leave_everything()?;
    // They have to be there before it is shut in.
    for folder in paths.folders() {
        let _ = irosh::files::create_private_dir(folder);
    }
    match log(&paths.agent_log()) {
        Ok(file) => irosh::log::start_in("info", file),
        Err(_) => irosh::log::start("error"),
    }
    irosh::descriptors::raise_limit();
    let settings: ClientSettings = load_settings(&paths.client_settings()).unwrap_or_default();
    let ca = match &settings.ca {
        Some(Authorities::File(file)) => Some(file.as_path()),
        _ => None,
    };
    let confined = agent::confine(&paths, ca);
    for lacks in &confined.lacks {
        tracing::info!("not shut in: {lacks}");
    }
    let keep_warm = settings.keep_warm.map_or(KEEP_WARM, Duration::from_secs);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut interrupts = Interrupts::listen()?;
        tracing::info!("the agent of version {} serves", env!("CARGO_PKG_VERSION"));
        let stop = async move { _ = interrupts.next().await };
        agent::serve(paths, listener, keep_warm, confined, stop).await?;
        tracing::info!("the agent leaves");
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    result
}

/// Leaves the terminal, the folder and whatever else was inherited. Returns what stdin was.
fn leave_everything() -> io::Result<OwnedFd> {
    let _ = nix::unistd::setsid();
    std::env::set_current_dir("/")?;
    irosh::descriptors::close_inherited()?;
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    Ok(listener)
}

fn log(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if file.metadata()?.len() > LONGEST_LOG {
        file.set_len(0)?;
    }
    Ok(file)
}
