//! The commands that reach a host: `irosh shell`, `exec`, `put`, `get` and `forward`.

mod ended;
pub(crate) mod exit;
pub(crate) mod files;
pub(crate) mod forward;
mod forwards;
mod output;
pub(crate) mod session;
mod typing;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use irosh::{
    client::{
        Client, ClientOptions, Connection, ConnectionEvent, ResolvedTarget, auth::NoPrompt,
        ssh_config::SshConfig,
    },
    files::Paths,
    names::Aliases,
    profile::{Prepared, Profile},
    signals::Interrupts,
};

use super::{ask::Ask, completion, network::NetworkArguments, terminal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How to reach a host and log in there. What is not said is as ssh_config says for it.
#[derive(clap::Args)]
#[command(arg = super::network::no_system())]
pub(crate) struct RemoteArguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Log in as this user
    #[arg(short, long, value_name = "USER")]
    login: Option<OsString>,
    /// Log in with this private key
    #[arg(short, long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,
    /// Read this file instead of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An option of ssh_config, as ssh takes it
    #[arg(short, value_name = "OPTION")]
    options: Vec<OsString>,
    /// Dial from this process, and leave the agent alone
    #[arg(long)]
    no_agent: bool,
    #[arg(skip)]
    quiet: bool,
    /// Ask no questions: fail where a password or a passphrase is needed
    #[arg(long)]
    batch: bool,
    /// `[user@]TARGET`: a name of `irosh hosts`, a ticket, an invite or an endpoint id
    #[arg(add = completion::targets(known_names))]
    target: OsString,
}

impl RemoteArguments {
    /// For completion: a target and nothing else, and nobody is asked.
    fn of_target(target: &str) -> Self {
        Self {
            network: NetworkArguments::of_environment(),
            login: None,
            identities: Vec::new(),
            config: None,
            options: Vec::new(),
            no_agent: false,
            quiet: true,
            batch: true,
            target: target.into(),
        }
    }

    /// What the user has for all hosts, and what was said here.
    fn profile(&self, paths: &Paths) -> Profile {
        let mut profile = Profile::of(paths).network(self.network.clone().into());
        if let Some(login) = &self.login {
            profile = profile.login(login);
        }
        if let Some(config) = &self.config {
            profile = profile.ssh_config(config);
        }
        if let (Ok(program), false) = (std::env::current_exe(), self.no_agent) {
            profile = profile.agent(program);
        }
        let with_files = |profile: Profile, file: &PathBuf| {
            warn_of_missing(file);
            profile.identity_file(file)
        };
        let profile = self.identities.iter().fold(profile, with_files);
        self.options.iter().fold(profile, Profile::option)
    }
}

/// A connection to a host.
pub(crate) struct Link {
    client: Client,
    connection: Connection,
    /// What ssh would do for this host.
    config: SshConfig,
    /// The host, as it was named.
    name: String,
}

impl Link {
    /// Says goodbye, and does not wait for the server's: everything that counts has been answered.
    async fn close(self) {
        let _ = timeout(GOODBYE, self.connection.disconnect()).await;
        self.client.close().await;
    }
}

/// Runs one of the commands, and says what it exits with.
pub(crate) fn run<F>(command: impl FnOnce() -> F) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    irosh::descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(command());
    // Whatever still holds it does not live to give it back.
    terminal::restore();
    // A thread may be waiting for a terminal or a file for ever.
    runtime.shutdown_background();
    result
}

/// A signal ended it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

/// Takes over the signals that end a program: the first one is told, and the second one ends the program at
/// once, with this status. They are heard in a thread of their own, whatever the others wait for.
fn interrupted(status: u8) -> io::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Interrupts::listen()?
    };
    let told = CancellationToken::new();
    let first = told.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            signals.next().await;
            first.cancel();
            signals.next().await;
        });
        terminal::restore();
        std::process::exit(status.into());
    })?;
    Ok(told)
}

/// How long a goodbye takes to be on its way.
const GOODBYE: Duration = Duration::from_millis(20);

