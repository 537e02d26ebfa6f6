//! An ssh that holds a connection for others.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{DEADLINE, Line, Running, poll};

/// A master connection in the background, ended when dropped.
pub(crate) struct Master<'a> {
    line: &'a Line,
    running: Running,
}

impl<'a> Master<'a> {
    pub(crate) fn start(line: &'a Line, options: &[&str]) -> Self {
        let mut ssh = line.client.ssh();
        ssh.arg("-S").arg(Self::socket(line)).args(["-M", "-N"]).args(options).arg("box");
        let running = Running::start(ssh.stdin(Stdio::null()));
        poll("a master's socket", DEADLINE, || Self::socket(line).exists().then_some(()));
        Self { line, running }
    }

    /// Where the master of a line listens.
    pub(crate) fn socket(line: &Line) -> PathBuf {
        line.folder.path().join("m")
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    /// A command that goes over the master.
    pub(crate) fn ssh(&self) -> Command {
        let mut ssh = self.line.client.ssh();
        ssh.arg("-S").arg(Self::socket(self.line)).args(["-o", "ProxyCommand=false"]);
        ssh
    }
}
