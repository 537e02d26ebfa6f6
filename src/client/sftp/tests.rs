//! The client against real servers, and against one that follows a script.

pub(crate) mod fake;
mod nonsense;
mod operations;

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::{Child, Command};

use super::Sftp;

/// How long anything in a test may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A server process, killed on drop.
pub(crate) struct Server {
    pub(crate) sftp: Sftp,
    pub(crate) child: Child,
}

/// Each server there is: OpenSSH's, and ours, which is built with all tests.
pub(crate) fn servers() -> Vec<Vec<String>> {
    let mut servers = Vec::new();
    for path in
        ["/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server"]
    {
        if servers.is_empty() && Path::new(path).exists() {
            servers.push(vec![path.to_owned()]);
        }
    }
    assert!(!servers.is_empty(), "these tests need OpenSSH's sftp-server");
    let test = std::env::current_exe().expect("this test");
    let irosh = test.ancestors().nth(2).expect("the target folder").join("irosh");
    assert!(irosh.exists(), "{} is not built", irosh.display());
    servers.push(vec![irosh.display().to_string(), "sftp-server".to_owned()]);
    servers
}

pub(crate) fn command(server: &[String]) -> Command {
    let mut command = Command::new(&server[0]);
    command.args(&server[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

impl Server {
    pub(crate) async fn start(server: &[String]) -> Self {
        Self::spawn(&mut command(server)).await
    }

    pub(crate) async fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("a server");
        let (output, input) = (child.stdout.take().expect("a pipe"), child.stdin.take().expect("a pipe"));
        Self { sftp: Sftp::start(output, input).await.expect("a session"), child }
    }

    /// A server behind pipes that hold so few bytes that every read and write is a partial one.
    pub(crate) async fn behind_tiny_pipes(server: &[String], bytes: usize) -> Self {
        let mut child = command(server).spawn().expect("a server");
        let (mut output, mut input) =
            (child.stdout.take().expect("a pipe"), child.stdin.take().expect("a pipe"));
        let (ours, theirs) = tokio::io::duplex(bytes);
        let (mut from_us, mut to_us) = tokio::io::split(theirs);
        tokio::spawn(async move { tokio::io::copy(&mut from_us, &mut input).await });
        tokio::spawn(async move { tokio::io::copy(&mut output, &mut to_us).await });
        let (reader, writer) = tokio::io::split(ours);
        Self { sftp: Sftp::start(reader, writer).await.expect("a session"), child }
    }
}

/// Fails instead of waiting without end.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it does not hang")
}
