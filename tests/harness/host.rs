//! A host: `irosh host` as a process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    str::FromStr,
    time::Duration,
};

use iroh::EndpointAddr;
use iroh_tickets::endpoint::EndpointTicket;
use nix::{sys::signal::Signal, unistd::Pid};
use serde_json::Value;

use super::{DEADLINE, Daemon, IROSH, Said, json_lines, program, run, succeed};

/// What a host is started with.
#[derive(Clone)]
pub(crate) struct HostSetup {
    home: PathBuf,
    backend: String,
    relay: String,
    bind: String,
    wrapper: Vec<String>,
    variables: Vec<(String, String)>,
    log: Option<String>,
    name: String,
}

impl HostSetup {
    pub(crate) fn new(home: &Path, backend: &str) -> Self {
        fs::create_dir_all(home).expect("the host's folder");
        let (home, backend) = (home.to_owned(), backend.to_owned());
        let (relay, bind) = ("none".to_owned(), "127.0.0.1:0".to_owned());
        let (wrapper, variables, name) = (Vec::new(), Vec::new(), "testhost".to_owned());
        Self { home, backend, relay, bind, wrapper, variables, log: None, name }
    }

    pub(crate) fn relay(mut self, url: &str) -> Self {
        url.clone_into(&mut self.relay);
        self
    }

    /// The addresses to bind; none binds every interface on a free port.
    pub(crate) fn bind(mut self, addrs: &str) -> Self {
        addrs.clone_into(&mut self.bind);
        self
    }

    /// The content of `host.toml`.
    pub(crate) fn settings(self, text: &str) -> Self {
        fs::write(self.home.join("host.toml"), text).expect("host.toml");
        self
    }

    /// A command to run the host under, which has to become the host.
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    /// A variable of its environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn log(mut self, filter: &str) -> Self {
        self.log = Some(filter.to_owned());
        self
    }

    /// What it calls itself.
    pub(crate) fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The command line that starts it.
    pub(crate) fn command(&self) -> Command {
        let words = self.wrapper.iter().map(String::as_str).chain([IROSH]).collect::<Vec<_>>();
        let mut command = program(words[0], &self.home);
        command.args(&words[1..]).args(["host", "--json", "--name", &self.name, "--backend", &self.backend]);
        command.env("IROSH_RELAY", &self.relay).env("IROSH_BIND", &self.bind).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(filter) = &self.log {
            command.env("IROSH_LOG", filter);
        }
        command
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> Host {
        if self.backend == "builtin" {
            self.spare_startup_files();
        }
        let daemon = Daemon::start(&mut self.command());
        let mut host = Host { setup: self, daemon, ready: Value::Null };
        host.ready = host.wait_event(|event| event["event"] == "ready");
        host
    }

    /// Has bash take each command's shell for one within another, which does not read who runs the tests' own `.bashrc`.
    fn spare_startup_files(&self) {
        let file = self.home.join("host.toml");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let Ok(mut settings) = text.parse::<toml::Table>() else { return };
        let sshd = settings.entry("sshd").or_insert_with(|| toml::Table::new().into());
        let Some(sshd) = sshd.as_table_mut() else { return };
        if !sshd.contains_key("SetEnv") {
            sshd.insert("SetEnv".to_owned(), vec!["SHLVL=1"].into());
            fs::write(&file, settings.to_string()).expect("host.toml");
        }
    }

    /// Runs it until it fails to start.
    pub(crate) fn fail(&self) -> Output {
        let output = run(&mut self.command());
        assert!(!output.status.success(), "the host did not fail");
        output
    }
}

/// A host that is ready.
pub(crate) struct Host {
    setup: HostSetup,
    pub(crate) daemon: Daemon,
    ready: Value,
}

impl Host {
    /// Waits for an event, of those that came or will come, in time.
    pub(crate) fn wait_event(&self, wanted: impl FnMut(&Value) -> bool) -> Value {
        self.find_event(DEADLINE, wanted).unwrap_or_else(|| {
            let (events, log) = (self.daemon.stdout.all(), self.daemon.stderr.all());
            panic!("no such event of the host:\n{}\n{}", events.join("\n"), log.join("\n"))
        })
    }

    /// The same, or `None` when it does not come.
    pub(crate) fn find_event(
        &self,
        within: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Option<Value> {
        self.daemon.stdout.find(within, |line| {
            let event: Value = serde_json::from_str(line).expect("an event is JSON");
            wanted(&event).then_some(event)
        })
    }

    /// Waits until this many sessions have ended; returns their events.
    pub(crate) fn wait_ended(&self, count: usize) -> Vec<Value> {
        let mut ended = Vec::new();
        self.wait_event(|event| {
            if event["event"] == "session_ended" {
                ended.push(event.clone());
            }
            ended.len() == count
        });
        ended
    }

    /// How many events of this kind there were so far.
    pub(crate) fn count(&self, kind: &str) -> usize {
        let kind = format!("\"event\":\"{kind}\"");
        self.daemon.stdout.all().iter().filter(|line| line.contains(&kind)).count()
    }

    pub(crate) fn pid(&self) -> Pid {
        self.daemon.pid()
    }

    /// What is wrong with it, as it says itself when it is ready.
    pub(crate) fn problem(&self) -> &str {
        self.ready["problem"].as_str().unwrap_or_default()
    }

    pub(crate) fn ticket(&self) -> String {
        self.ready["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// The ticket without any direct address.
    pub(crate) fn relay_ticket(&self) -> String {
        let addr: EndpointAddr = EndpointTicket::from_str(&self.ticket()).expect("a ticket").into();
        let relays: Vec<_> = addr.relay_urls().cloned().collect();
        assert!(!relays.is_empty(), "the host has no relay");
        let bare = EndpointAddr::new(addr.id);
        EndpointTicket::new(relays.into_iter().fold(bare, EndpointAddr::with_relay_url)).to_string()
    }

    /// A command of `irosh` on the host's machine.
    pub(crate) fn irosh(&self, arguments: &[&str]) -> Output {
        run(program(IROSH, &self.setup.home).args(arguments))
    }

    /// What such a command prints with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.irosh(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", output.stderr.said());
        json_lines(&output.stdout.said())
    }

    /// Its list of peers.
    pub(crate) fn list(&self) -> String {
        fs::read_to_string(self.setup.home.join("authorized_peers")).unwrap_or_default()
    }

    pub(crate) fn invite(&self, arguments: &[&str]) -> String {
        succeed(program(IROSH, &self.setup.home).arg("invite").args(arguments)).trim().to_owned()
    }

    pub(crate) fn allow(&self, identity: &str) {
        succeed(program(IROSH, &self.setup.home).args(["peers", "allow", identity]));
    }

    pub(crate) fn home(&self) -> &Path {
        &self.setup.home
    }

    /// What it has said on stderr.
    pub(crate) fn log(&self) -> String {
        self.daemon.stderr.all().join("\n")
    }

    /// Ends it as an administrator would, and starts it again with the same files.
    pub(crate) fn restart(mut self) -> Self {
        self.daemon.signal(Signal::SIGTERM);
        assert!(self.daemon.wait(DEADLINE).success(), "{}", self.log());
        let setup = self.setup.clone();
        drop(self);
        setup.start()
    }

    pub(crate) fn kill(&mut self) {
        self.daemon.signal(Signal::SIGKILL);
        self.daemon.wait(DEADLINE);
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.daemon.running().try_wait(Duration::ZERO).is_none()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the host said:\n{}\n{}", self.daemon.stdout.all().join("\n"), self.log());
        }
    }
}
