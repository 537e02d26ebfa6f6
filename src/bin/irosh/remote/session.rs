//! `irosh shell` and `irosh exec`: a session joined with this process's terminal, or with its stdin and
//! stdout.

use std::{
    ffi::OsString,
    io::{IsTerminal, stdin},
    os::unix::ffi::OsStrExt,
    process::ExitCode,
};

use irosh::{
    client::{Disconnected, Exit, PtyOptions, Session, ssh_config::RequestTty},
    files::Paths,
    log::{complain, one_line},
    stdio::Input,
};
use tokio_util::sync::CancellationToken;

use super::{
    Lend, Link, RemoteArguments, connect,
    ended::Ended,
    forwards::{ForwardOptions, Forwards},
    interrupted,
    output::{Printed, print},
    typing::on_terminal,
};
use crate::{
    escapes::EscapeChar,
    terminal::{self, Terminal},
};

/// What ssh exits with when anything but the remote command fails.
pub(crate) const FAILED: u8 = 255;

/// Open a shell on a host.
///
/// On a terminal, `~?` at the start of a line lists the escapes. Exits with the shell's status, and with 255
/// when anything else fails, as ssh does.
#[derive(clap::Args)]
#[command(after_long_help = super::exit::OF_SESSIONS)]
pub(crate) struct ShellArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    options: SessionOptions,
}

/// Run a command on a host.
///
/// stdin, stdout and stderr are the command's. Exits with its status, with 128 and the number of the signal
/// that ended it, and with 255 when anything else fails. It may take ssh's place below git, rsync, scp and sftp.
#[derive(clap::Args)]
#[command(after_long_help = super::exit::OF_SESSIONS)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    options: SessionOptions,
    /// Start a subsystem of the server, such as sftp, in place of a command
    #[arg(short = 's', conflicts_with = "no_command")]
    subsystem: bool,
    /// The command, for the login shell there, and its words
    #[arg(required_unless_present = "no_command", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(clap::Args)]
struct SessionOptions {
    #[command(flatten)]
    forwards: ForwardOptions,
    /// Run nothing there: forward until it is interrupted
    #[arg(short = 'N')]
    no_command: bool,
    /// Ask for a terminal; twice, even if stdin is none
    #[arg(short, action = clap::ArgAction::Count)]
    tty: u8,
    /// Ask for no terminal
    #[arg(short = 'T', overrides_with = "tty")]
    no_tty: bool,
    /// Send nothing: stdin is /dev/null
    #[arg(short)]
    null: bool,
    /// Lend the SSH agent to the host
    #[arg(short = 'A')]
    lend_agent: bool,
    /// Lend no agent
    #[arg(short = 'a', overrides_with = "lend_agent")]
    lend_none: bool,
    /// Show neither the server's banner nor hints
    #[arg(short)]
    quiet: bool,
    /// The escape character of a terminal: one character, ^ and a letter, or none
    #[arg(short, value_name = "CHARACTER")]
    escape: Option<EscapeChar>,
    /// A port, for programs that give ssh one: which server answers is for the host to say
    #[arg(short, value_name = "PORT")]
    port: Option<u16>,
    /// For programs that know ssh: what they ask for by these is so, or has no meaning here
    #[arg(short = 'x', short_aliases = ['4', '6', 'C', 'v'], action = clap::ArgAction::Count)]
    without_meaning: u8,
}

/// What is to run there.
enum Program {
    Nothing,
    Shell,
    Command(Vec<u8>),
    Subsystem(Vec<u8>),
}

pub(crate) fn run_shell(paths: Paths, arguments: ShellArguments) -> anyhow::Result<ExitCode> {
    run(paths, arguments.remote, arguments.options, Program::Shell)
}

pub(crate) fn run_exec(paths: Paths, arguments: ExecArguments) -> anyhow::Result<ExitCode> {
    let words: Vec<_> = arguments.command.iter().map(|word| word.as_bytes()).collect();
    let words = words.join(&b' ');
    let program = if arguments.subsystem { Program::Subsystem(words) } else { Program::Command(words) };
    run(paths, arguments.remote, arguments.options, program)
}

fn run(
    paths: Paths,
    mut remote: RemoteArguments,
    options: SessionOptions,
    program: Program,
) -> anyhow::Result<ExitCode> {
    let program = if options.no_command { Program::Nothing } else { program };
    remote.quiet = options.quiet;
    if let Some(port) = options.port {
        remote.options.push(format!("Port={port}").into());
        if !options.quiet {
            complain("irosh", &format!("-p {port} changes nothing: the host says which ssh server answers"));
        }
    }
    // Where somebody may stop it by ~^Z. What ssh_config says of terminals is not known yet.
    let is_shell = matches!(program, Program::Shell);
    let wanted = options.tty > 0 && !options.no_command || is_shell;
    let stoppable = stdin().is_terminal() && !options.no_tty && wanted;
    // Where no second process can be had, a long stop ends the session, and nothing else is missed.
    if stoppable {
        match terminal::stay_in_front() {
            Ok(Some(code)) => return Ok(code),
            Ok(None) => {}
            Err(error) => tracing::warn!("the connection will not outlast a stop (~^Z): {error}"),
        }
    }
    super::run(|| async move { session(&paths, &remote, &options, program).await })
}

