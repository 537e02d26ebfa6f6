//! A session on a terminal is two processes, so that one of them can be stopped.
//!
//! The *front* is the one that the shell started. It has nothing to do but to be stopped by job control, and
//! to end as the other ends. The other, which it runs, has the terminal and the connection: while the front
//! is stopped (`~^Z`), it answers the host, which would otherwise hear nothing and give the session up. With
//! ssh, it is `irosh-proxy` that goes on.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitCode},
};

use rustix::process::{Pid, Signal, getppid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// Tells the process behind who its front is.
const FRONT: &str = "IROSH_FRONT";

/// The front of this process, if it has one.
pub(crate) fn front() -> Option<Pid> {
    let told = std::env::var(FRONT).ok()?.parse().ok();
    // A process further down inherits the variable, and has another parent.
    getppid().filter(|parent| told == Some(parent.as_raw_pid()))
}

/// Runs this program once more, behind this process, and returns what it exits with. Nothing where this is
/// the process behind.
///
/// # Errors
///
/// What the system says: no second process could be started.
pub(crate) fn stay_in_front() -> io::Result<Option<ExitCode>> {
    if front().is_some() {
        leave_with_the_front();
        return Ok(None);
    }
    let mut behind = Command::new(std::env::current_exe()?);
    behind.args(std::env::args_os().skip(1)).env(FRONT, std::process::id().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(behind)).map(Some)
}

async fn run(behind: Command) -> io::Result<ExitCode> {
    // What is typed reaches both processes; this one waits for how the other takes it.
    let _interrupt = signal(SignalKind::interrupt())?;
    let _quit = signal(SignalKind::quit())?;
    // What is sent to this one is meant for both.
    let mut ends = signal(SignalKind::terminate())?;
    let mut hangups = signal(SignalKind::hangup())?;
    let mut continues = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let mut behind = tokio::process::Command::from(behind).spawn()?;
    let pid = behind.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let hand_on = |signal| {
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    };
    loop {
        tokio::select! {
            status = behind.wait() => {
                let Ok(status) = status else { return Ok(ExitCode::from(255)) };
                let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(255);
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)));
            }
            _ = ends.recv() => hand_on(Signal::TERM),
            _ = hangups.recv() => hand_on(Signal::HUP),
            _ = continues.recv() => hand_on(Signal::CONT),
        }
    }
}

/// A front that is killed leaves nobody behind.
fn leave_with_the_front() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGHUP) {
        tracing::debug!(%error, "the front is not watched");
    }
}
