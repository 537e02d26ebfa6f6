//! Runs the program a lab was made for, and leaves no process behind.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::process::{self, Command};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};

use crate::lab::{namespace, sys};

/// How long the program may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(3);

/// The exit status of what was killed by this signal, as a shell has it.
const SIGNALLED: i32 = 128;

/// Takes this process's signals and orphans.
#[derive(Debug)]
pub(crate) struct Supervisor {
    signals: SignalFd,
}

impl Supervisor {
    /// To be called before there are threads, since a signal goes to any thread that takes it.
    ///
    /// # Errors
    ///
    /// If the system refuses, or the parent is gone already.
    pub(crate) fn new() -> io::Result<Self> {
        let parent = getppid();
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
            signals.add(signal);
        }
        signals.thread_block()?;
        prctl::set_child_subreaper(true)?;
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != parent {
            return Err(io::Error::other("the parent process has ended"));
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self { signals: SignalFd::with_flags(&signals, flags)? })
    }

    /// Runs the program to its end and gives its exit status. SIGINT, SIGTERM, SIGHUP and the
    /// parent's death end it early: it gets SIGTERM, and SIGKILL three seconds later. Then its
    /// descendants are killed, wherever they are.
    ///
    /// No other child process of this one may be waited for elsewhere.
    ///
    /// # Errors
    ///
    /// If the program cannot be started.
    pub(crate) fn run(&self, mut command: Command) -> io::Result<i32> {
        sys::release_signals_and_die_with_parent(&mut command);
        let child = Pid::from_raw(command.spawn()?.id().cast_signed());
        let status = self.wait(child);
        kill_descendants();
        status
    }

    fn wait(&self, child: Pid) -> io::Result<i32> {
        let mut deadline = None;
        loop {
            while let Some(signal) = self.signals.read_signal()? {
                if signal.ssi_signo != Signal::SIGCHLD as u32 {
                    // It fails if the program has just ended.
                    let _ = kill(child, Signal::SIGTERM);
                    deadline.get_or_insert_with(|| Instant::now() + GRACE);
                }
            }
            if let Some(status) = reap(child) {
                return Ok(status);
            }
            let left = deadline.map(|at: Instant| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(SIGNALLED + Signal::SIGKILL as i32);
            }
            let mut waited = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut waited, left.map(Into::into), None) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Takes leave of children that have ended. The status of this one, if it is among them.
fn reap(child: Pid) -> Option<i32> {
    let mut status = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => status = Some(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                status = Some(SIGNALLED + signal as i32);
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return status,
            Ok(_) => {}
        }
    }
}

/// Children that die leave their own children to this process, so none is missed.
fn kill_descendants() {
    let this = process::id();
    loop {
        for pid in namespace::processes().filter(|pid| parent_of(*pid) == Some(this)) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if waitpid(None, None).is_err() {
            return;
        }
    }
}

fn parent_of(pid: Pid) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it stands in brackets and may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}
