//! `irosh host`.

use std::{ffi::OsString, path::Path, process::Stdio, time::Duration};

use anyhow::Context;
use irosh::{
    files::Paths,
    host::{
        Access, Backend, BackendChoice, BuiltinServer, Event, Host, HostOptions, HostSettings, Reload, Stop,
        configured_keys, load_settings,
    },
    outlet::Outlet,
    settings::NetworkChoice,
};
use sd_notify::NotifyState;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::NetworkArguments;

/// How long the last events may take, where nobody seems to read them.
const LAST_EVENTS: Duration = Duration::from_millis(250);

/// How long `irosh-sshd` may take to say its version: a disk may be slow.
const VERSION_WAIT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(super) struct HostArguments {
    /// Where sessions go: auto, builtin, tcp:ADDRESS:PORT, unix:PATH or exec:COMMAND
    #[arg(long)]
    backend: Option<BackendChoice>,
    /// Who reaches ssh: invited (peers and invites) or open (anybody; ssh still asks who they are)
    #[arg(long)]
    access: Option<Access>,
    /// The name that peers are told
    #[arg(long)]
    name: Option<String>,
    /// Whether to ask the router for a port (UPnP, PCP, NAT-PMP); not by default where --bind is given
    #[arg(long, value_name = "true|false")]
    portmap: Option<bool>,
    #[command(flatten)]
    network: NetworkArguments,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(paths: Paths, arguments: HostArguments) -> anyhow::Result<()> {
    // Half of the machine: what a worker decrypts, an SSH server beside it encrypts. With two
    // processors, two workers were slower than one, for what they lose in waking each other.
    let workers = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let result = runtime.block_on(host(paths, arguments));
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn host(paths: Paths, arguments: HostArguments) -> anyhow::Result<()> {
    irosh::descriptors::raise_limit();
    let HostArguments { backend, access, name, portmap, network, json } = arguments;
    let events = Outlet::new(rustix::stdio::stdout(), if json { dropped } else { |_| String::new() });
    let output = events.clone();
    let settings: HostSettings = load_settings(&paths.host_settings())?;
    let file = NetworkChoice {
        relay: settings.relay,
        dns: settings.dns,
        bind: settings.bind,
        ca: settings.ca,
        relay_token: settings.relay_token,
    };
    let network = NetworkChoice::from(network).or(file);
    let backend = backend.or(settings.backend).unwrap_or_default().settle(&paths).await?;
    if backend == Backend::Builtin {
        settings.sshd.warnings().for_each(|warning| tracing::warn!("{warning}"));
    }
    let options = HostOptions {
        paths: paths.clone(),
        portmap: portmap.or(settings.portmap).unwrap_or(network.bind.0.is_empty()),
        network,
        backend,
        builtin: BuiltinServer {
            command: builtin_server(&paths).await?,
            max_startups: Some(settings.sshd.server().max_startups.into()),
        },
        host_keys: configured_keys(&settings.host_keys).context("host-keys in host.toml")?,
        access: access.or(settings.access).unwrap_or_default(),
        name: name.or(settings.name).unwrap_or_else(irosh::log::machine_name),
        limits: settings.limits,
        events: Box::new(move |event| tell(&output, json, &event)),
    };
    let host = Host::start(options).await?;
    let stop = host.stop();
    let reload = host.reloader();
    let signals = tokio::spawn(async move { watch_signals(paths, access, stop, reload).await });
    let watchdog = tokio::spawn(watchdog());
    host.run().await;
    signals.abort();
    watchdog.abort();
    events.flush(LAST_EVENTS);
    Ok(())
}

/// The SSH server of one session: `irosh-sshd`, which is small, where it was installed with this program;
/// otherwise this program itself.
async fn builtin_server(paths: &Paths) -> anyhow::Result<Vec<OsString>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let system = (*paths == Paths::of_system()).then(|| OsString::from("--system"));
    let small = program.with_file_name("irosh-sshd");
    if is_of_this_version(&small).await {
        return Ok([small.into_os_string()].into_iter().chain(system).collect());
    }
    Ok([program.into_os_string()].into_iter().chain(system).chain([OsString::from("sshd")]).collect())
}

/// Whether this is our own server, and not one that an update has left behind.
async fn is_of_this_version(program: &Path) -> bool {
    let expected = concat!("irosh-sshd ", env!("CARGO_PKG_VERSION"));
    let mut asking = Command::new(program);
    asking.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    match timeout(VERSION_WAIT, asking.output()).await {
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if said != expected {
                let program = program.display();
                tracing::warn!("{program} is not used: it says `{said}`, and this is {expected}");
            }
            said == expected
        }
        Ok(Err(_)) => false,
        Err(_) => {
            tracing::warn!("{} is not used: it does not say its version", program.display());
            false
        }
    }
}

fn tell(output: &Outlet, json: bool, event: &Event) {
    if let Event::Ready { .. } = event {
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }
    if let Event::Draining { .. } = event {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    }
    if json {
        output.put(line(event));
    } else if let Event::Ready { ticket, backend, problem, .. } = event {
        let problem = problem.as_ref().map(|problem| format!("\nbut: {problem}")).unwrap_or_default();
        output.put(format!(
            "ticket: {ticket}\nbackend: {backend}{problem}\n\n\
             admit somebody:   irosh invite\n\
             and there, type:  irosh ssh-config install\n\
             and then:         ssh {}@INVITE\n",
            std::env::var("USER").unwrap_or_else(|_| "USER".to_owned()),
        ));
    }
}

fn line(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default() + "\n"
}

fn dropped(events: u64) -> String {
    line(&Event::Dropped { events })
}

/// SIGTERM and SIGINT drain, and end at once the second time; SIGHUP reads the settings again.
async fn watch_signals(
    paths: Paths,
    access: Option<Access>,
    stop: Stop,
    reload: Reload,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("signals")?;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                match load_settings::<HostSettings>(&paths.host_settings()) {
                    Ok(settings) => {
                        let access = access.or(settings.access).unwrap_or_default();
                        Host::reload(&reload, access, settings.limits).await;
                        tracing::info!("settings and lists read again; backend, host-keys, name, relay, dns and bind stay until a restart");
                    }
                    Err(error) => tracing::error!("the settings stay as they were: {error}"),
                }
                continue;
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.drain.is_cancelled() {
            stop.now.cancel();
        }
        stop.drain.cancel();
    }
}

/// Tells systemd that the host still turns over, twice as often as it asks for.
async fn watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        tokio::time::sleep(interval / 2).await;
    }
}
