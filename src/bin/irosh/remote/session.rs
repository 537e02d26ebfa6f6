//! `irosh shell` and `irosh exec`: a session joined with this process's terminal, or with its stdin and
//! stdout.

use std::{
    io::{self, IsTerminal, stdin},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use irosh::{
    client::{
        Connection, Exit, PtyMode, PtyOptions, PtySize, Session, SessionEvent, SessionEvents, SessionSender,
        forward::Forward as Placed, ssh_config::RequestTty,
    },
    files::Paths,
    log::complain,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Lend, Link, RemoteArguments, connect,
    forwards::{Forwards, NotPlaced, configured},
};
use crate::{
    escapes::{Action, Command, EscapeChar, Escapes, Typed, text},
    forward_spec::{Direction, Forward, Listen},
    terminal::{self, Events, RawMode, Terminal, TerminalEvent, WindowSize},
};

/// What ssh exits with when anything but the remote command fails.
const FAILED: u8 = 255;

/// Open a shell on a host.
///
/// On a terminal, `~?` at the start of a line lists the escapes. Exits with the shell's status, and with 255
/// when anything else fails, as ssh does.
#[derive(clap::Args)]
pub(crate) struct ShellArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    options: SessionOptions,
}

/// Run a command on a host.
///
/// stdin, stdout and stderr are the command's. Exits with its status, with 128 and the number of the signal
/// that ended it, and with 255 when anything else fails.
#[derive(clap::Args)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    options: SessionOptions,
    /// The command, for the login shell there, and its words
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(clap::Args)]
struct SessionOptions {
    /// Ask for a terminal; twice, even if stdin is none
    #[arg(short, action = clap::ArgAction::Count)]
    tty: u8,
    /// Ask for no terminal
    #[arg(short = 'T', conflicts_with = "tty")]
    no_tty: bool,
    /// Send nothing: stdin is /dev/null
    #[arg(short)]
    null: bool,
    /// Lend the SSH agent to the host
    #[arg(short = 'A')]
    agent: bool,
    /// The escape character of a terminal: one character, ^ and a letter, or none
    #[arg(short, value_name = "CHARACTER")]
    escape: Option<EscapeChar>,
}

pub(crate) fn run_shell(paths: Paths, arguments: ShellArguments) -> anyhow::Result<ExitCode> {
    run(paths, arguments.remote, arguments.options, None)
}

pub(crate) fn run_exec(paths: Paths, arguments: ExecArguments) -> anyhow::Result<ExitCode> {
    run(paths, arguments.remote, arguments.options, Some(arguments.command.join(" ")))
}

fn run(
    paths: Paths,
    remote: RemoteArguments,
    options: SessionOptions,
    command: Option<String>,
) -> anyhow::Result<ExitCode> {
    // Where somebody may stop it by ~^Z. What ssh_config says of terminals is not known yet.
    let stoppable = stdin().is_terminal() && !options.no_tty && (options.tty > 0 || command.is_none());
    // Where no second process can be had, a long stop ends the session, and nothing else is missed.
    if stoppable {
        match terminal::stay_in_front() {
            Ok(Some(code)) => return Ok(code),
            Ok(None) => {}
            Err(error) => tracing::warn!("the connection will not outlast a stop (~^Z): {error}"),
        }
    }
    super::run(|| async move { session(&paths, &remote, &options, command).await })
}

/// What came of a session.
enum Ended {
    /// The process there ended.
    Process(Option<Exit>),
    /// This side was told to leave, with this to be said.
    Here(Option<String>),
}

