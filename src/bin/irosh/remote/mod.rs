//! The commands that reach a host: `irosh shell`, `exec`, `put`, `get` and `forward`.

mod exit;
pub(crate) mod files;
pub(crate) mod forward;
mod forwards;
mod output;
pub(crate) mod session;
mod typing;

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use irosh::{
    agent::NetworkWords,
    client::{
        Client, ClientOptions, Connection, ConnectionEvent, ResolvedTarget,
        auth::Standard,
        ssh_config::{SshConfig, SshConfigError, Tokens},
    },
    files::Paths,
    host::load_settings,
    names::Aliases,
    proxy::Credentials,
    settings::{AgentUse, ClientSettings, NetworkChoice, agent_use},
    signals::Interrupts,
    transport::BindFailed,
};

use super::{NetworkArguments, ask::Ask, completion, terminal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How to reach a host and log in there. What is not said is as ssh_config says for it.
#[derive(clap::Args)]
#[command(arg = super::no_system())]
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

    /// What dials hosts, or has the agent do so.
    async fn client(
        &self,
        paths: &Paths,
        here: NetworkChoice,
        file: NetworkChoice,
        credentials: Credentials,
    ) -> Result<Client, BindFailed> {
        let words = NetworkWords::from(&here);
        let network = here.or(file);
        match std::env::current_exe() {
            Ok(program) if !self.no_agent && agent_use(paths) == AgentUse::Auto => {
                Ok(Client::by_agent(paths, &program, (words, network), credentials))
            }
            _ => Client::bind(network, credentials).await,
        }
    }

    /// What ssh would do for this host. Nothing but its defaults where ssh cannot tell, since all that is needed
    /// is known here, unless it cannot make sense of what was asked for here.
    async fn ssh_config(
        &self,
        host: &str,
        login: Option<&OsStr>,
        tokens: &Tokens,
    ) -> Result<SshConfig, SshConfigError> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: &OsStr| arguments.extend([option.into(), value.to_owned()]);
        self.config.iter().for_each(|file| add("-F", file.as_os_str()));
        self.options.iter().for_each(|option| add("-o", option));
        login.iter().for_each(|login| add("-l", login));
        match SshConfig::load(host, &arguments, tokens).await {
            Err(SshConfigError::Refused(said)) if self.config.is_some() || said.contains("command-line") => {
                Err(SshConfigError::Refused(said))
            }
            Err(error) => {
                irosh::log::complain("irosh", &format!("going on without ssh_config: {error}"));
                Ok(SshConfig::default())
            }
            loaded => loaded,
        }
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

pub(crate) use exit::code_of;

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
        let target = ResolvedTarget::resolve(arguments.target.as_bytes(), &Aliases::load(&paths.aliases())?)?;
        let settings: ClientSettings = load_settings(&paths.client_settings())?;
        let credentials = Credentials::load(paths, settings.identity.as_deref())?;
        let file = NetworkChoice::from(settings);
        let wanted = arguments.login.as_deref().or_else(|| target.login().map(OsStr::from_bytes));
        let home = std::env::home_dir();
        let tokens = Tokens {
            home: home.clone().unwrap_or_default(),
            local_user: local_user(),
            host: target.name().to_owned(),
        };
        let here = NetworkChoice::from(arguments.network.clone());
        let preparing = async {
            tokio::join!(
                arguments.client(paths, here, file, credentials),
                arguments.ssh_config(target.name(), wanted, &tokens),
            )
        };
        let (client, config) = interrupted.run_until_cancelled(preparing).await.ok_or(Interrupted)?;
        let (client, config) = (client?.noted(paths), config?);
        let login = wanted.map(|login| login.as_bytes().to_vec()).or_else(|| config.user.clone());
        let login = login.unwrap_or_else(|| local_user().into());

        let mut keys = config.standard_options(&shown_name(&target), home.as_deref());
        if !arguments.identities.is_empty() {
            arguments.identities.iter().for_each(|file| warn_of_missing(file));
            keys.identity_files.splice(..0, arguments.identities.iter().cloned());
        }
        let mut standard = Standard::new(keys);
        if !arguments.batch && !config.batch_mode {
            standard = standard.prompt(Ask);
        }
        let agent = match lend {
            Lend::Never => None,
            Lend::AsConfigured => config.forward_agent.clone(),
            Lend::Always => config.forward_agent.clone().or_else(|| Some(config.identity_agent.clone())),
        };
        let quiet = config.quiet || arguments.quiet;
        let mut options = ClientOptions::new(login)
            .authenticator(standard)
            .forward_agent(agent.and_then(|agent| agent.socket()))
            .connect_deadline(config.connect_timeout)
            .on_event(move |event| tell(event, quiet));
        for (name, value) in config.environment(std::env::vars_os()) {
            options = options.variable(name, value);
        }
        if config.server_alive_interval.is_some() {
            options = options.keepalive(config.server_alive_interval, config.server_alive_count_max);
        }
        Ok(Self { client, target, options, config })
    }

    async fn connect(self, interrupted: &CancellationToken) -> anyhow::Result<Link> {
        let Self { client, target, options, config } = self;
        let connecting = client.connect_without_session(&target, options);
        let why: anyhow::Error = match interrupted.run_until_cancelled(connecting).await {
            Some(Ok(connection)) => {
                return Ok(Link { client, connection, config, name: shown_name(&target) });
            }
            Some(Err(error)) => error.into(),
            None => Interrupted.into(),
        };
        client.close().await;
        Err(why)
    }
}

/// The host in questions and messages: as it was named, but for tickets, which are long, and invites, which
/// are secrets as well.
fn shown_name(target: &ResolvedTarget) -> String {
    if target.name().len() <= LONGEST_NAME { target.name().to_owned() } else { target.target().short_name() }
}

/// Of an alias.
const LONGEST_NAME: usize = 40;

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

fn local_user() -> String {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The names of `irosh hosts`, for completion.
pub(crate) fn known_names() -> Vec<String> {
    let aliases = Paths::of_user().ok().and_then(|paths| Aliases::load(&paths.aliases()).ok());
    aliases.map(|aliases| aliases.hosts.keys().cloned().collect()).unwrap_or_default()
}
