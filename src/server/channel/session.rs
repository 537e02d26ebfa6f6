//! A session channel: what is asked of it before it starts, and what it runs (RFC 4254 section 6).

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use bytes::Bytes;
use russh::{ChannelId, Pty, Sig, server::Handle};
use tokio::net::UnixStream;

use super::{
    environment::{self, Environment, What},
    inbox::Outlet,
    process::{End, Group, Pipes, Process, Program},
    pty::{Master, MasterRef, Size, Terminal},
    relay::{self, STDERR, Sending},
};
use crate::server::{
    config::{
        Config,
        value::{ChannelTimeout, UserEnvironment},
    },
    forward::{agent::AgentSocket, x11::Display},
    inboxes::Inboxes,
    login::Login,
    origin::Origin,
    pattern::matches_pattern,
    sftp,
};

/// A session channel, before and while something runs in it.
pub(in crate::server) struct SessionChannel {
    id: ChannelId,
    sending: Option<Sending>,
    inboxes: Inboxes,
    /// What the client set, as far as it may.
    asked: Vec<(OsString, OsString)>,
    terminal: Option<(Terminal, OsString)>,
    agent: Option<AgentSocket>,
    display: Option<Display>,
    running: Arc<OnceLock<Running>>,
    /// Held by what runs; gone with it.
    alive: Weak<()>,
    started: bool,
    forced: bool,
}

/// What can be done to a process from outside.
struct Running {
    group: Option<Group>,
    master: Option<MasterRef>,
}

/// What a client asks a session to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Request {
    Shell,
    Command(Vec<u8>),
    Subsystem(String),
}