async fn session(
    paths: &Paths,
    remote: &RemoteArguments,
    options: &SessionOptions,
    command: Option<String>,
) -> anyhow::Result<ExitCode> {
    let link = connect(paths, remote, if options.agent { Lend::Always } else { Lend::AsConfigured }).await?;
    let mut forwards = Forwards::new(link.connection.clone(), &link.config);
    for forward in configured(&link.config) {
        forwards.add_configured(forward, &link.config).await?;
    }
    let session = link.connection.open_session().await?;
    let command = command.or_else(|| link.config.remote_command.clone());
    let mut terminal = match wants_terminal(options, command.is_none(), link.config.request_tty) {
        true => Some(Terminal::of(stdin())?),
        false => None,
    };
    if let Some(here) = &terminal {
        // One that is refused is missed by a shell, and by nothing else. Without one there, the one here
        // goes on to echo and to edit lines.
        if let Err(error) = session.request_pty(&pty_options(here.as_ref())).await {
            complain("irosh", &format!("no terminal there: {error}"));
            terminal = None;
        }
    }
    match &command {
        Some(command) => session.exec(command).await?,
        None => session.start_shell().await?,
    }
    let ended = match terminal.flatten() {
        Some(terminal) => {
            let configured = link.config.escape_char.map_or(EscapeChar::None, EscapeChar::Byte);
            on_terminal(session, terminal, options.escape.unwrap_or(configured), &link, forwards).await?
        }
        None => on_streams(session, options.null).await?,
    };
    let code = match ended {
        Ended::Process(Some(Exit::Status(status))) => u8::try_from(status & 0xff).unwrap_or(FAILED),
        Ended::Process(Some(Exit::Signal(signal))) => {
            complain("irosh", &format!("the command was ended by signal {}", signal.name));
            signal_number(&signal.name).map_or(FAILED, |number| 128 + number)
        }
        Ended::Process(None) => match link.connection.disconnected() {
            Some(why) => {
                link.client.close().await;
                anyhow::bail!("{why}");
            }
            None => FAILED,
        },
        Ended::Here(said) => {
            if let Some(said) = said {
                complain("irosh", &said);
            }
            FAILED
        }
    };
    link.close().await;
    Ok(ExitCode::from(code))
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

fn pty_options(terminal: Option<&Terminal>) -> PtyOptions {
    let size = terminal.map_or_else(PtySize::default, |terminal| size_of(terminal.size()));
    let modes = terminal.map_or_else(terminal::no_modes, Terminal::modes);
    // Five bytes each: which, and its value (RFC 4254 section 8).
    let modes = modes.chunks_exact(5).filter_map(|mode| {
        let (opcode, value) = mode.split_first_chunk::<1>()?;
        Some((PtyMode::from_u8(opcode[0])?, u32::from_be_bytes(value.try_into().ok()?)))
    });
    PtyOptions { modes: modes.collect(), ..PtyOptions::new(terminal::term(), size) }
}

fn size_of(size: WindowSize) -> PtySize {
    PtySize { columns: size.columns, rows: size.rows, width_px: size.width, height_px: size.height }
}

/// Without a terminal: every byte as it is.
async fn on_streams(session: Session, null: bool) -> anyhow::Result<Ended> {
    let (sender, events) = session.split();
    let printing = print(events, sender.clone(), CancellationToken::new());
    let feeding = tokio::spawn(async move {
        if null {
            return sender.eof();
        }
        let mut input = tokio::io::stdin();
        loop {
            let mut buffer = bytes::BytesMut::with_capacity(READ);
            match input.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break sender.eof(),
                Ok(_) => {
                    if sender.send(buffer.freeze()).await.is_err() {
                        break;
                    }
                }
            }
        }
    });
    let ended = tokio::select! {
        printed = printing => Ended::printed(printed),
        _ = irosh::signals::interrupted()? => Ended::Here(None),
    };
    feeding.abort();
    Ok(ended)
}

/// Bytes of stdin at once.
const READ: usize = 256 << 10;

impl Ended {
    fn printed(printed: io::Result<Option<Exit>>) -> Self {
        match printed {
            Ok(exit) => Self::Process(exit),
            Err(error) => Self::Here(Some(error.to_string())),
        }
    }
}

/// Prints what the session says, and returns how its process ended.
///
/// # Errors
///
/// Output could not be written, so whatever the process exits with, this did not go well. A reader that has
/// gone is no error. Where the connection was lost before the output's end, it is not known how it ended.
async fn print(
    mut events: SessionEvents,
    sender: SessionSender,
    enough: CancellationToken,
) -> io::Result<Option<Exit>> {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let (mut exit, mut whole) = (None, false);
    let (mut stdout_is_read, mut stderr_is_read) = (true, true);
    while let Some(Some(event)) = enough.run_until_cancelled(events.next()).await {
        let (name, written) = match event {
            SessionEvent::Stdout(_) if !stdout_is_read => continue,
            SessionEvent::Stdout(data) => ("stdout", write(&mut stdout, &data).await),
            SessionEvent::Stderr(_) if !stderr_is_read => continue,
            SessionEvent::Stderr(data) => ("stderr", write(&mut stderr, &data).await),
            SessionEvent::ExitStatus(status) => {
                exit = Some(Exit::Status(status));
                continue;
            }
            SessionEvent::ExitSignal(signal) => {
                exit = Some(Exit::Signal(signal));
                continue;
            }
            SessionEvent::Eof => {
                whole = true;
                continue;
            }
            SessionEvent::Closed => continue,
        };
        match written {
            Ok(()) => {}
            // What goes to the other one is still wanted, and how the command ends.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && name == "stderr" => {
                stderr_is_read = false;
            }
            // Nobody reads any more (`irosh exec … | head`): the command learns that, too. Where it cannot be
            // told, all that can be done is to leave it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                stdout_is_read = false;
                if sender.stop_reading().await.is_err() {
                    break;
                }
            }
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("cannot write to {name}: {error}")));
            }
        }
    }
    let cut_off = !whole && events.disconnected().is_some();
    Ok(exit.filter(|_| !cut_off))
}

