//! Programs of the machine that this command runs: systemctl and the like.

use std::{
    ffi::OsStr,
    future::Future,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::unistd::User;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// A service may take its time to stop: its sessions are given some seconds to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where root's programs are, which the PATH of `su` and of an ordinary user leaves out.
const FOLDERS_OF_ROOT: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program that is run to its end.
pub(super) struct Tool {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    input: String,
    user: Option<(u32, u32)>,
}

/// A program could not be run, or has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    /// It is not there, or not to be run.
    #[error("cannot run {0}: {1}")]
    CannotRun(String, io::Error),
    /// It does not come to an end.
    #[error("`{0}` does not end")]
    Endless(String),
    /// It says that it has failed.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// As it was called.
        command: String,
        /// The first line of what it said.
        said: String,
    },
}

impl ToolError {
    /// What it said, in the fewest words.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Failed { said, .. } => said.clone(),
            other => other.to_string(),
        }
    }
}

impl Tool {
    pub(super) fn new(name: &str) -> Self {
        let (arguments, environment, input) = (Vec::new(), Vec::new(), String::new());
        Self { name: name.to_owned(), arguments, environment, input, user: None }
    }

    pub(super) fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: &Path) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// What it reads on its stdin.
    pub(super) fn input(mut self, input: &str) -> Self {
        input.clone_into(&mut self.input);
        self
    }

    /// Has it run as this user, with no group but its own.
    pub(super) fn on_behalf_of(mut self, user: &User) -> Self {
        self.user = Some((user.uid.as_raw(), user.gid.as_raw()));
        self
    }

    /// Runs it; returns what it says on stdout.
    pub(super) fn run(&self) -> Result<String, ToolError> {
        let cannot_run = |error| ToolError::CannotRun(self.name.clone(), error);
        let output = wait(async { timeout(PATIENCE, self.output()).await }).map_err(cannot_run)?;
        let output = output.map_err(|_| ToolError::Endless(self.to_string()))?.map_err(cannot_run)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().map(str::trim).find(|line| !line.is_empty());
        let said = first.map_or_else(|| output.status.to_string(), str::to_owned);
        Err(ToolError::Failed { command: self.to_string(), said })
    }

    async fn output(&self) -> io::Result<std::process::Output> {
        let mut command = Command::from(command(&self.name));
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some((uid, gid)) = self.user {
            // Where this process is, that user may not be.
            command.uid(uid).gid(gid).current_dir("/");
        }
        // Its words are read here.
        command.env("LC_ALL", "C").stdin(Stdio::piped()).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may leave without reading all of it.
            let _ = stdin.write_all(self.input.as_bytes()).await;
        }
        child.wait_with_output().await
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = std::iter::once(&self.name).chain(&self.arguments);
        f.write_str(&words.map(String::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// The command that runs such a program.
pub(super) fn command(name: &str) -> std::process::Command {
    std::process::Command::new(find(name).unwrap_or_else(|| name.into()))
}

/// Where a program is.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let folders = folders.chain(FOLDERS_OF_ROOT.map(PathBuf::from));
    folders.map(|folder| folder.join(OsStr::new(name))).find(|program| program.is_file())
}

/// Waits for what is asynchronous in the library.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}