/// Whether programs at the host may use the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lend {
    /// Not where none are run for somebody: copies, forwards, completion. scp and sftp do not either.
    Never,
    /// As ForwardAgent says.
    AsConfigured,
    /// Whatever ssh_config says.
    Always,
}

/// Connects and logs in, unless it is interrupted.
async fn connect(
    paths: &Paths,
    arguments: &RemoteArguments,
    agent: Lend,
    interrupted: &CancellationToken,
) -> anyhow::Result<Link> {
    Reach::prepare(paths, arguments, agent, interrupted).await?.connect(interrupted).await
}

/// A host that is about to be connected to.
struct Reach {
    client: Client,
    target: ResolvedTarget,
    options: ClientOptions,
    config: SshConfig,
}

impl Reach {
    async fn prepare(
        paths: &Paths,
        arguments: &RemoteArguments,
        lend: Lend,
        interrupted: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let profile = arguments.profile(paths);
        let preparing = async {
            match arguments.batch {
                true => profile.prepare(&arguments.target, NoPrompt).await,
                false => profile.prepare(&arguments.target, Ask).await,
            }
        };
        let prepared = interrupted.run_until_cancelled(preparing).await.ok_or(Interrupted)?;
        let Prepared { client, target, options, config, without_config } =
            prepared.map_err(|error| anyhow::Error::from_boxed(error.into_source()))?;
        if let Some(error) = without_config {
            irosh::log::complain("irosh", &format!("going on without ssh_config: {error}"));
        }
        let agent = match lend {
            Lend::Never => None,
            Lend::AsConfigured => config.forward_agent.clone(),
            Lend::Always => config.forward_agent.clone().or_else(|| Some(config.identity_agent.clone())),
        };
        let quiet = config.quiet || arguments.quiet;
        let options = options
            .forward_agent(agent.and_then(|agent| agent.socket()))
            .on_event(move |event| tell(event, quiet));
        Ok(Self { client, target, options, config })
    }

    async fn connect(self, interrupted: &CancellationToken) -> anyhow::Result<Link> {
        let Self { client, target, options, config } = self;
        let connecting = client.connect_without_session(&target, options);
        let why: anyhow::Error = match interrupted.run_until_cancelled(connecting).await {
            Some(Ok(connection)) => {
                return Ok(Link { client, connection, config, name: target.shown_name() });
            }
            Some(Err(error)) => error.into(),
            None => Interrupted.into(),
        };
        client.close().await;
        Err(why)
    }
}

/// Says on stderr what happens besides.
fn tell(event: ConnectionEvent, quiet: bool) {
    match event {
        ConnectionEvent::Banner(_) if quiet => {}
        ConnectionEvent::Banner(text) => {
            irosh::log::say(&irosh::log::printable(&text.replace("\r\n", "\n")));
        }
        // Whoever wants to know asks for it: to others it is a pause.
        ConnectionEvent::Detached { reason } => tracing::info!("the host is not reached any more: {reason}"),
        ConnectionEvent::Attached { after } => tracing::info!("the host is reached again, after {after:.1?}"),
        ConnectionEvent::ForwardFailed { forward, target, error } => {
            let target = irosh::log::one_line(&target);
            let said =
                irosh::log::printable(&format!("a connection of {forward} to {target} failed: {error}"));
            irosh::log::say(&format!("irosh: {said}\r\n"));
        }
        _ => {}
    }
}

/// As ssh says it. Of a key that the agent has, the public half is enough.
fn warn_of_missing(identity: &Path) {
    let mut public = identity.as_os_str().to_owned();
    public.push(".pub");
    if let Err(error) = identity.metadata()
        && !Path::new(&public).exists()
    {
        let why = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default()).desc();
        irosh::log::complain("irosh", &format!("no such identity: {}: {why}", identity.display()));
    }
}

/// The names of `irosh hosts`, for completion.
pub(crate) fn known_names() -> Vec<String> {
    let aliases = Paths::of_user().ok().and_then(|paths| Aliases::load(&paths.aliases()).ok());
    aliases.map(|aliases| aliases.hosts.keys().cloned().collect()).unwrap_or_default()
}
