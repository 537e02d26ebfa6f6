//! A session that says what it hears.

use std::{
    io::{Read, Write},
    process::{ChildStderr, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use super::{client::Client, process::Running};

/// An ssh that runs `cat` at the host.
pub(crate) struct Echo {
    pub(crate) running: Running,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

impl Echo {
    /// One that has answered.
    pub(crate) fn start(client: &Client) -> Self {
        let mut ssh = client.ssh();
        ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(&mut ssh);
        let (stdin, stdout, stderr) = (running.stdin(), running.stdout(), running.stderr());
        let mut echo = Self { running, stdin, stdout, stderr };
        echo.answers();
        echo
    }

    #[track_caller]
    pub(crate) fn answers(&mut self) {
        self.stdin.write_all(b"x").expect("sent");
        self.stdout.read_exact(&mut [0]).expect("an answer");
    }

    /// Waits until ssh gives up; returns what it said.
    #[track_caller]
    pub(crate) fn ended(mut self, within: Duration) -> String {
        assert_eq!(self.running.wait(within).code(), Some(255));
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("stderr");
        said
    }
}
