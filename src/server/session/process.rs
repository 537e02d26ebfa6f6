//! Processes of a session: a shell, a command, or a subsystem.

use std::{
    ffi::OsString,
    future::{Future, poll_fn},
    io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    pin::pin,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use russh::Sig;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::pty::Terminal;

/// What to run.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// What it sees as its own name; a login shell's begins with `-`.
    pub(super) name: OsString,
    pub(super) arguments: Vec<OsString>,
    /// All of its environment.
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) folder: PathBuf,
}

/// A running process, which leads a session and process group of its own.
pub(super) struct Process {
    child: Child,
    group: Group,
}

/// The process group of a process, for as long as that has not been waited for: then its number may be another's.
#[derive(Clone)]
pub(super) struct Group(Arc<Mutex<Option<Pid>>>);

/// The ends that this side holds of a process without a terminal. They are pipes as with sshd: a
/// process can open `/dev/stderr` anew, which it could not do with a socket.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Program {
    /// Runs it with pipes as stdin, stdout and stderr.
    pub(super) fn run(&self) -> io::Result<(Process, Pipes)> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        lead_a_session(&mut command, false);
        let mut process = Process::spawn(command)?;
        let child = &mut process.child;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((process, Pipes { stdin, stdout, stderr })),
            _ => Err(io::Error::other("the process has no pipes")),
        }
    }

    /// Runs it on a terminal, which becomes its controlling one.
    pub(super) fn run_on(&self, terminal: &mut Terminal) -> io::Result<Process> {
        let slave = terminal.take_slave()?;
        let mut command = self.command();
        command
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave));
        lead_a_session(&mut command, true);
        Process::spawn(command)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder);
        command
    }
}

/// The child becomes the leader of a session, with its stdin as the controlling terminal where that
/// is one, and with every signal at its default.
#[allow(unsafe_code, reason = "what runs between fork and exec is a few system calls and no allocation")]
fn lead_a_session(command: &mut Command, on_terminal: bool) {
    let prepare = move || {
        crate::signals::all_default();
        rustix::process::setsid()?;
        if on_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        Ok(())
    };
    // SAFETY: sigaction, setsid and ioctl are async-signal-safe.
    unsafe { command.pre_exec(prepare) };
}

impl Process {
    fn spawn(mut command: Command) -> io::Result<Self> {
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
        Ok(Self { child, group: Group(Arc::new(Mutex::new(Some(Pid::from_raw(pid))))) })
    }

    pub(super) fn group(&self) -> Group {
        self.group.clone()
    }

    pub(super) async fn wait(&mut self) -> io::Result<End> {
        let (group, mut waiting) = (&self.group, pin!(self.child.wait()));
        let ended = poll_fn(|cx| {
            // It is in this call that the number becomes free.
            let mut leader = group.leader();
            let ended = waiting.as_mut().poll(cx);
            if ended.is_ready() {
                *leader = None;
            }
            ended
        });
        ended.await.map(End::from)
    }
}

/// How a process ended (RFC 4254 section 6.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Status(u32),
    Signal { name: &'static str, core_dumped: bool },
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
        match (status.code(), signal.and_then(name_of)) {
            (Some(code), _) => Self::Status(code.unsigned_abs()),
            (None, Some(name)) => Self::Signal { name, core_dumped: status.core_dumped() },
            // sshd says 255 of what has no name.
            (None, None) => Self::Status(255),
        }
    }
}

/// The signals of RFC 4254 section 6.10.
const SIGNALS: [(Signal, &str); 13] = [
    (Signal::SIGABRT, "ABRT"),
    (Signal::SIGALRM, "ALRM"),
    (Signal::SIGFPE, "FPE"),
    (Signal::SIGHUP, "HUP"),
    (Signal::SIGILL, "ILL"),
    (Signal::SIGINT, "INT"),
    (Signal::SIGKILL, "KILL"),
    (Signal::SIGPIPE, "PIPE"),
    (Signal::SIGQUIT, "QUIT"),
    (Signal::SIGSEGV, "SEGV"),
    (Signal::SIGTERM, "TERM"),
    (Signal::SIGUSR1, "USR1"),
    (Signal::SIGUSR2, "USR2"),
];

fn name_of(signal: Signal) -> Option<&'static str> {
    SIGNALS.iter().find(|(known, _)| *known == signal).map(|(_, name)| *name)
}

impl Group {
    fn leader(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal that a client asked for, if its process is still there.
    pub(super) fn send(&self, signal: &Sig) {
        let name = sig_name(signal);
        let Some((signal, _)) = SIGNALS.iter().find(|(_, known)| *known == name) else {
            return tracing::debug!("unknown signal {name}");
        };
        if let Some(leader) = *self.leader()
            && let Err(error) = killpg(leader, *signal)
        {
            tracing::debug!("signal {name} to {leader}: {error}");
        }
    }
}

fn sig_name(signal: &Sig) -> &str {
    match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            path: "/bin/sh".into(),
            name: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("A".into(), "23".into())],
            folder: "/".into(),
        }
    }

    #[tokio::test]
    async fn stdout_and_stderr_are_apart_and_the_status_is_the_commands() {
        let (mut process, mut pipes) = shell("cat; echo $A >&2; exit 7").run().expect("runs");
        pipes.stdin.write_all(b"in").await.expect("written");
        drop(pipes.stdin);
        let (mut out, mut errors) = (String::new(), String::new());
        pipes.stdout.read_to_string(&mut out).await.expect("stdout");
        pipes.stderr.read_to_string(&mut errors).await.expect("stderr");
        assert_eq!((out.as_str(), errors.as_str()), ("in", "23\n"));
        assert_eq!(process.wait().await.expect("ended"), End::Status(7));
    }

    #[tokio::test]
    async fn a_signal_ends_a_process_by_its_name() {
        let (mut process, _pipes) = shell("sleep 100 & wait").run().expect("runs");
        process.group().send(&Sig::TERM);
        let end = process.wait().await.expect("ended");
        assert_eq!(end, End::Signal { name: "TERM", core_dumped: false });
    }

    #[tokio::test]
    async fn a_signal_reaches_nobody_once_the_process_was_waited_for() {
        let (mut process, mut pipes) = shell("sleep 100 & echo $!").run().expect("runs");
        let group = process.group();
        assert_eq!(process.wait().await.expect("ended"), End::Status(0));
        let mut left = [0; 16];
        let count = pipes.stdout.read(&mut left).await.expect("a number");
        let left = std::str::from_utf8(&left[..count]).expect("a number").trim();
        let left = Pid::from_raw(left.parse().expect("a number"));
        group.send(&Sig::KILL);
        // What the shell has left is in its group still. A signal would have come before this one.
        nix::sys::signal::kill(left, Signal::SIGSTOP).expect("it is there");
        let state = || {
            let text = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
            text.rsplit(") ").next().and_then(|rest| rest.chars().next())
        };
        let stopped = async {
            while state() != Some('T') {
                assert!(!matches!(state(), None | Some('Z')), "it was killed");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), stopped).await.expect("it stops");
        nix::sys::signal::kill(left, Signal::SIGKILL).expect("killed");
    }
}
