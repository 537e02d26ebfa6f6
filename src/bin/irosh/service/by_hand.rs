//! A host that runs though no service manager has it: in a container, or where somebody has started it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use irosh::{
    files::Paths,
    host::{Status, running},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long it may take to look at its settings and to be there again.
const TAKES: Duration = Duration::from_secs(30);

/// How often that is looked for.
const LOOKS: Duration = Duration::from_millis(50);

/// The host of these files that runs.
pub(super) fn host(paths: &Paths) -> Option<Status> {
    running(paths)?.status
}

/// Has it become the program that is on disk by now, with its sessions (SIGUSR2).
pub(super) fn restart(paths: &Paths) -> anyhow::Result<()> {
    let status = host(paths).context("no host runs here")?;
    let pid = i32::try_from(status.pid).context("a host without a process")?;
    refuse_another(paths, status.pid)?;
    let before = note(paths);
    kill(Pid::from_raw(pid), Signal::SIGUSR2).with_context(|| format!("cannot signal process {pid}"))?;
    let deadline = Instant::now() + TAKES;
    // It takes its note away, and writes another one when it is ready.
    while note(paths).is_none_or(|note| Some(note) == before) || host(paths).is_none() {
        ensure!(
            Instant::now() < deadline,
            "the host, process {pid}, goes on as it is: it could not be started anew\nits log says why"
        );
        thread::sleep(LOOKS);
    }
    Ok(())
}

/// It says itself which process it is: root believes no more than that it is one of the folder's owner.
fn refuse_another(paths: &Paths, pid: u32) -> anyhow::Result<()> {
    let process = Path::new("/proc").join(pid.to_string());
    let (Ok(process), Ok(folder)) = (fs::metadata(process), fs::symlink_metadata(paths.host_control()))
    else {
        bail!("process {pid} is none that can be seen from here, as in another container");
    };
    ensure!(process.uid() == folder.uid(), "process {pid} is not the host's user's");
    Ok(())
}

/// Which file the host's note is, and when it was written.
fn note(paths: &Paths) -> Option<(u64, i64, i64)> {
    let found = fs::symlink_metadata(paths.host_note()).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec()))
}
