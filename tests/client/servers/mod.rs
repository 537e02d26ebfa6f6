//! SSH servers of the tests' own, reached over a socketpair.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod random;
mod scripted;

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use irosh::client::{
    ClientOptions, Disconnected, HostKeyPolicy, PublicKey, Session, SessionEvent,
    auth::{AgentSource, Standard, StandardOptions},
    connect,
};
use irosh::server::{ServeOptions, config::SshdConfig, serve};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::harness::{Host, HostSetup};
pub(crate) use random::{Random, digest};
pub(crate) use scripted::{Script, Scripted, far};

/// How long anything may take that has no deadline of its own.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// OpenSSH's sshd, behind a host.
    OpenSsh,
    /// `irosh sshd`.
    Builtin,
    /// `irosh::server::serve` in this process.
    Embedded,
}

/// The files of an SSH server that admits one key, and the processes of its connections.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) host_key: PublicKey,
    children: Mutex<Vec<Child>>,
    /// The host before OpenSSH's server, and its ticket.
    host: Option<(Mutex<Host>, String)>,
    /// Ends what is served in this process.
    cut: Mutex<CancellationToken>,
}

impl Server {
    pub(crate) fn new(kind: Kind) -> Self {
        if nix::unistd::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").expect("sshd's folder");
        }
        let folder = tempfile::Builder::new().prefix("sshc-").tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("home")).expect("a home");
        let host_key = new_key(&folder.path().join("host_key"), "ed25519", "");
        let user_key = new_key(&folder.path().join("user_key"), "ed25519", "");
        std::fs::write(folder.path().join("authorized_keys"), &user_key).expect("written");
        let host_key = PublicKey::from_openssh(&host_key).expect("a key");
        let (children, cut) = (Mutex::default(), Mutex::default());
        let mut server = Self { kind, folder, host_key, children, host: None, cut };
        server.configure("");
        // The host asks the server for its keys as soon as it starts.
        server.host = (kind == Kind::OpenSsh).then(|| server.start_host());
        server
    }

    fn start_host(&self) -> (Mutex<Host>, String) {
        let backend = format!("exec:/usr/sbin/sshd -i -e -f {}", self.path("sshd_config").display());
        let identity = crate::harness::new_key(&self.path("identity"));
        std::fs::create_dir(self.path("irosh")).expect("a folder");
        for name in ["identity", "identity.pub"] {
            std::fs::rename(self.path(name), self.path("irosh").join(name)).expect("moved");
        }
        let host = HostSetup::new(&self.path("host"), &backend).start();
        host.allow(&identity);
        let ticket = host.ticket();
        (Mutex::new(host), ticket)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, with these lines before all others.
    pub(crate) fn configure(&self, lines: &str) {
        let folder = self.folder.path().display();
        let path = std::env::var("PATH").unwrap_or_default();
        let text = format!(
            "{lines}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nUseDNS no\nPrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\n\
             AcceptEnv LANG LC_*\nMaxSessions 200\nAllowStreamLocalForwarding yes\n\
             Subsystem sftp internal-sftp\nSetEnv HOME={folder}/home \"PATH={path}\"\n"
        );
        std::fs::write(self.path("sshd_config"), text).expect("written");
    }

    /// Lets another key in.
    pub(crate) fn authorize(&self, line: &str) {
        let path = self.path("authorized_keys");
        let before = std::fs::read_to_string(&path).expect("read");
        std::fs::write(path, format!("{before}\n{line}\n")).expect("written");
    }

    /// What leads to it on stdin and stdout.
    pub(crate) fn command(&self) -> Command {
        let irosh = self.path("irosh");
        if let Some((_, ticket)) = &self.host {
            let mut command = crate::harness::program(crate::harness::IROSH_PROXY, &irosh);
            command.arg(ticket);
            return command.into();
        }
        let mut command = Command::new(crate::harness::IROSH);
        command.args(["sshd", "-i", "-f"]).arg(self.path("sshd_config")).env("IROSH_HOME", irosh);
        command
    }

    /// The ticket of the host before it.
    pub(crate) fn ticket(&self) -> &str {
        self.host.as_ref().map(|(_, ticket)| ticket.as_str()).expect("a host")
    }

    /// A new connection to it.
    pub(crate) fn stream(&self) -> UnixStream {
        if self.kind == Kind::Embedded { self.embedded() } else { self.stream_of(self.command()) }
    }

    /// Served by a thread of this process.
    fn embedded(&self) -> UnixStream {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).expect("non-blocking");
        }
        let text = std::fs::read_to_string(self.path("sshd_config")).expect("sshd_config");
        let mut config = SshdConfig::default();
        let no_include = &mut |_: &str| Ok(Vec::new());
        config.add_file("sshd_config", &text, no_include).expect("a configuration");
        let host_key = self.path("irosh_host_key");
        let options = ServeOptions { config: Arc::new(config), host_key, ..ServeOptions::default() };
        let cut = self.cut.lock().expect("no panic").clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let (reader, writer) = tokio::io::split(UnixStream::from_std(theirs).expect("a stream"));
                tokio::select! {
                    served = serve(reader, writer, options) => drop(served),
                    () = cut.cancelled() => {}
                }
            });
            runtime.shutdown_background();
        });
        UnixStream::from_std(ours).expect("a stream")
    }

    pub(crate) fn stream_of(&self, mut command: Command) -> UnixStream {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log"));
        let copy = theirs.try_clone().expect("a copy");
        command
            .stdin(OwnedFd::from(copy))
            .stdout(OwnedFd::from(theirs))
            .stderr(log.expect("a log"))
            .kill_on_drop(true);
        let child = command.spawn().expect("a server");
        self.children.lock().expect("no panic").push(child);
        UnixStream::from_std(ours).expect("a stream")
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        let host =
            self.host.as_ref().map(|(host, _)| host.lock().expect("no panic").log()).unwrap_or_default();
        host + &std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Kills what serves, the processes that it has made too.
    pub(crate) fn kill(&self) {
        std::mem::take(&mut *self.cut.lock().expect("no panic")).cancel();
        for child in self.children.lock().expect("no panic").drain(..) {
            let Some(pid) = child.id() else { continue };
            for pid in descendants(pid) {
                let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }

    /// Stops or continues what serves.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        for child in &*self.children.lock().expect("no panic") {
            let Some(pid) = child.id() else { continue };
            for pid in descendants(pid) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal);
            }
        }
    }

    /// Options that let the user's key in and trust the server's.
    pub(crate) fn options(&self) -> ClientOptions {
        ClientOptions::new(login())
            .host_keys(HostKeyPolicy::Pinned(vec![self.host_key.clone()]))
            .authenticator(Standard::new(self.with_files(&["user_key"])))
    }

    /// Logging in with these key files and nothing else.
    pub(crate) fn with_files(&self, names: &[&str]) -> StandardOptions {
        let mut options = StandardOptions::new("test", None);
        options.agent = AgentSource::None;
        options.identity_files = names.iter().map(|name| self.path(name)).collect();
        options
    }

    pub(crate) async fn connect(&self) -> Session {
        let connected = timeout(DEADLINE, connect(self.stream(), self.options())).await.expect("in time");
        connected.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process and those that come from it.
fn descendants(of: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// Makes a key with ssh-keygen; returns its public line.
pub(crate) fn new_key(path: &Path, kind: &str, passphrase: &str) -> String {
    run(std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path));
    std::fs::read_to_string(path.with_extension("pub")).expect("a public key").trim().to_owned()
}

/// Runs a command that has to succeed; returns its stdout.
pub(crate) fn run(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Who runs the tests, and so who logs in.
pub(crate) fn login() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("users").expect("a user").name
}

/// All that a session says until it is over.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) events: Vec<SessionEvent>,
}

