//! Connecting as the user's own ssh would: their key, their names for hosts, their ssh_config and their keys there.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use tokio::sync::mpsc;

use crate::{
    agent::NetworkWords,
    client::{
        Client, ClientOptions, Connection, Phase, PhaseSink, ResolvedTarget,
        auth::{NoPrompt, Prompt, Standard},
        ssh_config::{SshConfig, SshConfigError, Tokens},
    },
    error::Result,
    files::Paths,
    names::Aliases,
    proxy::Credentials,
    settings::{AgentUse, ClientSettings, NetworkChoice, agent_use, load_settings},
};

/// Connects to a host and logs in there, as `ssh` would for this user: `[user@]TARGET`, which is a name of `irosh hosts`, an
/// endpoint id, a ticket or an invite. Nobody is asked for anything: keys are those of the SSH agent and of files without
/// a passphrase. [`Profile`] has what can be said besides.
///
/// ```no_run
/// #[tokio::main]
/// async fn main() -> irosh::Result<()> {
///     let host = irosh::connect("alice@box").await?;
///     let output = host.command("uname -a").output().await?;
///     print!("{}", output.stdout_lossy());
///     host.disconnect().await;
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// [`Error`](crate::Error), of any [kind](crate::Error::kind) but those of files.
pub async fn connect(target: impl AsRef<OsStr>) -> Result<Connection> {
    Profile::of_user()?.connect(target).await
}

/// What a user has for all their hosts: an identity, settings and names, as `irosh` keeps them, and ssh_config. What is set
/// here goes before all of these, as options of the command line do.
#[derive(Debug, Clone)]
#[must_use]
pub struct Profile {
    paths: Paths,
    network: NetworkChoice,
    login: Option<OsString>,
    identity_files: Vec<PathBuf>,
    config: Option<PathBuf>,
    options: Vec<OsString>,
    agent: Option<PathBuf>,
    phases: PhaseSink,
}

/// What a host is connected to with.
#[derive(Debug)]
pub struct Prepared {
    /// Dials it.
    pub client: Client,
    /// The host, and the login that it was named with.
    pub target: ResolvedTarget,
    /// Who logs in, by what, and how long that may take.
    pub options: ClientOptions,
    /// What ssh_config says for this host.
    pub config: SshConfig,
    /// Why that is nothing but ssh's defaults, where it could not be asked.
    pub without_config: Option<SshConfigError>,
}

impl Profile {
    /// That of who runs this program.
    ///
    /// # Errors
    ///
    /// [`NoHome`](crate::files::NoHome).
    pub fn of_user() -> Result<Self> {
        Ok(Self::of(&Paths::of_user()?))
    }

    /// That in these files.
    pub fn of(paths: &Paths) -> Self {
        Self {
            paths: paths.clone(),
            network: NetworkChoice::default(),
            login: None,
            identity_files: Vec::new(),
            config: None,
            options: Vec::new(),
            agent: None,
            phases: PhaseSink::default(),
        }
    }

    /// What of the network is not as the settings have it.
    pub fn network(mut self, choice: NetworkChoice) -> Self {
        self.network = choice;
        self
    }

    /// Who logs in, before what the target and ssh_config say.
    pub fn login(mut self, login: impl Into<OsString>) -> Self {
        self.login = Some(login.into());
        self
    }

