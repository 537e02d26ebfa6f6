//! A real sshd for tests, reached through a ProxyCommand, without a port.

use std::{
    fs,
    process::{Child, Command},
};

use tempfile::TempDir;

use crate::terminal::pty::Pty;

/// The files of an sshd and of a client that may log in.
pub(crate) struct SshServer {
    folder: TempDir,
}

impl SshServer {
    pub(crate) fn new() -> Self {
        let server = Self { folder: tempfile::tempdir().expect("a folder") };
        let path = |name: &str| server.path(name);
        for name in ["host", "id"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)])
                .status();
            assert!(made.expect("ssh-keygen is installed").success());
        }
        // sshd run by root wants this folder to be there.
        let _ = fs::create_dir_all("/run/sshd");
        let public = fs::read_to_string(path("host.pub")).expect("a key");
        fs::write(path("known"), format!("box {public}")).expect("written");
        let sshd = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nPrintMotd no\nPrintLastLog no\n",
            path("host"),
            path("id.pub")
        );
        fs::write(path("sshd_config"), sshd).expect("written");
        let ssh = format!(
            "ProxyCommand /usr/sbin/sshd -i -f {} 2>/dev/null\nIdentityFile {}\nIdentitiesOnly yes\n\
             UserKnownHostsFile {}\n",
            path("sshd_config"),
            path("id"),
            path("known")
        );
        fs::write(path("ssh_config"), ssh).expect("written");
        server
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// ssh on this terminal: options, and the command in the end.
    pub(crate) fn ssh(&self, pty: &mut Pty, arguments: &[&str]) -> Child {
        let (command, options) = arguments.split_last().expect("a command");
        let config = self.path("ssh_config");
        let mut all = vec!["-F", &config];
        all.extend(options);
        all.extend(["box", command]);
        pty.run("ssh", &all)
    }
}
