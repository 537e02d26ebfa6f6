//! Which file is where.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::unistd::{User, geteuid};

/// The folders of one user, or of the system service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    config: PathBuf,
    state: PathBuf,
    runtime: PathBuf,
}

/// The folder of the sockets of the system service.
const RUNTIME: &str = if cfg!(target_os = "macos") { "/var/lib/irosh/run" } else { "/run/irosh" };

/// There is neither `IROSH_HOME` nor a home directory, also none of this user's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no home directory\nset HOME, or IROSH_HOME to a folder for irosh's files")]
pub struct NoHome;

impl Paths {
    /// The calling user's folders: all in `IROSH_HOME` when that is set, else
    /// `$XDG_CONFIG_HOME/irosh` for files and `$XDG_RUNTIME_DIR/irosh` for sockets. A runtime folder that is
    /// missing or another user's, as `sudo -E` and `su` leave it, is as none: it is that of the user's logins then
    /// (`/run/user/UID`), where the user's services have theirs.
    ///
    /// # Errors
    ///
    /// [`NoHome`] when neither the environment nor the user's account names a home directory.
    pub fn of_user() -> Result<Self, NoHome> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = set("IROSH_HOME") {
            return Ok(Self::under(&home));
        }
        let home = home().ok_or(NoHome);
        let absolute = |name| set(name).filter(|path| path.is_absolute());
        let config = match absolute("XDG_CONFIG_HOME") {
            Some(config) => config,
            None => home.clone()?.join(".config"),
        };
        let of_logins =
            || Some(Path::new("/run/user").join(geteuid().to_string())).filter(|path| is_own(path));
        let runtime = match absolute("XDG_RUNTIME_DIR").filter(|path| is_own(path)).or_else(of_logins) {
            Some(runtime) => runtime.join("irosh"),
            None => home?.join(".cache/irosh/run"),
        };
        let config = config.join("irosh");
        Ok(Self { state: config.clone(), config, runtime })
    }

    /// The folders of the system service: `/etc/irosh`, `/var/lib/irosh` and `/run/irosh`.
    ///
    /// Where a system has no `/run` (macOS), the last one is a folder in `/var/lib/irosh`.
    ///
    /// A service manager's `CONFIGURATION_DIRECTORY`, `STATE_DIRECTORY` and `RUNTIME_DIRECTORY`
    /// take their place where they are set (systemd.exec(5)).
    #[must_use]
    pub fn of_system() -> Self {
        let or = |name, default: &str| {
            std::env::var_os(name).map_or_else(|| PathBuf::from(default), PathBuf::from)
        };
        Self {
            config: or("CONFIGURATION_DIRECTORY", "/etc/irosh"),
            state: or("STATE_DIRECTORY", "/var/lib/irosh"),
            runtime: or("RUNTIME_DIRECTORY", RUNTIME),
        }
    }

    /// Everything under one folder, as `IROSH_HOME` does.
    #[must_use]
    pub fn under(home: &Path) -> Self {
        Self { config: home.to_owned(), state: home.to_owned(), runtime: home.join("run") }
    }

    /// All of the folders.
    #[must_use]
    pub fn folders(&self) -> [&Path; 3] {
        [&self.config, &self.state, &self.runtime]
    }

    /// The client's settings.
    #[must_use]
    pub fn client_settings(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The key that says who a client is.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.config.join("identity")
    }

    /// The aliases of hosts.
    #[must_use]
    pub fn aliases(&self) -> PathBuf {
        self.config.join("hosts.toml")
    }

    /// The host's settings.
    #[must_use]
    pub fn host_settings(&self) -> PathBuf {
        self.config.join("host.toml")
    }

    /// The key that is the host's endpoint id.
    #[must_use]
    pub fn host_key(&self) -> PathBuf {
        self.state.join("host_key")
    }

    /// The host key of the built-in SSH server.
    #[must_use]
    pub fn ssh_host_key(&self) -> PathBuf {
        self.state.join("ssh_host_ed25519_key")
    }

    /// The SSH host keys that a host announces, and those that it saw last.
    #[must_use]
    pub fn kept_host_keys(&self) -> PathBuf {
        self.state.join("ssh_host_keys.toml")
    }

    /// The password of the user whom the built-in SSH server serves, hashed.
    #[must_use]
    pub fn password(&self) -> PathBuf {
        self.config.join("password")
    }

    /// The UDP ports that the host used last, so that a ticket outlives a restart.
    #[must_use]
    pub fn host_ports(&self) -> PathBuf {
        self.state.join("host_ports")
    }

    /// The identities that may come in.
    #[must_use]
    pub fn authorized_peers(&self) -> PathBuf {
        self.config.join("authorized_peers")
    }

    /// The invites that are open, hashed.
    #[must_use]
    pub fn invites(&self) -> PathBuf {
        self.state.join("invites.toml")
    }

    /// What makes the loopback addresses of the host's peers.
    #[must_use]
    pub fn loopback_key(&self) -> PathBuf {
        self.state.join("loopback_key")
    }

    /// Where a running host notes its ticket for the other commands.
    #[must_use]
    pub fn host_note(&self) -> PathBuf {
        self.runtime.join("host.json")
    }

    /// The folder of the socket at which a running host answers. Nobody else gets into it, whoever may read the note.
    #[must_use]
    pub fn host_control(&self) -> PathBuf {
        self.runtime.join("control")
    }

    /// All that a host keeps, whether it is there or not: in the same folders, a user's client has files, too.
    #[must_use]
    pub fn files_of_host(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for file in [
            self.host_settings(),
            self.authorized_peers(),
            self.invites(),
            self.host_key(),
            self.host_key().with_added_extension("pub"),
            self.ssh_host_key(),
            self.ssh_host_key().with_added_extension("pub"),
            self.kept_host_keys(),
            self.loopback_key(),
            self.host_ports(),
            self.password(),
        ] {
            // Locks have the name of what they are for, with or without its own ending.
            files.extend([file.with_extension("lock"), file.with_added_extension("lock"), file]);
        }
        files.sort();
        files.dedup();
        files
    }

    /// The folder of the sockets of the user's agents.
    #[must_use]
    pub fn agents(&self) -> PathBuf {
        self.runtime.clone()
    }

    /// What the user's agents log.
    #[must_use]
    pub fn agent_log(&self) -> PathBuf {
        self.state.join("agent.log")
    }

    /// The client processes that have sessions, a file each.
    #[must_use]
    pub fn instances(&self) -> PathBuf {
        self.state.join("instances")
    }

    /// Where it is noted at which servers a key was all that a login took.
    #[must_use]
    pub fn logins_by_key(&self) -> PathBuf {
        self.state.join("logins_by_key")
    }

    /// The SSH host keys that the host of this endpoint id has announced. ssh's configuration names the file, so it
    /// is where it is after the next start, and from wherever the user has logged in.
    #[must_use]
    pub fn announced_keys(&self, endpoint_id: &str) -> PathBuf {
        self.state.join("announced_keys").join(endpoint_id)
    }
}

/// The home directory: that of the account where the environment has none, as in a service of the system. ssh takes that
/// one, too.
#[must_use]
pub fn home() -> Option<PathBuf> {
    let of_account = || User::from_uid(geteuid()).ok().flatten().map(|user| user.dir);
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from).or_else(of_account)
}

/// Whether it is a folder of this user's.
fn is_own(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
}
