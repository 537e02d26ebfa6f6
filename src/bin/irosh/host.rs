//! `irosh host`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use irosh::{
    files::Paths,
    host::{
        Access, Backend, BackendChoice, BuiltinServer, Event, HandOver, Host, HostOptions, HostSettings,
        Inherited, LiveSettings, Reload, Reread, Stop, configured_keys, load_settings,
    },
    outlet::Outlet,
    settings::NetworkChoice,
};
use nix::sys::signal::Signal;
use sd_notify::NotifyState;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{network::NetworkArguments, service};

/// How long the last events may take, where nobody seems to read them.
const LAST_EVENTS: Duration = Duration::from_millis(250);

/// How long `irosh-sshd` may take to say its version: a disk may be slow.
const VERSION_WAIT: Duration = Duration::from_secs(5);

/// How long the program on disk may take to look at its settings.
const CHECK_WAIT: Duration = Duration::from_secs(10);

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
    /// Whether to ask the router for a port (UPnP); not by default where --bind is given
    #[arg(long, env = "IROSH_PORTMAP", value_name = "true|false")]
    portmap: Option<bool>,
    #[command(flatten)]
    network: NetworkArguments,
    /// Print one JSON object a line on stdout
    #[arg(long)]
    json: bool,
    /// Say whether the host could be started with these settings, and do not start it
    #[arg(long)]
    check: bool,
}

/// By what way sessions reach the program that is started in place of this one.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// This process becomes it, from what is on disk by then.
    Exec,
    /// The service manager starts it, and keeps so many descriptors for it.
    Store(usize),
}

pub(super) fn run(paths: Paths, arguments: HostArguments) -> anyhow::Result<()> {
    // Half of the machine: what a worker decrypts, an SSH server beside it encrypts. With two
    // processors, two workers were slower than one, for what they lose in waking each other.
    let workers = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let program = Program::of_this_process()?;
    let result = runtime.block_on(host(paths, arguments, &program));
    runtime.shutdown_timeout(Duration::from_millis(100));
    match result? {
        Some((sessions, Way::Store(most))) => {
            sessions.keep(most).context("the service manager did not keep the sessions, which end")
        }
        Some((sessions, Way::Exec)) => Err(program.become_anew(sessions)),
        None => Ok(()),
    }
}

async fn host(
    paths: Paths,
    arguments: HostArguments,
    program: &Program,
) -> anyhow::Result<Option<(HandOver, Way)>> {
    irosh::descriptors::raise_limit();
    let HostArguments { backend, access, name, portmap, network, json, check } = arguments;
    let events = Outlet::new(rustix::stdio::stdout(), if json { dropped } else { |_| String::new() });
    let output = events.clone();
    let settings: HostSettings = load_settings(&paths.host_settings())?;
    let network = NetworkChoice::from(network);
    let flags = [("portmap", portmap.is_some()), ("backend", backend.is_some()), ("name", name.is_some())];
    let reread = rereads(&paths, settings.clone(), access, &flags, &network);
    let max_startups = settings.max_startups();
    let file = NetworkChoice {
        relay: settings.relay,
        dns: settings.dns,
        bind: settings.bind,
        ca: settings.ca,
        relay_token: settings.relay_token,
        lan: settings.lan,
    };
    let network = network.or(file);
    let backend = backend.or(settings.backend).unwrap_or_default().settle(&paths).await?;
    if backend == Backend::Builtin {
        settings.sshd.warnings().for_each(|warning| tracing::warn!("{warning}"));
    }
    let options = HostOptions {
        paths: paths.clone(),
        portmap: portmap.or(settings.portmap).unwrap_or(network.bind.0.is_empty()),
        network,
        backend,
        builtin: BuiltinServer { command: builtin_server(&paths).await?, max_startups: Some(max_startups) },
        host_keys: configured_keys(&settings.host_keys).context("host-keys in host.toml")?,
        access: access.or(settings.access).unwrap_or_default(),
        revoked_keys: settings.revoked_keys.map(|file| paths.host_settings().with_file_name(file)),
        name: name.or(settings.name).unwrap_or_else(irosh::log::machine_name),
        limits: settings.limits,
        reread: Some(reread),
        events: Box::new(move |event| tell(&output, json, &event)),
        inherited: None,
    };
    if check {
        return Ok(None);
    }
    // Whatever is wrong with what was left, this host is as good as any that starts.
    let inherited = Inherited::take().unwrap_or_else(|error| {
        tracing::error!("sessions of the host before are lost: {error}");
        None
    });
    let host = Host::start(HostOptions { inherited, ..options }).await?;
    let stop = host.stop();
    let reload = host.reloader();
    let watching = watch_signals(stop, reload, program);
    let watchdog = tokio::spawn(watchdog());
    let running = host.run();
    tokio::pin!(running);
    let (left, way) = tokio::select! {
        left = &mut running => (left, None),
        way = watching => (running.await, Some(way?)),
    };
    watchdog.abort();
    events.flush(LAST_EVENTS);
    Ok(left.zip(way))
}