impl Request {
    /// The type of a channel that runs it, for ChannelTimeout.
    fn channel_type(&self) -> String {
        match self {
            Self::Shell => "session:shell".into(),
            Self::Command(_) => "session:command".into(),
            Self::Subsystem(name) => format!("session:subsystem:{name}"),
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    Run(What),
    /// With the arguments after `internal-sftp`.
    Sftp(Vec<String>),
    /// To say that there is nothing but sftp, where that is forced and something else was asked for.
    SftpAlone,
}

impl SessionChannel {
    pub(in crate::server) fn new(sending: Sending, inboxes: Inboxes) -> Self {
        Self {
            id: sending.id(),
            sending: Some(sending),
            inboxes,
            asked: Vec::new(),
            terminal: None,
            agent: None,
            display: None,
            running: Arc::default(),
            alive: Weak::new(),
            started: false,
            forced: false,
        }
    }

    pub(in crate::server) fn has_started(&self) -> bool {
        self.started
    }

    /// Whether what ran here has ended, and the channel with it.
    pub(in crate::server) fn is_over(&self) -> bool {
        self.started && self.alive.upgrade().is_none()
    }

    /// Opens a terminal; whether there is one now.
    pub(in crate::server) fn open_terminal(
        &mut self,
        login: &Login,
        term: &[u8],
        size: [u32; 4],
        modes: &[(Pty, u32)],
    ) -> bool {
        // What runs already has none, or its own.
        if self.started || self.terminal.is_some() || !login.may_have_terminal() {
            return false;
        }
        match Terminal::open(window(size), modes) {
            Ok(terminal) => self.terminal = Some((terminal, OsString::from_vec(term.to_owned()))),
            Err(error) => tracing::warn!("no terminal: {error}"),
        }
        self.terminal.is_some()
    }

    /// Takes a variable from the client, if AcceptEnv has it.
    pub(in crate::server) fn set_variable(&mut self, config: &Config, name: &[u8], value: &[u8]) -> bool {
        let text = String::from_utf8_lossy(name);
        // sshd's own bound.
        let accepted = self.asked.len() < 128
            && !name.iter().any(|byte| matches!(byte, b'=' | 0))
            && !value.contains(&0)
            && config.accept_env.iter().any(|pattern| matches_pattern(&text, pattern));
        if accepted {
            let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_owned());
            self.asked.push((owned(name), owned(value)));
        }
        accepted
    }

    pub(in crate::server) fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// Lets programs of this session use the client's agent.
    pub(in crate::server) fn offer_agent(&mut self, socket: AgentSocket) {
        self.agent = Some(socket);
    }

    /// Lets programs of this session show their windows at the client's.
    pub(in crate::server) fn offer_display(&mut self, display: Display) {
        self.display = Some(display);
    }

    pub(in crate::server) fn has_display(&self) -> bool {
        self.display.is_some()
    }

    pub(in crate::server) fn resize(&self, size: [u32; 4]) {
        let master = match (&self.terminal, self.running.get()) {
            (Some((terminal, _)), _) => Some(terminal.master()),
            (None, Some(running)) => running.master.as_ref().and_then(MasterRef::get),
            (None, None) => None,
        };
        if let Some(Err(error)) = master.map(|master| master.resize(window(size))) {
            tracing::debug!("window size: {error}");
        }
    }

    /// Passes a signal on; sshd does so only for what the client itself chose to run.
    pub(in crate::server) fn signal(&self, signal: &Sig) {
        if let Some(Running { group: Some(group), .. }) = self.running.get()
            && !self.forced
        {
            group.send(signal);
        }
    }

    /// Starts what is asked for, or what is forced; whether there is anything to start.
    pub(in crate::server) fn start(
        &mut self,
        login: &Arc<Login>,
        request: &Request,
        session: Handle,
    ) -> bool {
        let Some(plan) = self.plan(login, request) else { return false };
        let Some(sending) = self.sending.take() else { return false };
        let terminal = self.terminal.take();
        let environment = self.environment(login, request, terminal.as_ref());
        let subsystem = matches!(request, Request::Subsystem(_));
        let alive = Arc::new(());
        (self.alive, self.started) = (Arc::downgrade(&alive), true);
        let start = Start {
            login: Arc::clone(login),
            sending,
            outlet: Outlet::new(self.inboxes.clone(), self.id, session.clone()),
            id: self.id,
            session,
            running: Arc::clone(&self.running),
            terminal: terminal.map(|(terminal, _)| terminal),
            environment,
            subsystem,
            display: self.display.take(),
            idle: ChannelTimeout::find(&login.config.channel_timeout, &request.channel_type()),
            _agent: self.agent.take(),
            alive,
        };
        tokio::spawn(start.run(plan));
        true
    }

    fn plan(&mut self, login: &Login, request: &Request) -> Option<Plan> {
        let asked = match request {
            Request::Shell => Plan::Run(What::Shell),
            Request::Command(command) => Plan::Run(What::Command(OsString::from_vec(command.clone()))),
            Request::Subsystem(name) => {
                let found = login.config.subsystem.iter().find(|known| known.name == *name)?;
                Plan::of_command(&found.command)
            }
        };
        match login.forced_command() {
            Some(command) => {
                self.forced = true;
                let subsystem = matches!(request, Request::Subsystem(_));
                Some(match Plan::of_command(command) {
                    Plan::Sftp(_) if !subsystem => Plan::SftpAlone,
                    plan => plan,
                })
            }
            None => {
                self.forced = matches!(request, Request::Subsystem(_));
                Some(asked)
            }
        }
    }

    fn environment(
        &self,
        login: &Login,
        request: &Request,
        terminal: Option<&(Terminal, OsString)>,
    ) -> Environment {
        let mut environment = Environment::default();
        // In sshd's order: what the client asks for gives way to all else.
        for (name, value) in &self.asked {
            environment.set(name, value);
        }
        environment.add_basics(&login.account);
        environment.add_etc_environment();
        // Of one name, the first counts.
        for (name, value) in login.key_variables() {
            environment.set(name, value);
        }
        if login.config.permit_user_environment != UserEnvironment::No {
            let own = std::fs::read(login.account.home.join(".ssh/environment")).unwrap_or_default();
            environment.read(&String::from_utf8_lossy(&own), &login.config.permit_user_environment);
        }
        for (name, value) in &login.environment {
            environment.set(name, value);
        }
        for (name, value) in login.config.set_env.iter().rev() {
            environment.set(name, value);
        }
        for (name, value) in Origin::variables(login.origin.as_ref()) {
            environment.set(name, value);
        }
        if let Some((terminal, term)) = terminal {
            environment.set("SSH_TTY", &terminal.path);
            // As in sshd, one without a name is none.
            if !term.is_empty() {
                environment.set("TERM", term);
            }
        }
        if let (Some(_), Some(original)) = (login.forced_command(), original_command(login, request)) {
            environment.set("SSH_ORIGINAL_COMMAND", original);
        }
        if let Some(agent) = &self.agent {
            environment.set("SSH_AUTH_SOCK", agent.path());
        }
        if let Some(display) = &self.display {
            environment.set("DISPLAY", display.name());
        }
        if let Some(path) = login.authentication_file() {
            environment.set("SSH_USER_AUTH", path);
        }
        environment
    }
}

/// What the client would have run, had it not been forced.
fn original_command(login: &Login, request: &Request) -> Option<OsString> {
    match request {
        Request::Shell => None,
        Request::Command(command) => Some(OsString::from_vec(command.clone())),
        Request::Subsystem(name) => {
            let known = login.config.subsystem.iter().find(|known| known.name == *name);
            known.map(|known| OsString::from(&known.command))
        }
    }
}

fn window([columns, rows, width, height]: [u32; 4]) -> Size {
    Size { columns, rows, width, height }
}

impl Plan {
    fn of_command(command: &str) -> Self {
        let mut words = command.split_ascii_whitespace();
        if words.next() == Some("internal-sftp") {
            return Self::Sftp(words.map(str::to_owned).collect());
        }
        Self::Run(What::Command(command.into()))
    }
}

/// How long a program may take over what was sent before its channel was closed.
const LAST_KEYS: Duration = Duration::from_secs(1);

/// How long what a script has said may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// All that a session needs to run.
struct Start {
    login: Arc<Login>,
    sending: Sending,
    outlet: Outlet,
    id: ChannelId,
    session: Handle,
    running: Arc<OnceLock<Running>>,
    terminal: Option<Terminal>,
    environment: Environment,
    subsystem: bool,
    display: Option<Display>,
    /// How long nothing may go through the channel.
    idle: Option<Duration>,
    /// Its socket is removed with it.
    _agent: Option<AgentSocket>,
    alive: Arc<()>,
}

impl Start {
    async fn run(mut self, plan: Plan) {
        let expired = self.outlet.idle_for(self.idle);
        tokio::select! {
            () = self.carry_out(plan) => {}
            // As with sshd, what runs loses its channel and is told nothing else.
            () = expired => self.sending.eof().await,
        }
        self.sending.close().await;
    }