    /// Adds a file with a private key that is tried before those of ssh_config (`ssh -i`).
    pub fn identity_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.identity_files.push(file.into());
        self
    }

    /// Reads this file in place of `~/.ssh/config` (`ssh -F`).
    pub fn ssh_config(mut self, file: impl Into<PathBuf>) -> Self {
        self.config = Some(file.into());
        self
    }

    /// Adds an option of ssh_config(5), as `ssh -o` takes it.
    pub fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Has the user's agent hold the connection, which is started with this program (`irosh`) where it does not run, unless
    /// the settings say that there is none. Connections of it are there already when they are used for the second time.
    pub fn agent(mut self, program: impl Into<PathBuf>) -> Self {
        self.agent = Some(program.into());
        self
    }

    /// Told each step of connecting, as by [`ClientOptions::phases`], which is then set: [`Phase::Resolving`] comes first.
    pub fn phases(mut self, tell: mpsc::UnboundedSender<Phase>) -> Self {
        self.phases = PhaseSink(Some(tell));
        self
    }

    /// Connects to a host and logs in there; nobody is asked.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::Error).
    pub async fn connect(&self, target: impl AsRef<OsStr>) -> Result<Connection> {
        let Prepared { client, target, options, .. } = self.prepare(target, NoPrompt).await?;
        Ok(client.connect_without_session(&target, options).await?)
    }

    /// All that it takes to connect to a host, to be changed before that is done. `prompt` is asked for passwords and
    /// passphrases, unless ssh_config has `BatchMode yes`.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::Error): the files of the user, the target, or ssh_config.
    pub async fn prepare(
        &self,
        target: impl AsRef<OsStr>,
        prompt: impl Prompt + 'static,
    ) -> Result<Prepared> {
        let phases = self.phases.begin();
        phases.enter(Phase::Resolving);
        let mut prepared = self.look_up(target.as_ref(), prompt).await?;
        prepared.options.phases = self.phases.clone();
        phases.leave_to_others();
        Ok(prepared)
    }

    async fn look_up(&self, target: &OsStr, prompt: impl Prompt + 'static) -> Result<Prepared> {
        let aliases = Aliases::load(&self.paths.aliases())?;
        let target = ResolvedTarget::resolve(target.as_bytes(), &aliases)?;
        let settings: ClientSettings = load_settings(&self.paths.client_settings())?;
        let credentials = Credentials::load(&self.paths, settings.identity.as_deref())?;
        let wanted = self.login.as_deref().or_else(|| target.login().map(OsStr::from_bytes));
        let home = std::env::home_dir();
        let user = local_user();
        let tokens = Tokens {
            home: home.clone().unwrap_or_default(),
            local_user: user.clone(),
            host: target.name().to_owned(),
        };
        let (client, config) = tokio::join!(
            self.client(settings.into(), credentials),
            self.config_of(target.name(), wanted, &tokens),
        );
        let client = client?.noted(&self.paths);
        let (config, without_config) = config?;
        let login = wanted.map(|login| login.as_bytes().to_vec()).or_else(|| config.user.clone());
        let login = login.unwrap_or_else(|| user.into());

        let mut keys = config.standard_options(&target.shown_name(), home.as_deref());
        keys.identity_files.splice(..0, self.identity_files.iter().cloned());
        let mut standard = Standard::new(keys);
        if !config.batch_mode {
            standard = standard.prompt(prompt);
        }
        let mut options = ClientOptions::new(login)
            .authenticator(standard)
            .forward_agent(config.forward_agent.clone().and_then(|agent| agent.socket()))
            .connect_deadline(config.connect_timeout);
        for (name, value) in config.environment(std::env::vars_os()) {
            options = options.variable(name, value);
        }
        if config.server_alive_interval.is_some() {
            options = options.keepalive(config.server_alive_interval, config.server_alive_count_max);
        }
        Ok(Prepared { client, target, options, config, without_config })
    }

    /// What dials hosts, or has the agent do so.
    async fn client(&self, file: NetworkChoice, credentials: Credentials) -> Result<Client> {
        let words = NetworkWords::from(&self.network);
        let network = self.network.clone().or(file);
        Ok(match &self.agent {
            Some(program) if agent_use(&self.paths) == AgentUse::Auto => {
                Client::by_agent(&self.paths, program, (words, network), credentials)
            }
            _ => Client::bind(network, credentials).await?,
        })
    }

    /// What ssh would do for this host. Nothing but its defaults, and why, where ssh cannot tell, since all that is needed
    /// is known here, unless it cannot make sense of what was asked for here.
    async fn config_of(
        &self,
        host: &str,
        login: Option<&OsStr>,
        tokens: &Tokens,
    ) -> Result<(SshConfig, Option<SshConfigError>)> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: &OsStr| arguments.extend([option.into(), value.to_owned()]);
        self.config.iter().for_each(|file| add("-F", file.as_os_str()));
        self.options.iter().for_each(|option| add("-o", option));
        login.iter().for_each(|login| add("-l", login));
        match SshConfig::load(host, &arguments, tokens).await {
            Err(SshConfigError::Refused(said)) if self.config.is_some() || said.contains("command-line") => {
                Err(SshConfigError::Refused(said).into())
            }
            Err(error) => Ok((SshConfig::default(), Some(error))),
            Ok(config) => Ok((config, None)),
        }
    }
}

/// The name of who runs this program.
fn local_user() -> String {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}
