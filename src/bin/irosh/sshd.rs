//! `irosh sshd`, and the program `irosh-sshd`, which is nothing else: the built-in SSH server.

use std::{fs::OpenOptions, os::fd::AsFd, path::PathBuf, sync::Arc};

use anyhow::Context;
use irosh::{
    files::Paths,
    host::{HostSettings, LOGIN_OPTIONS, load_settings},
    server::{
        Origin, PasswordFile, ServeOptions,
        config::{Connection, SshdConfig, include_files},
        key_options::KeyOptions,
        log_level::LogLevel,
        serve,
    },
};
use jiff::tz::TimeZone;
use nix::sys::stat::{Mode, umask};
use tokio_util::sync::CancellationToken;

/// The options are sshd's, as far as they mean anything on stdin and stdout.
#[derive(clap::Args)]
pub(super) struct SshdArguments {
    /// Read this sshd_config instead of the table `[sshd]` of host.toml
    #[arg(short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// A keyword of sshd_config and its value, which counts before the file
    #[arg(short = 'o', value_name = "KEYWORD=VALUE")]
    options: Vec<String>,
    /// Serve one connection on stdin and stdout; it always does
    #[arg(short = 'i')]
    inetd: bool,
    /// Check the configuration and the host keys, and leave
    #[arg(short = 't')]
    test: bool,
    /// Check them, and print the configuration
    #[arg(short = 'T')]
    print: bool,
    /// With -T: of a connection such as user=bob,addr=10.0.0.1
    #[arg(short = 'C', value_name = "CONNECTION")]
    connection: Option<Connection>,
    /// Append the log to this file instead of stderr
    #[arg(short = 'E', value_name = "FILE")]
    log: Option<PathBuf>,
    /// A login that needs no further proof; there may be several
    #[arg(long = "login", value_name = "USER")]
    logins: Vec<String>,
    /// Speak SSH on stdin alone, and close stdout once somebody has logged in: the host counts by that
    #[arg(long, hide = true)]
    logged_in_on_stdout: bool,
}

impl SshdArguments {
    /// Logins are logged in any case, unless LogLevel asks for less. A file of its own gets what VERBOSE has, too.
    fn start_log(&self, level: LogLevel) {
        let file = self.log.as_ref().map(|path| OpenOptions::new().append(true).create(true).open(path));
        let filter = |info| match level {
            LogLevel::Quiet => "off",
            LogLevel::Fatal | LogLevel::Error => "error",
            LogLevel::Info => info,
            LogLevel::Verbose => "info",
            LogLevel::Debug1 => "debug",
            LogLevel::Debug2 | LogLevel::Debug3 => "trace",
        };
        match file {
            Some(Ok(file)) => irosh::log::start_in(filter("info"), file),
            _ => irosh::log::start(filter("warn,irosh::server::auth=info")),
        }
    }

    /// What the configuration asks for in vain. The host says it once for all its connections.
    fn warn(&self, config: &SshdConfig, origin: Option<&Origin>) {
        if !self.logged_in_on_stdout {
            config.warnings().for_each(|warning| tracing::warn!("{warning}"));
        }
        if config.speaks_of_addresses() && !origin.is_some_and(Origin::has_address) {
            tracing::warn!(
                "no rule of the configuration that is about addresses or hosts can hold: nothing says where this client is"
            );
        }
    }
}

pub(super) fn run(paths: &Paths, arguments: SshdArguments) -> anyhow::Result<()> {
    let loaded = load(paths, &arguments);
    arguments.start_log(loaded.as_ref().map_or(LogLevel::Info, |config| config.server().log_level));
    let config = loaded?;
    let server = config.server();
    server.check()?;
    irosh::server::check_algorithms(&server)?;
    if arguments.test || arguments.print {
        config.warnings().for_each(|warning| tracing::warn!("{warning}"));
        irosh::server::check_host_keys(&server, &paths.ssh_host_key())?;
        if arguments.print {
            let connection = arguments.connection.clone().unwrap_or_default();
            let ignored = config.ignored();
            let mut text: String =
                ignored.map(|(name, value)| format!("{} {value}\n", name.to_ascii_lowercase())).collect();
            text.push_str(&irosh::server::print_config(&config.connection(&connection)));
            irosh::stdio::print(&text)?;
        }
        return Ok(());
    }
    let origin = origin();
    arguments.warn(&config, origin.as_ref());
    // As sshd: what is made here is never open to others' writing.
    let inherited = umask(Mode::from_bits_truncate(0o077));
    umask(inherited | Mode::from_bits_truncate(0o022));
    let logged_in = CancellationToken::new();
    let options = ServeOptions {
        config: Arc::new(config),
        host_key: paths.ssh_host_key(),
        authenticator: Some(Box::new(PasswordFile::new(paths.password()))),
        vouched_logins: arguments.logins,
        restrictions: restrictions()?,
        origin,
        logged_in: logged_in.clone(),
        ..ServeOptions::default()
    };
    let tells_login = arguments.logged_in_on_stdout;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        if !tells_login {
            let (reader, writer) = irosh::stdio::pair()?;
            return anyhow::Ok(serve(reader, writer, options).await?);
        }
        let (reader, writer) = irosh::stdio::stdin_alone()?;
        tokio::spawn(async move {
            logged_in.cancelled().await;
            if let Err(error) = irosh::stdio::end_stdout() {
                tracing::warn!("the host is not told of the login: {error}");
            }
        });
        Ok(serve(reader, writer, options).await?)
    });
    // A file that is being read from a dead disk keeps nobody waiting.
    runtime.shutdown_background();
    served
}

/// What the host lets its peer do, whatever it logs in by.
fn restrictions() -> anyhow::Result<Option<KeyOptions>> {
    let Some(options) = std::env::var_os(LOGIN_OPTIONS) else { return Ok(None) };
    let options = options.to_str().with_context(|| format!("{LOGIN_OPTIONS} is not UTF-8"))?;
    KeyOptions::parse(options, &TimeZone::UTC).map(Some).context(LOGIN_OPTIONS)
}

/// Where the client comes from: the addresses of stdin, where inetd or the like has handed over a TCP connection,
/// or what the host says of its peer.
fn origin() -> Option<Origin> {
    of_tcp().or_else(|| {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let (name, fingerprint) = (variable("IROSH_PEER_NAME"), variable("IROSH_PEER"));
        let address = variable("IROSH_PEER_ADDRESS").and_then(|text| text.parse().ok());
        let known = name.is_some() || fingerprint.is_some() || address.is_some();
        known.then(|| Origin::of_peer(name.as_deref(), fingerprint.as_deref(), address))
    })
}

fn of_tcp() -> Option<Origin> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    let stream = std::net::TcpStream::from(stdin);
    Some(Origin::new(stream.peer_addr().ok()?, stream.local_addr().ok()?))
}

fn load(paths: &Paths, arguments: &SshdArguments) -> anyhow::Result<SshdConfig> {
    let mut config = SshdConfig::default();
    for option in &arguments.options {
        config.add_option(option)?;
    }
    match &arguments.file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            config.add_file(&path.display().to_string(), &text, &mut include_files)?;
        }
        None => {
            let settings: HostSettings = load_settings(&paths.host_settings())?;
            config.add(settings.sshd);
        }
    }
    Ok(config)
}
