//! An OpenSSH server of the tests' own: keys, configuration, and a process that listens.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::unistd::{Uid, User, geteuid};

use super::{Daemon, IROSH, free_port, new_key, subfolder, succeed};

/// Where sshd is; it wants to be run by its full path.
const SSHD: &str = "/usr/sbin/sshd";

/// The files of an SSH server, which runs as this user and admits one key.
pub(crate) struct Server {
    folder: PathBuf,
    /// The public line of its host key.
    pub(crate) host_key: String,
}

impl Server {
    pub(crate) fn new(folder: &Path) -> Self {
        if geteuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("sshd's folder");
        }
        let folder = subfolder(folder, "server");
        let host_key = new_key(&folder.join("host_key"));
        let user_key = new_key(&folder.join("user_key"));
        let server = Self { folder, host_key };
        fs::write(server.authorized_keys(), user_key).expect("authorized_keys");
        fs::write(server.config(), server.config_text()).expect("sshd_config");
        server
    }

    fn config_text(&self) -> String {
        let home = subfolder(&self.folder, "home");
        let path = std::env::var("PATH").unwrap_or_default();
        let (folder, home) = (self.folder.display(), home.display());
        format!(
            "HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nUseDNS no\nPrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\n\
             X11Forwarding yes\nAcceptEnv LANG LC_*\nMaxStartups 200:30:400\nMaxSessions 50\n\
             Subsystem sftp internal-sftp\nSetEnv HOME={home} \"PATH={path}\"\n"
        )
    }

    /// The home of who logs in.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("sshd_config")
    }

    /// Has files served by this command.
    pub(crate) fn serve_files_by(&self, command: &str) {
        let config = fs::read_to_string(self.config()).expect("sshd_config");
        let other =
            config.lines().filter(|line| !line.starts_with("Subsystem")).collect::<Vec<_>>().join("\n");
        fs::write(self.config(), format!("Subsystem sftp {command}\n{other}\n")).expect("sshd_config");
    }

    /// Whose keys may log in.
    pub(crate) fn authorized_keys(&self) -> PathBuf {
        self.folder.join("authorized_keys")
    }

    /// The key that may log in.
    pub(crate) fn user_key(&self) -> PathBuf {
        self.folder.join("user_key")
    }

    /// The command that serves one connection on its stdin and stdout.
    pub(crate) fn command(&self) -> String {
        format!("{SSHD} -i -e -f {}", self.config().display())
    }

    /// The same, of the built-in server with the same configuration.
    pub(crate) fn builtin_command(&self) -> String {
        format!("{IROSH} sshd -i -f {}", self.config().display())
    }

    /// The commands that its sessions run, told by their environment.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = format!("HOME={}", self.home().display());
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let ours = entries.filter(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        });
        ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// Gives the server another host key.
    pub(crate) fn change_host_key(&mut self) {
        self.change_host_key_to(&["-t", "ed25519"]);
    }

    /// Gives the server another host key, of the type that these arguments of ssh-keygen say.
    pub(crate) fn change_host_key_to(&mut self, arguments: &[&str]) {
        let path = self.folder.join("host_key");
        for name in ["host_key", "host_key.pub"] {
            fs::remove_file(self.folder.join(name)).expect("the old key");
        }
        succeed(
            Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "test", "-f"]).arg(&path).args(arguments),
        );
        let public = fs::read_to_string(path.with_extension("pub")).expect("a public key");
        public.trim().clone_into(&mut self.host_key);
    }

    /// Puts lines before its configuration: the first value of a keyword counts.
    pub(crate) fn configure(&self, lines: &str) {
        let old = fs::read_to_string(self.config()).expect("sshd_config");
        fs::write(self.config(), format!("{lines}\n{old}")).expect("sshd_config");
    }

    /// Starts sshd on a free port.
    pub(crate) fn listen(&self) -> Sshd {
        for _ in 0..10 {
            // Somebody may take the port first.
            if let Some(sshd) = self.listen_on(free_port()) {
                return sshd;
            }
        }
        panic!("sshd does not start: {}", self.config().display());
    }

    /// Starts sshd on this port, if that is free.
    pub(crate) fn listen_on(&self, port: u16) -> Option<Sshd> {
        self.listen_as(&[], SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Starts sshd at this address, if that is free, under a command that becomes it.
    pub(crate) fn listen_as(&self, wrapper: &[&str], address: SocketAddr) -> Option<Sshd> {
        let words: Vec<_> = wrapper.iter().chain([&SSHD]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["-D", "-e", "-f"]).arg(self.config());
        let (ip, port) = (address.ip(), address.port());
        command.args(["-o", &format!("ListenAddress={ip}"), "-p", &port.to_string()]);
        let daemon = Daemon::start(&mut command);
        let listening = format!("Server listening on {ip} port {port}");
        let up = |line: &str| line.starts_with(&listening).then_some(());
        daemon.stderr.find(Duration::from_secs(10), up).map(|()| Sshd { daemon, port })
    }
}

/// A running sshd. The processes of its connections outlive it, as they do in life.
pub(crate) struct Sshd {
    pub(crate) daemon: Daemon,
    pub(crate) port: u16,
}

impl Sshd {
    /// As a host's `--backend`.
    pub(crate) fn backend(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.port)
    }
}

/// Who logs in: whoever runs the tests, or where that is root, somebody whom `IROSH_TEST_LOGIN` names.
pub(crate) fn login() -> String {
    if let Ok(login) = std::env::var("IROSH_TEST_LOGIN") {
        return login;
    }
    let user = User::from_uid(Uid::effective()).expect("the list of users");
    user.expect("a user of this id").name
}
