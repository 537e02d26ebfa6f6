//! A session channel: what is asked of it before it starts, and what it runs (RFC 4254 section 6).

mod environment;
mod plan;
mod process;
mod pty;
mod run;

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    sync::{Arc, OnceLock, Weak},
};

use russh::{ChannelId, Pty, Sig, server::Handle};

use super::{
    channel::{inboxes::Inboxes, outlet::Outlet, relay::Sending},
    config::{
        Config,
        value::{ChannelTimeout, UserEnvironment},
    },
    forward::{agent::AgentSocket, x11::Display},
    login::Login,
    origin::Origin,
    pattern::matches_pattern,
};
use environment::{Environment, What};
use plan::Plan;
use pty::{MasterRef, Size, Terminal};
use run::{Running, Start};

/// A session channel, before and while something runs in it.
pub(super) struct SessionChannel {
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

/// What a client asks a session to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
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

impl SessionChannel {
    pub(super) fn new(sending: Sending, inboxes: Inboxes) -> Self {
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

    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    /// Whether what ran here has ended, and the channel with it.
    pub(super) fn is_over(&self) -> bool {
        self.started && self.alive.upgrade().is_none()
    }

    /// Opens a terminal; whether there is one now.
    pub(super) fn open_terminal(
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
    pub(super) fn set_variable(&mut self, config: &Config, name: &[u8], value: &[u8]) -> bool {
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

    pub(super) fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// Lets programs of this session use the client's agent.
    pub(super) fn offer_agent(&mut self, socket: AgentSocket) {
        self.agent = Some(socket);
    }

    /// Lets programs of this session show their windows at the client's.
    pub(super) fn offer_display(&mut self, display: Display) {
        self.display = Some(display);
    }

    pub(super) fn has_display(&self) -> bool {
        self.display.is_some()
    }

    pub(super) fn resize(&self, size: [u32; 4]) {
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
    pub(super) fn signal(&self, signal: &Sig) {
        if let Some(Running { group: Some(group), .. }) = self.running.get()
            && !self.forced
        {
            group.send(signal);
        }
    }

    /// Starts what is asked for, or what is forced; whether there is anything to start.
    pub(super) fn start(&mut self, login: &Arc<Login>, request: &Request, session: Handle) -> bool {
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
