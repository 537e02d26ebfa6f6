//! What a session runs, from its start to its end.

use std::{
    ffi::OsStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use russh::{ChannelId, Sig, server::Handle};
use tokio::net::UnixStream;

use super::{
    environment::{self, Environment, What},
    plan::Plan,
    process::{End, Group, Pipes, Process, Program},
    pty::{Master, MasterRef, Terminal},
};
use crate::server::{
    channel::{
        outlet::Outlet,
        relay::{self, STDERR, Sending},
    },
    forward::{agent::AgentSocket, x11::Display},
    login::Login,
    sftp,
};

/// What can be done to a process from outside.
pub(super) struct Running {
    pub(super) group: Option<Group>,
    pub(super) master: Option<MasterRef>,
}

/// How long a program may take over what was sent before its channel was closed.
const LAST_KEYS: Duration = Duration::from_secs(1);

/// How long what a script has said may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// All that a session needs to run.
pub(super) struct Start {
    pub(super) login: Arc<Login>,
    pub(super) sending: Sending,
    pub(super) outlet: Outlet,
    pub(super) id: ChannelId,
    pub(super) session: Handle,
    pub(super) running: Arc<OnceLock<Running>>,
    pub(super) terminal: Option<Terminal>,
    pub(super) environment: Environment,
    pub(super) subsystem: bool,
    pub(super) display: Option<Display>,
    /// How long nothing may go through the channel.
    pub(super) idle: Option<Duration>,
    /// Its socket is removed with it.
    pub(super) _agent: Option<AgentSocket>,
    pub(super) alive: Arc<()>,
}

impl Start {
    pub(super) async fn run(mut self, plan: Plan) {
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