async fn session(
    paths: &Paths,
    remote: &RemoteArguments,
    options: &SessionOptions,
    program: Program,
) -> anyhow::Result<ExitCode> {
    let interrupted = interrupted(FAILED)?;
    let link = connect(paths, remote, options.lend(), &interrupted).await?;
    let ended = match interrupted.run_until_cancelled(start(&link, options, program)).await {
        Some(Ok(Started { session: None, forwards: _forwards, .. })) => {
            let gone = interrupted.run_until_cancelled(link.connection.wait_disconnected()).await;
            gone.map_or(Ok(Ended::Here(None)), |why| Err(why.into()))
        }
        Some(Ok(Started { session: Some(session), terminal: Some(terminal), forwards })) => {
            let configured = link.config.escape_char.map_or(EscapeChar::None, EscapeChar::Byte);
            on_terminal(session, terminal, options.escape.unwrap_or(configured), &link, forwards).await
        }
        Some(Ok(Started { session: Some(session), forwards: _forwards, .. })) => {
            on_streams(session, options.null, &interrupted).await
        }
        Some(Err(error)) => Err(error),
        None => Ok(Ended::Here(None)),
    };
    let code = match ended {
        Ok(Ended::Process(printed)) => match status(&printed, &link) {
            Ok(code) => code,
            Err(why) => {
                link.client.close().await;
                return Err(why.into());
            }
        },
        Ok(Ended::Here(said)) => {
            if let Some(said) = said {
                complain("irosh", &said);
            }
            FAILED
        }
        Err(error) => {
            link.close().await;
            return Err(error);
        }
    };
    link.close().await;
    Ok(ExitCode::from(code))
}

/// What the process there leaves this one to exit with.
///
/// # Errors
///
/// The connection was lost, so that nobody knows.
fn status(printed: &Printed, link: &Link) -> Result<u8, Disconnected> {
    match &printed.exit {
        Some(Exit::Status(status)) => Ok(u8::try_from(status & 0xff).unwrap_or(FAILED)),
        // It wrote to a reader that is gone here, which is how many commands end. As ssh.
        Some(Exit::Signal(signal)) if printed.unread && signal.name == "PIPE" => Ok(FAILED),
        Some(Exit::Signal(signal)) => {
            complain("irosh", &format!("the command was ended by signal {}", one_line(&signal.name)));
            Ok(signal_number(&signal.name).map_or(FAILED, |number| 128 + number))
        }
        None => link.connection.disconnected().map_or(Ok(FAILED), Err),
    }
}

/// A session in which something runs, or forwards alone.
struct Started {
    session: Option<Session>,
    terminal: Option<Terminal>,
    forwards: Forwards,
}

async fn start(link: &Link, options: &SessionOptions, program: Program) -> anyhow::Result<Started> {
    let forwards = Forwards::of_session(link.connection.clone(), &link.config, &options.forwards).await?;
    if matches!(program, Program::Nothing) {
        return Ok(Started { session: None, terminal: None, forwards });
    }
    let session = link.connection.open_session().await?;
    let program = match (program, &link.config.remote_command) {
        (Program::Shell, Some(command)) => Program::Command(command.clone()),
        (program, _) => program,
    };
    let is_shell = matches!(program, Program::Shell);
    let mut terminal = match wants_terminal(options, is_shell, link.config.request_tty) {
        true => Some(Terminal::of(stdin())?),
        false => None,
    };
    if let Some(here) = &terminal {
        // One that is refused is missed by a shell, and by nothing else. Without one there, the one here
        // goes on to echo and to edit lines.
        let wanted = here.as_ref().map_or_else(PtyOptions::of_environment, Terminal::pty_options);
        if let Err(error) = session.request_pty(&wanted).await {
            complain("irosh", &format!("no terminal there: {error}"));
            terminal = None;
        }
    }
    match &program {
        Program::Nothing => {}
        Program::Shell => session.start_shell().await?,
        Program::Command(command) => session.exec(command).await?,
        Program::Subsystem(name) => session.subsystem(name).await?,
    }
    Ok(Started { session: Some(session), terminal: terminal.flatten(), forwards })
}

impl SessionOptions {
    fn lend(&self) -> Lend {
        match (self.lend_agent, self.lend_none) {
            (true, _) => Lend::Always,
            (_, true) => Lend::Never,
            _ => Lend::AsConfigured,
        }
    }
}

fn wants_terminal(options: &SessionOptions, is_shell: bool, configured: RequestTty) -> bool {
    let here = stdin().is_terminal();
    match (options.tty, options.no_tty) {
        (_, true) => false,
        (0, _) => match configured {
            RequestTty::No => false,
            RequestTty::Force => true,
            RequestTty::Yes => here,
            RequestTty::Auto => is_shell && here,
        },
        (1, _) => here,
        _ => true,
    }
}

/// Without a terminal: every byte as it is.
async fn on_streams(session: Session, null: bool, interrupted: &CancellationToken) -> anyhow::Result<Ended> {
    let (sender, events) = session.split();
    let printing = print(events, sender.clone(), CancellationToken::new());
    let mut input = if null { None } else { Some(Input::stdin()?) };
    let feeding = tokio::spawn(async move {
        while let Some(input) = &mut input {
            match input.next().await {
                Ok(bytes) if !bytes.is_empty() => {
                    if sender.send_bytes(bytes).await.is_err() {
                        return;
                    }
                }
                ended => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "stdin ended");
                    }
                    break;
                }
            }
        }
        sender.eof();
    });
    let ended = tokio::select! {
        printed = printing => Ended::printed(printed),
        () = interrupted.cancelled() => Ended::Here(None),
    };
    feeding.abort();
    Ok(ended)
}

/// The number of a signal by its name without `SIG` (RFC 4254 section 6.10).
fn signal_number(name: &str) -> Option<u8> {
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().ok()?;
    u8::try_from(signal as i32).ok()
}