/// Writes all, and waits until it is out: what a thread still holds is lost when the program ends.
async fn write(out: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    out.write_all(bytes).await?;
    out.flush().await
}

/// A session that somebody types in.
struct Typing<'a> {
    sender: SessionSender,
    /// What is to be sent; sending may wait, and `~.` must not.
    input: mpsc::UnboundedSender<Vec<u8>>,
    raw: Arc<RawMode>,
    escapes: Escapes,
    escape: EscapeChar,
    forwards: Forwards,
    connection: &'a Connection,
    /// What waits for the server; `~.` must not wait for it.
    errands: JoinSet<Done>,
}

/// What came of what waited for the server.
enum Done {
    /// This is to be said.
    Say(String),
    /// A forward is in place, or not.
    Placed(Forward, Result<Placed, NotPlaced>),
}

async fn on_terminal(
    session: Session,
    terminal: Terminal,
    escape: EscapeChar,
    link: &Link,
    forwards: Forwards,
) -> anyhow::Result<Ended> {
    let (sender, events) = session.split();
    let (input, mut waiting) = mpsc::unbounded_channel::<Vec<u8>>();
    let sending = sender.clone();
    let feeding = tokio::spawn(async move {
        while let Some(bytes) = waiting.recv().await {
            if sending.send(bytes).await.is_err() {
                return;
            }
        }
        sending.eof();
    });
    let (sizes, mut newest) = watch::channel(terminal.size());
    let resizing = sender.clone();
    let resizes = tokio::spawn(async move {
        while newest.changed().await.is_ok() {
            let size = size_of(*newest.borrow_and_update());
            let _ = resizing.resize(size).await;
        }
    });
    let raw = Arc::new(terminal.raw()?);
    let mut typed = Events::new(Some(terminal), Some(Arc::clone(&raw)), tokio::io::stdin())?;
    let mut typing = Typing {
        sender,
        input,
        raw,
        escapes: Escapes::new(escape),
        escape,
        forwards,
        connection: &link.connection,
        errands: JoinSet::new(),
    };
    let enough = CancellationToken::new();
    let printing = print(events, typing.sender.clone(), enough.clone());
    tokio::pin!(printing);
    let mut ended = None;
    let ended = loop {
        let hold = typing.escapes.is_command_line_open();
        tokio::select! {
            printed = &mut printing, if !hold => break Ended::printed(printed),
            Some(done) = typing.errands.join_next(), if !hold => {
                if let Ok(done) = done {
                    typing.done(done);
                }
            }
            event = typed.next() => match event {
                TerminalEvent::Typed(bytes) => {
                    if let Some(here) = typing.take(&bytes).await {
                        ended = Some(here);
                    }
                }
                // At once where that can be, and so before what is typed next.
                TerminalEvent::Resized(size) => tokio::select! {
                    biased;
                    _ = typing.sender.resize(size_of(size)) => {}
                    () = std::future::ready(()) => drop(sizes.send_replace(size)),
                },
                // The only sender goes, which ends the input once all of it is sent.
                TerminalEvent::Eof => typing.input = mpsc::unbounded_channel().0,
                TerminalEvent::Killed(signal) => {
                    ended = Some(Ended::Here(Some(format!("killed by signal {}", signal.as_raw()))));
                }
            },
        }
        if let Some(ended) = ended.take() {
            // What is on its way to the terminal gets there, unless somebody has stopped that, too.
            enough.cancel();
            let _ = timeout(LAST_OUTPUT, &mut printing).await;
            break ended;
        }
    };
    feeding.abort();
    resizes.abort();
    drop(typing);
    terminal::restore();
    // As ssh, which leaves the line that the session stood on.
    show(&format!("Connection to {} closed.\r\n", link.name));
    Ok(ended)
}