    async fn carry_out(&mut self, plan: Plan) {
        let ended = match plan {
            Plan::Sftp(arguments) => self.serve_sftp(&arguments).await,
            Plan::SftpAlone => self.refuse_all_but_sftp().await,
            Plan::Run(what) => self.run_program(&what).await,
        };
        if let Err(error) = ended {
            self.say(Some(STDERR), format!("{error}\r\n").into_bytes()).await;
            self.sending.eof().await;
            self.sending.exit_status(255).await;
        }
    }

    /// Sends words of the server's own, unless the client has closed the channel.
    async fn say(&self, extended: Option<u32>, text: Vec<u8>) {
        let closed = self.outlet.closed();
        tokio::select! {
            _ = relay::send(&self.sending, extended, Bytes::from(text)) => {}
            () = closed.cancelled() => {}
        }
    }

    /// In sshd's words, and with its status.
    async fn refuse_all_but_sftp(&self) -> std::io::Result<()> {
        self.say(None, b"This service allows sftp connections only.\r\n".to_vec()).await;
        self.sending.eof().await;
        self.sending.exit_status(1).await;
        Ok(())
    }

    async fn run_program(&mut self, what: &What) -> std::io::Result<()> {
        self.greet(what).await;
        let environment = std::mem::take(&mut self.environment);
        let program = environment::program(&self.login.account, environment, what);
        if let Some(display) = &self.display {
            display.authorize(&program.environment).await;
        }
        self.run_user_rc(&program).await;
        match self.terminal.take() {
            Some(mut terminal) => {
                let process = program.run_on(&mut terminal)?;
                let master = terminal.master();
                let running = Running { group: Some(process.group()), master: Some(master.weak()) };
                let _ = self.running.set(running);
                drop(terminal);
                self.on_terminal(process, master).await;
            }
            None => {
                let (process, pipes) = program.run()?;
                let _ = self.running.set(Running { group: Some(process.group()), master: None });
                self.on_pipes(process, pipes).await;
            }
        }
        Ok(())
    }

