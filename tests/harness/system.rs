//! The system's host, where it is a service's.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    process::Command,
};

use nix::unistd::geteuid;

use super::{Daemon, HostSetup, IROSH, folder, program, skip, subfolder, under};

/// Has a command run as somebody who is not root, nor anybody else.
pub(crate) const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// The number of that user.
const SERVICE: u32 = 65534;

/// The folders of a system's host, which somebody else owns.
pub(crate) struct System {
    folder: tempfile::TempDir,
}

impl System {
    /// Nothing where only root could do that.
    pub(crate) fn new() -> Option<Self> {
        if !geteuid().is_root() {
            skip("only root can give folders to somebody else");
            return None;
        }
        let folder = folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let system = Self { folder };
        for (_, path) in system.folders() {
            fs::create_dir(&path).expect("a folder");
            chown(&path, Some(SERVICE), Some(SERVICE)).expect("given away");
        }
        Some(system)
    }

    /// With the variables that name them.
    pub(crate) fn folders(&self) -> [(String, PathBuf); 3] {
        let folder = self.folder.path();
        ["CONFIGURATION", "STATE", "RUNTIME"].map(|kind| (format!("{kind}_DIRECTORY"), folder.join(kind)))
    }

    /// Root's home.
    pub(crate) fn home(&self) -> PathBuf {
        subfolder(self.folder.path(), "root")
    }

    fn known_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_remove("IROSH_HOME").envs(self.folders())
    }

    /// Starts the host as the user whose the folders are.
    pub(crate) fn start(&self) -> Daemon {
        self.start_under(&[])
    }

    /// The same under a command of root's, which has to become the host.
    pub(crate) fn start_under(&self, wrapper: &[&str]) -> Daemon {
        let mut host = HostSetup::new(&self.home(), "tcp:127.0.0.1:1").command();
        self.known_to(host.arg("--system"));
        let host = Daemon::start(&mut under(&[wrapper, &NOBODY].concat(), &host));
        host.stdout.wait_for("\"event\":\"ready\"");
        host
    }

    /// A command of root's.
    pub(crate) fn irosh(&self, arguments: &[&str]) -> Command {
        let mut irosh = program(IROSH, &self.home());
        self.known_to(irosh.args(arguments));
        irosh
    }
}
