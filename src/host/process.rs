//! The process behind a session: a child of this one, or one that an earlier host has started.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::process::Pid;
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use tokio::{io::unix::AsyncFd, process::Child};

/// A process that ends with its session.
pub(super) enum Process {
    /// A child of this process.
    Child(Child),
    /// One that this process has not started, though it may be its child all the same.
    Inherited(InheritedProcess),
}

/// A process, by a descriptor that stays its own when its number is another's.
pub(super) struct InheritedProcess {
    pid: Pid,
    ended: AsyncFd<OwnedFd>,
}

impl Process {
    /// Its number, while it cannot be another's.
    pub(super) fn pid(&self) -> Option<i32> {
        match self {
            Self::Child(child) => child.id().and_then(|pid| i32::try_from(pid).ok()),
            Self::Inherited(process) => (!process.has_ended()).then(|| process.pid.as_raw_nonzero().get()),
        }
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) {
        match self {
            Self::Child(child) => _ = child.wait().await,
            Self::Inherited(process) => process.wait().await,
        }
    }

    /// Ends it.
    pub(super) fn kill(&mut self) {
        match self {
            Self::Child(child) => _ = child.start_kill(),
            Self::Inherited(process) => kill(process.ended.get_ref()),
        }
    }
}

impl InheritedProcess {
    #[allow(unsafe_code, reason = "what a descriptor's owner has to keep to")]
    pub(super) fn new(pid: i32, descriptor: OwnedFd) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: the descriptor is this value's own, and is open and the same for as long as it lives.
        Ok(Self { pid, ended: unsafe { AsyncFd::register(descriptor) }? })
    }

    /// pidfd_open(2): it can be read from once the process has ended. Where it is this process's child, it keeps its
    /// number until it is waited for.
    fn has_ended(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut descriptors = [PollFd::new(self.ended.get_ref().as_fd(), PollFlags::POLLIN)];
        !matches!(poll(&mut descriptors, PollTimeout::ZERO), Ok(0))
    }

    async fn wait(&self) {
        let _ = self.ended.readable().await;
        reap(self.ended.get_ref());
    }
}

/// A descriptor of a child that was not waited for yet.
#[cfg(target_os = "linux")]
pub(super) fn descriptor_of(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

#[cfg(target_os = "linux")]
fn kill(process: &OwnedFd) {
    let _ = pidfd_send_signal(process, Signal::KILL);
}

/// Waits for a process that has ended, if it is this one's to wait for.
#[cfg(target_os = "linux")]
fn reap(process: &OwnedFd) {
    let _ = waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
}

// Where no process has a descriptor, none is inherited.

#[cfg(not(target_os = "linux"))]
pub(super) fn descriptor_of(_: i32) -> Option<OwnedFd> {
    None
}

#[cfg(not(target_os = "linux"))]
fn kill(_: &OwnedFd) {}

#[cfg(not(target_os = "linux"))]
fn reap(_: &OwnedFd) {}
