//! A local port that is the SSH server of `box` to programs that know of no proxy.

use std::{
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{DEADLINE, Daemon, Line, Said as _, login, run};

/// A port that leads to `box`.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    /// Lines of known_hosts for it, where it was asked for them.
    pub(crate) known_hosts: Vec<String>,
    daemon: Option<Daemon>,
}

impl Port {
    /// That of an `irosh listen`.
    pub(crate) fn open(line: &Line, arguments: &[&str]) -> Self {
        let mut command = line.client.irosh(&[&["listen", "--json", "box"], arguments].concat());
        let daemon = Daemon::start(command.stdin(Stdio::null()));
        let said = daemon.stdout.find(DEADLINE, |line| serde_json::from_str::<serde_json::Value>(line).ok());
        let said = said.unwrap_or_else(|| panic!("it does not listen: {}", daemon.stderr.all().join("\n")));
        let address = said["listening"].as_str().expect("an address").parse().expect("an address");
        let known_hosts = said["known_hosts"].as_array().expect("keys");
        let known_hosts = known_hosts.iter().map(|key| key.as_str().expect("a key").to_owned()).collect();
        Self { known_hosts, daemon: Some(daemon), ..Self::at(line, address) }
    }

    /// That of whoever listens there.
    pub(crate) fn at(line: &Line, address: SocketAddr) -> Self {
        fs::write(Self::known_hosts_file(line), format!("* {}\n", line.server.host_key)).expect("written");
        Self { address, known_hosts: Vec::new(), daemon: None }
    }

    /// The `irosh listen` that it was opened by.
    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("a process of its own")
    }

    /// A file in which plain ssh finds the server's key.
    pub(crate) fn known_hosts_file(line: &Line) -> PathBuf {
        line.client.home().join("known_hosts")
    }

    /// Plain ssh, to which `box` is the port.
    pub(crate) fn ssh(&self, line: &Line) -> Command {
        let mut ssh = line.client.command("ssh");
        // Without what the client's configuration says of `box`.
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "GlobalKnownHostsFile=/dev/null"]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", Self::known_hosts_file(line).display()));
        ssh.arg("-o").arg(format!("HostName={}", self.address.ip()));
        ssh.args(["-p", &self.address.port().to_string(), "-l", &login(), "-i"]).arg(line.server.user_key());
        ssh
    }

    /// What whoever connects to it hears first, as this user or another one.
    pub(crate) fn greeting(&self, uid: Option<u32>) -> String {
        let script = "exec 3<>/dev/tcp/$0/$1 && head -c 8 <&3";
        let mut bash = Command::new("bash");
        bash.args(["-c", script, &self.address.ip().to_string(), &self.address.port().to_string()]);
        if let Some(uid) = uid {
            bash.uid(uid).gid(uid);
        }
        run(bash.current_dir("/")).stdout.said()
    }
}
