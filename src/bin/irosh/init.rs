//! Process 1, which a program is that a container runs: whatever loses its parent there becomes its child, and
//! stays a zombie until it is waited for.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::Context;
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal};

/// What is passed on. The kernel drops any other signal for process 1.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2];

/// Runs this command line once more as a child, waits for all that ends, and ends as the child does.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut children = signal(SignalKind::child()).context("signals")?;
        let (passing, mut passed) = tokio::sync::mpsc::unbounded_channel();
        for wanted in PASSED_ON {
            let mut stream = signal(SignalKind::from_raw(wanted as i32)).context("signals")?;
            let passing = passing.clone();
            tokio::spawn(
                async move { while stream.recv().await.is_some() && passing.send(wanted).is_ok() {} },
            );
        }
        let host = start()?;
        loop {
            tokio::select! {
                _ = children.recv() => {
                    if let Some(code) = reap(host) {
                        return Ok(code);
                    }
                }
                Some(signal) = passed.recv() => drop(kill(host, signal)),
            }
        }
    })
}

/// In a process group of its own: what a terminal sends comes through here, once.
fn start() -> anyhow::Result<Pid> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| OsString::from("irosh"));
    let child = Command::new(program).arg0(name).args(words).process_group(0).spawn();
    let child = child.context("cannot start this program as a child")?;
    Ok(Pid::from_raw(i32::try_from(child.id()).context("the child has no number")?))
}

/// Waits for whatever has ended; how this one did, if it has.
fn reap(host: Pid) -> Option<ExitCode> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == host => {
                return Some(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            // As a shell says it.
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == host => {
                return Some(ExitCode::from(128 + signal as u8));
            }
            Ok(WaitStatus::StillAlive) => return None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}