    /// What a user sees before the shell: the message of the day, and that there is no home.
    async fn greet(&self, what: &What) {
        let home = &self.login.account.home;
        if let Err(error) = environment::folder(home) {
            let text = format!("Could not chdir to home directory {}: {error}\r\n", home.display());
            self.say(Some(STDERR), text.into_bytes()).await;
        }
        let wanted = *what == What::Shell && self.terminal.is_some() && !home.join(".hushlogin").exists();
        if !wanted {
            return;
        }
        let mut text = self.login.take_messages().into_bytes();
        if self.login.config.print_motd {
            text.extend(std::fs::read("/etc/motd").unwrap_or_default());
        }
        if !text.is_empty() {
            self.say(None, for_a_terminal(&text)).await;
        }
    }

    /// Runs `~/.ssh/rc` before anything else (sshd(8), SSHRC), by the user's shell, which may be one that runs
    /// nothing. What it leaves in the background is not waited for.
    async fn run_user_rc(&self, program: &Program) {
        let script = self.login.account.home.join(".ssh/rc");
        if self.subsystem || !self.login.may_run_rc() || !script.is_file() {
            return;
        }
        let shell = self.login.account.shell.file_name().unwrap_or_else(|| OsStr::new("sh"));
        let arguments = vec!["-c".into(), "/bin/sh .ssh/rc".into()];
        let rc = Program { name: shell.into(), arguments, ..program.clone() };
        let ran = async {
            let (mut process, pipes) = rc.run()?;
            // Without forwarding of X11, there is nothing on its stdin.
            drop(pipes.stdin);
            let closed = self.outlet.closed();
            let outputs = async {
                tokio::join!(
                    relay::send_all(pipes.stdout, &self.sending, None),
                    relay::send_all(pipes.stderr, &self.sending, Some(STDERR))
                );
            };
            tokio::pin!(outputs);
            let ended = tokio::select! {
                () = &mut outputs => process.wait().await,
                ended = process.wait() => {
                    let _ = tokio::time::timeout(LAST_WORDS, outputs).await;
                    ended
                }
                () = closed.cancelled() => process.wait().await,
            };
            ended.map(drop)
        };
        if let Err(error) = ran.await {
            tracing::warn!("~/.ssh/rc: {error}");
        }
    }

    /// Carries a process without a terminal to its end: its own and those of its outputs. A client that
    /// has closed the channel is still told, as by sshd: it may have closed because neither side had
    /// anything more to send.
    async fn on_pipes(&mut self, mut process: Process, pipes: Pipes) {
        let Pipes { stdin, stdout, stderr } = pipes;
        let (closed, unread) = (self.outlet.closed(), self.outlet.unread());
        let sending = &self.sending;
        let outputs = async {
            let out = async {
                tokio::select! {
                    () = relay::send_all(stdout, sending, None) => {}
                    () = unread.cancelled() => {}
                }
            };
            tokio::select! {
                _ = async { tokio::join!(out, relay::send_all(stderr, sending, Some(STDERR))) } => {}
                () = closed.cancelled() => {}
            }
            sending.eof().await;
        };
        let ending = async {
            let end = process.wait().await;
            report(sending, &self.session, self.id, end).await;
        };
        let outlet = &mut self.outlet;
        let input = async {
            relay::receive_all(outlet, stdin).await;
            std::future::pending().await
        };
        tokio::select! {
            _ = async { tokio::join!(ending, outputs) } => {}
            () = input => {}
        }
    }

