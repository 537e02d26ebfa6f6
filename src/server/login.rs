//! A login that has succeeded: who it is, and what it may do.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    account::Account,
    config::{Config, tokens::Tokens},
    host_port::HostPort,
    key_options::KeyOptions,
    origin::Origin,
};

/// Who came in, and by what right.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) account: Account,
    pub(super) config: Arc<Config>,
    /// The options of the key or certificate; `None` where no key was used, which restricts nothing.
    pub(super) options: Option<KeyOptions>,
    /// The steps of authentication that succeeded, as SSH_USER_AUTH lists them.
    pub(super) steps: Vec<String>,
    /// The file that holds those steps, where ExposeAuthInfo asks for one.
    pub(super) steps_file: Option<PathBuf>,
    /// What the authenticator adds to the environment.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// What the first shell on a terminal is shown.
    pub(super) messages: Mutex<String>,
    pub(super) origin: Option<Origin>,
}

impl Login {
    /// Becomes the user for good, and nothing else happens before it.
    ///
    /// # Errors
    ///
    /// What the system says; the connection must end then.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        let root = self.chroot()?;
        self.account.enter_groups()?;
        if let Some(root) = root {
            nix::unistd::chroot(&root)?;
            nix::unistd::chdir("/")?;
        }
        self.account.become_it()?;
        if self.config.expose_auth_info
            && let Err(error) = self.expose_steps()
        {
            tracing::warn!("no file for SSH_USER_AUTH: {error}");
        }
        crate::memory::keep_closed_still();
        Ok(())
    }

    /// The folder of ChrootDirectory, which must be root's all the way up (sshd_config(5)).
    fn chroot(&self) -> io::Result<Option<PathBuf>> {
        let Some(pattern) = self.config.chroot_directory.as_ref().filter(|pattern| *pattern != "none") else {
            return Ok(None);
        };
        let Account { name, home, uid, .. } = &self.account;
        let tokens = Tokens::of_user(name, &home.to_string_lossy(), uid.as_raw());
        let path = PathBuf::from(tokens.expand(pattern).map_err(io::Error::other)?);
        for folder in path.ancestors() {
            let found = folder.metadata()?;
            if !found.is_dir() || found.uid() != 0 || found.mode() & 0o022 != 0 {
                let what = format!("bad ownership or modes for chroot directory {}", folder.display());
                return Err(io::Error::other(what));
            }
        }
        Ok(Some(path))
    }

    /// Writes the steps of authentication for SSH_USER_AUTH.
    fn expose_steps(&mut self) -> io::Result<()> {
        let (fd, path) = nix::unistd::mkstemp("/tmp/sshauth.XXXXXXXXXXXXXXX")?;
        let mut file = std::fs::File::from(fd);
        self.steps_file = Some(path);
        for step in &self.steps {
            writeln!(file, "{step}")?;
        }
        Ok(())
    }

    /// What is shown once.
    pub(super) fn take_messages(&self) -> String {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn permits(&self, what: impl Fn(&KeyOptions) -> bool) -> bool {
        self.options.as_ref().is_none_or(what)
    }

    pub(super) fn may_have_terminal(&self) -> bool {
        self.config.permit_tty && self.permits(|options| options.pty)
    }

    /// Not where the configuration forces a command: whoever may write the script would run what they like.
    /// A key's own `command=` does not count here, as in sshd.
    pub(super) fn may_run_rc(&self) -> bool {
        self.config.permit_user_rc
            && self.config.force_command.is_none()
            && self.permits(|options| options.user_rc)
    }

    pub(super) fn may_forward_agent(&self) -> bool {
        self.config.allow_agent_forwarding
            && !self.config.disable_forwarding
            && self.permits(|options| options.agent_forwarding)
    }

    pub(super) fn may_forward_x11(&self) -> bool {
        self.config.x11_forwarding
            && !self.config.disable_forwarding
            && self.permits(|options| options.x11_forwarding)
    }

    /// Whether a TCP connection may be opened to there for the client.
    pub(super) fn may_connect(&self, host: &str, port: u16) -> bool {
        self.may_forward_ports()
            && self.config.allow_tcp_forwarding.connects()
            && self.config.permit_open.allows_connect(host, port)
            && self.permits(|options| allows(&options.permit_open, |p| p.allows_connect(host, port)))
    }

    /// Whether TCP connections may be accepted there for the client.
    pub(super) fn may_listen(&self, host: &str, port: u16) -> bool {
        self.may_forward_ports()
            && self.config.allow_tcp_forwarding.listens()
            && self.config.permit_listen.allows_listen(host, port)
            && self.permits(|options| allows(&options.permit_listen, |p| p.allows_listen(host, port)))
    }

    /// Whether a unix socket may be connected to for the client. Where ports are restricted, sockets are too.
    pub(super) fn may_connect_to_socket(&self, path: &[u8]) -> bool {
        self.may_forward_ports()
            && self.config.allow_stream_local_forwarding.connects()
            && self.config.permit_open.allows_connect_to_socket(path)
            && self.permits(|options| allows(&options.permit_open, |p| p.allows_connect_to_socket(path)))
    }

    pub(super) fn may_listen_on_socket(&self) -> bool {
        self.may_forward_ports() && self.config.allow_stream_local_forwarding.listens()
    }

    fn may_forward_ports(&self) -> bool {
        !self.config.disable_forwarding && self.permits(|options| options.port_forwarding)
    }

    /// What runs whatever the client asks for. The configuration's counts before the key's.
    pub(super) fn forced_command(&self) -> Option<&str> {
        let of_key = self.options.as_ref().and_then(|options| options.command.as_deref());
        self.config.force_command.as_deref().or(of_key)
    }

    /// The variables of the key's options, last first, as far as they are permitted.
    pub(super) fn key_variables(&self) -> impl Iterator<Item = &(String, String)> {
        let variables = self.options.iter().flat_map(|options| options.environment.iter().rev());
        variables.filter(|(name, _)| self.config.permit_user_environment.permits(name))
    }

    pub(super) fn authentication_file(&self) -> Option<&Path> {
        self.steps_file.as_deref()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Some(path) = &self.steps_file {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn allows(places: &[HostPort], allowed: impl Fn(&HostPort) -> bool) -> bool {
    places.is_empty() || places.iter().any(allowed)
}