impl Said {
    pub(crate) async fn of(session: &mut Session) -> Self {
        let mut said = Self::default();
        while let Some(event) = next(session).await {
            match event {
                SessionEvent::Stdout(data) => said.stdout.extend_from_slice(&data),
                SessionEvent::Stderr(data) => said.stderr.extend_from_slice(&data),
                other => said.events.push(other),
            }
        }
        said
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The next event, in time.
pub(crate) async fn next(session: &mut Session) -> Option<SessionEvent> {
    timeout(DEADLINE, session.next_event()).await.expect("an event in time").expect("connected")
}

/// Waits until a session is told that the connection is lost, and why.
pub(crate) async fn loss(session: &mut Session) -> Disconnected {
    loop {
        match timeout(DEADLINE, session.next_event()).await.expect("told in time") {
            Err(why) => return why,
            Ok(Some(_)) => {}
            Ok(None) => panic!("over without a word"),
        }
    }
}

/// Reads stdout until these words have come.
pub(crate) async fn wait_for(session: &mut Session, words: &str) -> String {
    let mut text = String::new();
    while !text.contains(words) {
        match next(session).await {
            Some(SessionEvent::Stdout(data)) => text.push_str(&String::from_utf8_lossy(&data)),
            Some(_) => {}
            None => panic!("over before `{words}`: {text}"),
        }
    }
    text
}

/// Runs a scenario on every server.
macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod openssh { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let server = $crate::servers::Server::new($crate::servers::Kind::OpenSsh);
                tokio::time::timeout($crate::servers::DEADLINE, super::$name(server)).await.expect("in time");
            }
        )* }
        mod embedded { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let server = $crate::servers::Server::new($crate::servers::Kind::Embedded);
                tokio::time::timeout($crate::servers::DEADLINE, super::$name(server)).await.expect("in time");
            }
        )* }
        mod builtin { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let server = $crate::servers::Server::new($crate::servers::Kind::Builtin);
                tokio::time::timeout($crate::servers::DEADLINE, super::$name(server)).await.expect("in time");
            }
        )* }
    };
}