    /// Carries a process on a terminal to its end. The kernel hangs up on it when the channel is closed,
    /// and with it all that holds the terminal here.
    async fn on_terminal(&mut self, mut process: Process, master: Master) {
        let (closed, unread) = (self.outlet.closed(), self.outlet.unread());
        let sending = &self.sending;
        let reading = master.clone();
        let output = async {
            let carrying = async move {
                let mut buffer = vec![0; 16 << 10];
                while let Ok(count @ 1..) = reading.read(&mut buffer).await {
                    if relay::send(sending, None, Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                () = carrying => {}
                () = unread.cancelled() => {}
            }
            sending.eof().await;
        };
        let ending = async {
            let end = process.wait().await;
            report(sending, &self.session, self.id, end).await;
        };
        let outlet = &mut self.outlet;
        let input = async move {
            while let Some(bytes) = outlet.next().await {
                let written = tokio::select! {
                    written = master.write_all(&bytes) => written,
                    // A program that does not read must not keep its terminal from being closed.
                    () = async { closed.cancelled().await; tokio::time::sleep(LAST_KEYS).await } => break,
                };
                if written.is_err() {
                    relay::discard(outlet).await;
                    break;
                }
                outlet.used(bytes.len()).await;
            }
            // The end of the client's input is not one on a terminal: there, a key says so.
            closed.cancelled().await;
            drop(master);
            std::future::pending().await
        };
        tokio::select! {
            _ = async { tokio::join!(ending, output) } => {}
            () = input => {}
        }
    }

    /// Serves SFTP in a thread of its own, whose files may be slow.
    async fn serve_sftp(&mut self, arguments: &[String]) -> std::io::Result<()> {
        let user = sftp::User::of_login(&self.login);
        let mut options = sftp::Options::parse(arguments.to_vec(), user)
            .map_err(|wrong| std::io::Error::other(format!("internal-sftp: {wrong}")))?;
        options.start = options.user.home.join(&options.start);
        let _ = self.running.set(Running { group: None, master: None });
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // One that is stuck still counts among the sessions.
        let serving = sftp::serve_in_thread(options, theirs, Arc::clone(&self.alive))?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        let closed = self.outlet.closed();
        let sending = &self.sending;
        let output = async {
            tokio::select! {
                () = relay::send_all(reader, sending, None) => {}
                () = closed.cancelled() => {}
            }
            sending.eof().await;
        };
        // Told even to a client that has closed the channel, as with a process.
        let ending = async {
            let status = tokio::select! {
                served = serving => match served {
                    Ok(Ok(())) => 0,
                    Ok(Err(error)) => {
                        tracing::warn!("sftp: {error}");
                        255
                    }
                    Err(_) => 255,
                },
                // A file that does not answer must not keep the channel from being closed.
                () = async { closed.cancelled().await; tokio::time::sleep(LAST_KEYS).await } => 255,
            };
            sending.exit_status(status).await;
        };
        let input = async {
            relay::receive_all(&mut self.outlet, writer).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = async { tokio::join!(ending, output) } => {}
            () = input => {}
        }
        Ok(())
    }
}

/// The lines of a text, with the ends that a terminal wants.
fn for_a_terminal(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').flat_map(|line| {
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, &b"\r\n"[..]),
            None => (line, &b""[..]),
        };
        text.iter().chain(end).copied()
    });
    lines.collect()
}

/// Tells the client how a process ended.
async fn report(sending: &Sending, session: &Handle, id: ChannelId, end: std::io::Result<End>) {
    match end {
        Ok(End::Status(status)) => {
            sending.exit_status(status).await;
        }
        Ok(End::Signal { name, core_dumped }) => {
            let name = Sig::Custom(name.to_owned());
            let none = String::new;
            let _ = session.exit_signal_request(id, name, core_dumped, none(), none()).await;
        }
        Err(_) => {
            sending.exit_status(255).await;
        }
    }
}
