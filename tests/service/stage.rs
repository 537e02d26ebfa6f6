//! Where the service is installed: a folder for a user, or a machine in namespaces for the system.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use serde_json::Value;

use super::harness::{Chat, Client, IROSH, Said, Server, Sshd, folder, program, run, skip, succeed};

/// The programs of service managers.
const TOOLS: [&str; 6] = ["systemctl", "loginctl", "journalctl", "launchctl", "rc-service", "rc-update"];

/// A machine with these programs, and with a home directory.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) irosh: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self { folder: folder(), irosh: IROSH.into() };
        for name in ["bin", "home", "state", "run/systemd"] {
            fs::create_dir_all(stage.path(name)).expect("a folder");
        }
        // As if the user's systemd listened.
        fs::write(stage.path("run/systemd/private"), "").expect("written");
        for name in TOOLS {
            let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/service_tools.py");
            stage.script(name, &format!("exec python3 {tools} {name} \"$@\""));
        }
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
    }

    /// Has a file be there that a stand-in looks at.
    pub(crate) fn sign(&self, name: &str) {
        fs::write(self.path("state").join(name), "").expect("written");
    }

    pub(crate) fn irosh(&self, arguments: &[&str]) -> Command {
        let mut command = program(&self.irosh, &self.path("home"));
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("SERVICE_TOOLS", self.path("state"));
        command.env_remove("XDG_CONFIG_HOME").args(arguments);
        command
    }

    /// `irosh service`, where this service manager is.
    pub(crate) fn service(&self, manager: &str, arguments: &[&str]) -> Output {
        run(self.irosh(&["service", "--manager", manager]).args(arguments))
    }

    pub(crate) fn succeeds(&self, manager: &str, arguments: &[&str]) -> String {
        let output = self.service(manager, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", output.stderr.said());
        output.stdout.said()
    }

    /// What it says where it fails.
    pub(crate) fn fails(&self, manager: &str, arguments: &[&str]) -> String {
        let output = self.service(manager, arguments);
        assert_eq!(output.status.code(), Some(1), "{}", output.stdout.said());
        output.stderr.said()
    }

    pub(crate) fn status(&self, scope: &str) -> (Option<i32>, Value) {
        let output = self.service("systemd", &["status", scope, "--json"]);
        let stdout = output.stdout.said();
        (
            output.status.code(),
            serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{}", output.stderr.said())),
        )
    }

    /// The calls of the stand-ins since this was asked last.
    pub(crate) fn calls(&self) -> Vec<String> {
        let path = self.path("state/calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, "").expect("written");
        // Questions change nothing.
        let asks = [" show ", " show-user ", " print", " status"];
        let calls = calls.lines().filter(|call| !asks.iter().any(|word| call.contains(word)));
        calls.map(str::to_owned).collect()
    }

    pub(crate) fn unit(&self) -> PathBuf {
        self.path("home/.config/systemd/user/irosh-host-user.service")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.path("state/pid")).ok().and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid {
            // Its host ends with it.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if thread::panicking() {
            eprintln!(
                "the service said:\n{}",
                fs::read_to_string(self.path("state/log")).unwrap_or_default()
            );
        }
    }
}

/// An ssh server, and a client that is admitted by the host of a stage.
pub(crate) struct Visitor {
    pub(crate) client: Client,
    pub(crate) sshd: Sshd,
    _server: Server,
}

impl Visitor {
    pub(crate) fn new(stage: &Stage) -> Self {
        let server = Server::new(stage.folder.path());
        let client = Client::new(stage.folder.path(), "client", &server);
        Self { client, sshd: server.listen(), _server: server }
    }

    /// Is let in by the host, which a command is told by these words.
    pub(crate) fn enter(&self, stage: &Stage, words: &[&str]) -> Chat {
        succeed(stage.irosh(words).args(["peers", "allow", &self.client.identity]));
        self.client.add_host("box", succeed(stage.irosh(words).arg("ticket")).trim());
        let chat = Chat::by(&mut self.client.ssh());
        chat.flows();
        chat
    }
}

/// What is below a folder, besides folders.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.file_type().expect("a type").is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    found
}

/// A machine of its own, as far as the system's service sees it: accounts, states, sockets, programs and a network.
pub(crate) struct System {
    pub(crate) stage: Stage,
}

impl System {
    /// Where this is not root, there is none.
    pub(crate) fn new() -> Option<Self> {
        if !geteuid().is_root() || unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).is_err() {
            skip("not root");
            return None;
        }
        let mut stage = Stage::new();
        fs::set_permissions(stage.folder.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
        stage.irosh = "/usr/local/bin/irosh".into();
        let script = r#"
            set -e
            mount --make-rprivate /
            ip link set lo up
            cp -a /etc "$1/etc"
            mount --bind "$1/etc" /etc
            sed -i '/^irosh:/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow
            for folder in /run /var/lib /var/log /usr/local/bin /usr/local/lib; do
                mkdir -p $folder
                mount -t tmpfs -o mode=755 none $folder
            done
            mkdir -p /run/systemd/system /usr/local/lib/systemd/system
            for program in irosh irosh-sshd; do
                touch /usr/local/bin/$program
                mount --bind "$2/$program" /usr/local/bin/$program
            done
        "#;
        let programs = Path::new(IROSH).parent().expect("a folder");
        succeed(Command::new("sh").args(["-c", script, "sh"]).arg(stage.folder.path()).arg(programs));
        Some(Self { stage })
    }

    pub(crate) fn unit(&self) -> String {
        fs::read_to_string("/etc/systemd/system/irosh-host.service").unwrap_or_default()
    }
}