/// How long the terminal may take for its last output.
const LAST_OUTPUT: Duration = Duration::from_millis(300);

impl Typing<'_> {
    /// Sends what was typed and does what its escapes ask for; how the session ends, if it does.
    async fn take(&mut self, bytes: &[u8]) -> Option<Ended> {
        for typed in self.escapes.typed(bytes) {
            match typed {
                Typed::Input(bytes) => drop(self.input.send(bytes)),
                Typed::Action(Action::Disconnect) => return Some(Ended::Here(None)),
                Typed::Action(action) => {
                    if let Err(error) = self.act(action).await {
                        show(&lines(&error));
                    }
                }
            }
        }
        None
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Say(text) => show(&text),
            Done::Placed(forward, Ok(placed)) => {
                self.forwards.keep(forward, placed);
                show(text::FORWARDING);
            }
            Done::Placed(_, Err(error)) => {
                show(&lines(&error));
                show(text::FORWARDING_FAILED);
            }
        }
    }

    fn cancel(&mut self, listen: &Listen, direction: Direction, socks: bool) {
        match self.forwards.take(listen, direction, socks) {
            Some(placed) => {
                self.errands.spawn(async move {
                    let was = placed.cancel().await.is_ok();
                    let said = if was { text::CANCELED } else { text::UNKNOWN_FORWARDING };
                    Done::Say(said.to_owned())
                });
            }
            None => show(text::UNKNOWN_FORWARDING),
        }
    }

    async fn act(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Disconnect => {}
            Action::Suspend => {
                show(&text::suspend(self.escape));
                tokio::task::spawn_blocking(irosh::log::flush).await?;
                self.raw.suspend().await?;
            }
            Action::ListForwards => {
                let lines = self.forwards.lines();
                show(&text::connections(self.escape, lines.iter().map(String::as_str)));
            }
            Action::Background => show(&text::no_background(self.escape)),
            Action::Help => show(&text::help(self.escape)),
            Action::Break => {
                show(&text::send_break(self.escape));
                let sender = self.sender.clone();
                self.errands.spawn(async move {
                    // ssh does not ask what becomes of it.
                    let _ = sender.send_break(1000).await;
                    Done::Say(String::new())
                });
            }
            Action::Rekey => {
                let connection = self.connection.clone();
                self.errands.spawn(async move {
                    connection.rekey().await;
                    Done::Say(String::new())
                });
            }
            Action::LogLess => show(&text::log_level(self.escape, false, LEVEL)),
            Action::LogMore => show(&text::log_level(self.escape, true, LEVEL)),
            Action::Show(bytes) => show(&String::from_utf8_lossy(&bytes)),
            Action::Command(command) => self.command(command?)?,
        }
        Ok(())
    }

    fn command(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Leave => {}
            Command::Help => show(&text::command_help()),
            Command::Forward(forward) => {
                let placing = self.forwards.placing();
                self.errands.spawn(async move {
                    let placed = placing.place(&forward).await;
                    Done::Placed(forward, placed)
                });
            }
            Command::CancelLocal(listen) => self.cancel(&listen, Direction::Local, false),
            Command::CancelRemote(listen) => self.cancel(&listen, Direction::Remote, false),
            Command::CancelDynamic(listen) => self.cancel(&listen, Direction::Local, true),
            Command::Local(_) => {
                anyhow::bail!("commands of this side are not run from here: suspend with ~^Z")
            }
        }
        Ok(())
    }
}

/// What `~v` and `~V` leave it at: the log is set by IROSH_LOG for good.
const LEVEL: &str = "is set by IROSH_LOG";

/// The lines of an error, which may have words of the server's.
fn lines(error: &dyn std::fmt::Display) -> String {
    text::raw_lines(&irosh::log::printable(&error.to_string()))
}

/// Says something on the raw terminal.
fn show(text: &str) {
    irosh::log::say(text);
}

/// The number of a signal by its name without `SIG` (RFC 4254 section 6.10).
fn signal_number(name: &str) -> Option<u8> {
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().ok()?;
    u8::try_from(signal as i32).ok()
}
