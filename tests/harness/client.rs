//! A client: an ssh configuration, an identity, and the commands that use them.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{IROSH, IROSH_PROXY, Server, Sshd, new_key, program, run, server::login, succeed};

/// Who moves the bytes of a client's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The process that ssh runs.
    Alone,
    /// The agent, which has the process's stdin and stdout.
    Agent,
    /// The agent, with ssh at the other end of a socket.
    Fdpass,
}

impl Mode {
    /// What `IROSH_TEST_MODE` says: `agent`, `fdpass`, or neither.
    fn of_environment() -> Self {
        match std::env::var("IROSH_TEST_MODE").as_deref() {
            Ok("agent") => Self::Agent,
            Ok("fdpass") => Self::Fdpass,
            _ => Self::Alone,
        }
    }
}

/// Somebody who runs ssh. Hosts have names in its ssh configuration; most tests know one, `box`.
pub(crate) struct Client {
    home: PathBuf,
    relay: String,
    bind: String,
    authority: Option<PathBuf>,
    mode: Mode,
    lan: bool,
    variables: Vec<(String, PathBuf)>,
    /// The public line of its identity.
    pub(crate) identity: String,
}

impl Client {
    /// A client with an identity of its own that may log in at `server`.
    pub(crate) fn new(folder: &Path, name: &str, server: &Server) -> Self {
        // Not shared with whoever logs in, as a subfolder may be.
        let home = folder.join(name);
        fs::create_dir_all(&home).expect("a home");
        let identity = new_key(&home.join("identity"));
        let (relay, bind) = ("none".to_owned(), "127.0.0.1:0".to_owned());
        let (mode, variables) = (Mode::of_environment(), Vec::new());
        let client = Self { home, relay, bind, authority: None, mode, lan: false, variables, identity };
        let text = format!(
            "Host *\n  User {}\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n  \
             StrictHostKeyChecking yes\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  \
             UpdateHostKeys no\n",
            login(),
            server.user_key().display(),
            client.home.join("known_hosts").display(),
        );
        fs::write(client.config(), text).expect("ssh_config");
        client
    }

    /// Reaches hosts by this relay alone.
    ///
    /// It is bound to another address family than the hosts, so no direct path can be found.
    pub(crate) fn use_relay(&mut self, url: &str) {
        url.clone_into(&mut self.relay);
        if std::net::UdpSocket::bind("[::1]:0").is_ok() {
            "[::1]:0".clone_into(&mut self.bind);
        }
    }

    /// Binds these addresses; none binds every interface on a free port.
    pub(crate) fn bind(&mut self, addrs: &str) {
        addrs.clone_into(&mut self.bind);
    }

    /// Binds every interface, and looks for hosts on the networks that these lead to.
    pub(crate) fn use_lan(&mut self) {
        self.bind("");
        self.lan = true;
    }

    /// Believes what this file of certificates vouches for.
    pub(crate) fn trust(&mut self, authority: &Path) {
        self.authority = Some(authority.to_owned());
    }

    /// Has its programs find this ssh-agent.
    pub(crate) fn use_ssh_agent(&mut self, socket: &Path) {
        self.variables.push(("SSH_AUTH_SOCK".to_owned(), socket.to_owned()));
    }

    /// Has its settings name this file as its key.
    pub(crate) fn use_identity(&self, file: &Path) {
        let settings = format!("identity = \"{}\"\n", file.display());
        fs::write(self.home.join("config.toml"), settings).expect("config.toml");
    }

    /// Names an sshd that is reached without us.
    pub(crate) fn add_direct(&self, name: &str, server: &Server, sshd: &Sshd) {
        self.configure(&format!(
            "Host {name}\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias {name}\n",
            sshd.port
        ));
        let path = self.home.join("known_hosts");
        let known = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, format!("{known}{name} {}\n", server.host_key)).expect("known_hosts");
    }

    /// Names a host that is reached by a ticket or an invite.
    pub(crate) fn add_host(&self, name: &str, target: &str) {
        succeed(&mut self.irosh(&["hosts", "add", name, target]));
        self.add_proxied(name);
    }

    /// Has ssh reach a name, or a pattern of names, through the proxy.
    pub(crate) fn add_proxied(&self, pattern: &str) {
        let (fdpass, option) = if self.mode == Mode::Fdpass { ("yes", " --fdpass") } else { ("no", "") };
        self.configure(&format!(
            "Host {pattern}\n  ProxyCommand {IROSH_PROXY}{option} %h\n  ProxyUseFdpass {fdpass}\n  \
             KnownHostsCommand {IROSH_PROXY} --known-hosts %h\n"
        ));
    }

    /// Has the sessions at `box` carried in this way.
    pub(crate) fn use_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.add_proxied("box");
    }

    /// Adds to the ssh configuration. The first value of an option counts, so a host's own come first.
    fn configure(&self, lines: &str) {
        let old = fs::read_to_string(self.config()).expect("ssh_config");
        fs::write(self.config(), format!("{lines}{old}")).expect("ssh_config");
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home.join("ssh_config")
    }

    /// Any program that may run ssh or ours.
    pub(crate) fn command(&self, words: impl AsRef<OsStr>) -> Command {
        let mut command = program(words, &self.home);
        command.env("IROSH_RELAY", &self.relay).env("IROSH_BIND", &self.bind);
        command.env("IROSH_LAN", self.lan.to_string());
        command.env("IROSH_AGENT", if self.mode == Mode::Alone { "off" } else { "auto" });
        command.envs(self.authority.iter().map(|authority| ("IROSH_CA", authority)));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `irosh` at the client.
    pub(crate) fn irosh(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(IROSH);
        command.args(arguments);
        command
    }

    /// One of the commands of `irosh` that reach a host.
    pub(crate) fn native(&self, command: &str) -> Command {
        let mut irosh = self.irosh(&[command, "-F"]);
        irosh.arg(self.config());
        irosh
    }

    /// `irosh-proxy` as ssh runs it.
    pub(crate) fn proxy(&self, target: &str) -> Command {
        let mut command = self.command(IROSH_PROXY);
        command.arg(target);
        command
    }

    fn configured(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.arg("-F").arg(self.config());
        command
    }

    pub(crate) fn ssh(&self) -> Command {
        self.configured("ssh")
    }

    pub(crate) fn scp(&self) -> Command {
        let mut command = self.configured("scp");
        command.arg("-q");
        command
    }

    pub(crate) fn sftp(&self) -> Command {
        self.configured("sftp")
    }

    pub(crate) fn rsync(&self) -> Command {
        let mut command = self.command("rsync");
        command.arg("-e").arg(format!("ssh -F {}", self.config().display()));
        command
    }

    pub(crate) fn git(&self) -> Command {
        let mut command = self.command("git");
        command
            .env("GIT_SSH_COMMAND", format!("ssh -F {}", self.config().display()))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@example.com");
        }
        command
    }

    /// What its agent says of itself; nothing where none runs.
    pub(crate) fn agent(&self) -> Option<serde_json::Value> {
        let said = succeed(&mut self.irosh(&["agent", "--json"]));
        serde_json::from_str(said.lines().next()?).ok()
    }

    /// Runs a command on `box`.
    pub(crate) fn exec(&self, command: &str) -> Output {
        run(self.ssh().args(["box", command]))
    }
}

/// An agent would outlive the test.
impl Drop for Client {
    fn drop(&mut self) {
        if self.mode != Mode::Alone {
            let _ = run(&mut self.irosh(&["agent", "stop"]));
        }
    }
}
