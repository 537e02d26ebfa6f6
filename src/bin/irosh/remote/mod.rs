//! The commands that reach a host: `irosh shell`, `exec`, `put`, `get` and `forward`.

mod ask;
mod exit;
pub(crate) mod files;
pub(crate) mod forward;
mod forwards;
pub(crate) mod session;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use irosh::{
    client::{
        Client, ClientOptions, Connection, ConnectionEvent, ResolvedTarget,
        auth::Standard,
        ssh_config::{SshConfig, Tokens},
    },
    files::Paths,
    host::load_settings,
    names::Aliases,
    settings::{ClientSettings, NetworkChoice},
    signals::Interrupts,
    transport::KeyFile,
};

use super::{NetworkArguments, completion, terminal};
use ask::Ask;
use exit::Failure;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How to reach a host and log in there. What is not said is as ssh_config says for it.
#[derive(clap::Args)]
pub(crate) struct RemoteArguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Log in as this user
    #[arg(short, long, value_name = "USER")]
    login: Option<String>,
    /// Log in with this private key
    #[arg(short, long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,
    /// Read this file instead of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask no questions: fail where a password or a passphrase is needed
    #[arg(long)]
    batch: bool,
    /// `[user@]TARGET`: a name of `irosh hosts`, a ticket, an invite or an endpoint id
    #[arg(add = completion::targets(known_names))]
    target: String,
}

impl RemoteArguments {
    /// For completion: a target and nothing else, and nobody is asked.
    fn of_target(target: &str) -> Self {
        Self {
            network: NetworkArguments::of_environment(),
            login: None,
            identities: Vec::new(),
            config: None,
            batch: true,
            target: target.to_owned(),
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

/// Takes over the signals that end a program: the first one is told, and the second one ends the program at
/// once.
fn interrupted() -> io::Result<CancellationToken> {
    let mut signals = Interrupts::listen()?;
    let told = CancellationToken::new();
    let first = told.clone();
    tokio::spawn(async move {
        signals.next().await;
        first.cancel();
        signals.next().await;
        terminal::restore();
        std::process::exit(i32::from(Failure::Interrupted as u8));
    });
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

/// Connects and logs in.
async fn connect(paths: &Paths, arguments: &RemoteArguments, agent: Lend) -> anyhow::Result<Link> {
    Reach::prepare(paths, arguments, agent).await?.connect().await
}

/// A host that is about to be connected to.
struct Reach {
    client: Client,
    target: ResolvedTarget,
    options: ClientOptions,
    config: SshConfig,
}

impl Reach {
    async fn prepare(paths: &Paths, arguments: &RemoteArguments, lend: Lend) -> anyhow::Result<Self> {
        let target = ResolvedTarget::resolve(&arguments.target, &Aliases::load(&paths.aliases())?)?;
        let settings: ClientSettings = load_settings(&paths.client_settings())?;
        let file = NetworkChoice { relay: settings.relay, dns: settings.dns, bind: settings.bind };
        let identity = KeyFile::load_or_create(&paths.identity(), &irosh::log::who())?;
        let wanted = arguments.login.as_deref().or_else(|| target.login());
        let home = std::env::home_dir();
        let tokens = Tokens {
            home: home.clone().unwrap_or_default(),
            local_user: local_user(),
            host: target.name().to_owned(),
        };
        let (client, config) = tokio::join!(
            Client::bind(NetworkChoice::from(arguments.network.clone()).or(file), identity.secret().clone()),
            SshConfig::load(target.name(), wanted, arguments.config.as_deref(), &tokens),
        );
        let (client, config) = (client?, config?);
        let login = wanted.map(str::to_owned).or_else(|| config.user.clone()).unwrap_or_else(local_user);

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
        let mut options = ClientOptions::new(login)
            .authenticator(standard)
            .forward_agent(agent.and_then(|agent| agent.socket()))
            .connect_deadline(config.connect_timeout)
            .on_event(tell);
        for (name, value) in config.environment(std::env::vars_os()) {
            options = options.variable(name, value);
        }
        if config.server_alive_interval.is_some() {
            options = options.keepalive(config.server_alive_interval, config.server_alive_count_max);
        }
        Ok(Self { client, target, options, config })
    }

    async fn connect(self) -> anyhow::Result<Link> {
        let Self { client, target, options, config } = self;
        match client.connect_without_session(&target, options).await {
            Ok(connection) => Ok(Link { client, connection, config, name: shown_name(&target) }),
            Err(error) => {
                client.close().await;
                Err(error.into())
            }
        }
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
fn tell(event: ConnectionEvent) {
    match event {
        ConnectionEvent::Banner(text) => {
            irosh::log::say(&irosh::log::printable(&text.replace("\r\n", "\n")));
        }
        ConnectionEvent::ForwardFailed { forward, target, error } => {
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
fn known_names() -> Vec<String> {
    let aliases = Paths::of_user().ok().and_then(|paths| Aliases::load(&paths.aliases()).ok());
    aliases.map(|aliases| aliases.hosts.keys().cloned().collect()).unwrap_or_default()
}