/// What reads the settings again, of a host that was started with these. What a flag sets, the file does not change.
fn rereads(
    paths: &Paths,
    started: HostSettings,
    access: Option<Access>,
    flags: &[(&'static str, bool)],
    network: &NetworkChoice,
) -> Reread {
    let file = paths.host_settings();
    let of_network = [
        ("relay", network.relay.is_some()),
        ("dns", network.dns.is_some()),
        ("bind", network.bind.is_some()),
        ("ca", network.ca.is_some()),
        ("relay-token", network.relay_token.is_some()),
    ];
    let flags: Vec<_> =
        flags.iter().chain(&of_network).filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
    let last = Mutex::new(started.clone());
    Box::new(move || {
        let settings: HostSettings = load_settings(&file).map_err(|error| error.to_string())?;
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = (settings.sshd != last.sshd).then(|| "sshd".to_owned());
        let waiting = settings.differing(&started).into_iter().filter(|key| !flags.contains(key));
        let live = LiveSettings {
            access: access.or(settings.access).unwrap_or_default(),
            revoked_keys: settings.revoked_keys.as_ref().map(|list| file.with_file_name(list)),
            limits: settings.limits.clone(),
            taken: taken.into_iter().collect(),
            waiting: waiting.map(str::to_owned).collect(),
        };
        *last = settings;
        Ok(live)
    })
}

/// The program on disk that this process was started from.
struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    fn of_this_process() -> anyhow::Result<Self> {
        let path = std::env::current_exe().context("cannot find this program")?;
        Ok(Self { path, arguments: std::env::args_os().skip(1).collect() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        command
    }

    /// Whether what is on disk by now would start.
    async fn check(&self) -> anyhow::Result<()> {
        let mut checking = self.command();
        checking.arg("--check").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let checked =
            timeout(CHECK_WAIT, checking.output()).await.context("it does not say whether it would")??;
        let said = String::from_utf8_lossy(&checked.stderr).trim().to_owned();
        anyhow::ensure!(checked.status.success(), "{said}");
        Ok(())
    }

    /// Becomes what is on disk; what was started, where that is not there any more. Returns only if both fail.
    fn become_anew(&self, sessions: HandOver) -> anyhow::Error {
        let mut command = std::process::Command::new(&self.path);
        if !self.path.exists() {
            command = std::process::Command::new("/proc/self/exe");
        }
        // A signal that comes while the next program starts is not to end it.
        irosh::signals::ignore_until_started(&[Signal::SIGHUP, Signal::SIGUSR2]);
        let error = sessions.exec(command.args(&self.arguments));
        anyhow::Error::new(error).context("cannot start the program anew: the sessions end")
    }
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
             let a machine in, in another terminal:   irosh pair\n\
             and type on that machine what it says; then ssh has a name for this one\n",
        ));
    }
}

fn line(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default() + "\n"
}

fn dropped(events: u64) -> String {
    line(&Event::Dropped { events })
}

/// SIGTERM and SIGINT drain, and end at once the second time; SIGHUP reads the settings again. SIGUSR2 has the program
/// start anew, and SIGTERM has, where it is the service manager's way to do that: sessions go on then.
async fn watch_signals(stop: Stop, reload: Reload, program: &Program) -> anyhow::Result<Way> {
    let mut anew = signal(SignalKind::user_defined2()).context("signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("signals")?;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                // It says itself what came of it.
                let _ = reload.reload().await;
                continue;
            }
            _ = anew.recv() => {
                match program.check().await {
                    Ok(()) if !stop.drain.is_cancelled() => {
                        stop.hand_over.cancel();
                        return Ok(Way::Exec);
                    }
                    Ok(()) => {}
                    Err(error) => tracing::error!("this host goes on as it is, since it could not be started anew: {error:#}"),
                }
                continue;
            }
            _ = terminate.recv() => if let Some(most) = service::room_for_sessions(&stop).await {
                stop.hand_over.cancel();
                return Ok(Way::Store(most));
            },
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
