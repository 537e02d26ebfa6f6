//! What PAM's modules change of the process that they run in, and how another process takes it over.
//!
//! In sshd the modules run in the process that later becomes the user's. Here they run in another one,
//! so the server takes over what they left there.

use std::{ffi::CStr, io};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::messages::Legacy;

impl Legacy {
    /// Makes this process, which must be root's still, what the PAM process of this number became:
    /// resource limits, nice value, umask, and on Linux the control group and the login uid of the audit
    /// system. The groups are left to the caller, who sets those of the user later.
    ///
    /// # Errors
    ///
    /// What the system says of the first that could not be taken over. Control group and login uid are
    /// not among them: they may be read-only in a container.
    pub fn adopt(&self, pid: Option<u32>) -> io::Result<()> {
        let limits = RESOURCES.iter().filter_map(|resource| {
            let resource = *resource;
            let (_, soft, hard) = self.limits.iter().find(|(number, ..)| *number == resource as u32)?;
            Some((resource, *soft, *hard))
        });
        for (resource, soft, hard) in limits {
            if getrlimit(resource)? != (soft, hard) {
                setrlimit(resource, soft, hard)?;
            }
        }
        if rustix::process::getpriority_process(None)? != self.nice {
            rustix::process::setpriority_process(None, self.nice)?;
        }
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(self.umask));
        #[cfg(target_os = "linux")]
        if let Some(pid) = pid {
            linux::adopt_login_uid(pid);
            linux::adopt_control_group(pid);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = pid;
        Ok(())
    }
}

/// Takes on the user's groups; where this process is not root's, it keeps its own, which it cannot change.
///
/// # Errors
///
/// What the system says, or that there is no such user: the groups are still those of root then, and
/// must not become the user's.
pub(super) fn enter_groups(user: &CStr) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let found = nix::unistd::User::from_name(&user.to_string_lossy())?;
    let found = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such user"))?;
    Ok(nix::unistd::initgroups(user, found.gid)?)
}

/// What this process is like now.
pub(super) fn of_this_process() -> io::Result<Legacy> {
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::umask(mask);
    let groups = nix::unistd::getgroups()?.into_iter().map(nix::unistd::Gid::as_raw).collect();
    let limits = RESOURCES
        .iter()
        .filter_map(|resource| {
            let (soft, hard) = getrlimit(*resource).ok()?;
            Some((*resource as u32, soft, hard))
        })
        .collect();
    Ok(Legacy {
        umask: mask.as_raw_mode(),
        nice: rustix::process::getpriority_process(None)?,
        groups,
        limits,
    })
}

/// The resources that pam_limits can limit.
const RESOURCES: &[Resource] = &[
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_CPU,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_NOFILE,
    Resource::RLIMIT_STACK,
    Resource::RLIMIT_MEMLOCK,
    Resource::RLIMIT_NPROC,
    Resource::RLIMIT_RSS,
    #[cfg(not(target_os = "freebsd"))]
    Resource::RLIMIT_AS,
    #[cfg(target_os = "linux")]
    Resource::RLIMIT_LOCKS,
    #[cfg(target_os = "linux")]
    Resource::RLIMIT_MSGQUEUE,
    #[cfg(target_os = "linux")]
    Resource::RLIMIT_NICE,
    #[cfg(target_os = "linux")]
    Resource::RLIMIT_RTPRIO,
    #[cfg(target_os = "linux")]
    Resource::RLIMIT_RTTIME,
    #[cfg(target_os = "linux")]
    Resource::RLIMIT_SIGPENDING,
];

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, io, path::Path};

    /// What a process has where nobody has logged in.
    const NO_LOGIN_UID: &str = "4294967295";

    /// pam_loginuid: in whose name the audit system sees what happens.
    pub(super) fn adopt_login_uid(pid: u32) {
        let Ok(uid) = fs::read_to_string(format!("/proc/{pid}/loginuid")) else { return };
        if uid.trim() != NO_LOGIN_UID
            && let Err(error) = fs::write("/proc/self/loginuid", uid)
        {
            tracing::debug!("login uid: {error}");
        }
    }

    /// pam_systemd: the control group of the session.
    pub(super) fn adopt_control_group(pid: u32) {
        if let Err(error) = enter_control_group(pid) {
            tracing::debug!("control group: {error}");
        }
    }

    fn enter_control_group(pid: u32) -> io::Result<()> {
        let theirs = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        // The line of version 2 (cgroups(7)).
        let unified = |text: &str| text.lines().find_map(|line| line.strip_prefix("0::/")).map(str::to_owned);
        match (unified(&theirs), unified(&own)) {
            (Some(theirs), own) if own.as_ref() != Some(&theirs) => {
                let list = Path::new("/sys/fs/cgroup").join(theirs).join("cgroup.procs");
                fs::write(list, std::process::id().to_string())
            }
            _ => Ok(()),
        }
    }
}
