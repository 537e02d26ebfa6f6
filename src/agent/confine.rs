//! What shuts an agent in: it reads what ssh and the network say, so it can do no more than it has to.
//!
//! It reads the system's configuration and its own files, writes in its own folders, and starts no programs. A key in
//! `~/.ssh` is not its to read.

use std::path::{Path, PathBuf};

use super::message::IdentityWords;
use crate::files::Paths;

/// What is read of the system: name service, certificates, time zones, accounts, network interfaces.
const SYSTEM: [&str; 17] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/var/lib/ca-certificates",
    "/proc",
    "/sys/class/net",
    "/sys/devices",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/connman",
    "/run/netconfig",
    "/run/nscd",
    "/mnt/wsl",
];

/// What an agent that is shut in may do.
#[derive(Debug, Default)]
pub struct Confined {
    /// What it can read and is not written to, with all below.
    readable: Vec<PathBuf>,
    /// Who it is to hosts, where that is not by its own files: it was read before.
    pub(super) identity: Option<IdentityWords>,
    /// What the system does not offer to shut it in.
    pub lacks: Vec<String>,
}

impl Confined {
    /// Whether it can read a file that a caller names.
    pub(super) fn may_read(&self, file: &Path) -> bool {
        let Ok(file) = file.canonicalize() else { return false };
        self.readable.iter().any(|folder| file.starts_with(folder))
    }
}

/// What is read: of the system, and of the user's own files where they are links to elsewhere. Of those the whole
/// folder, since who changes such a file puts another in its place; but not of a home directory.
fn read(paths: &Paths, identity: Option<&IdentityWords>, also: Option<&Path>) -> Vec<PathBuf> {
    let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
    let resolv_conf = Path::new("/etc/resolv.conf");
    let own = [paths.client_settings(), paths.aliases(), paths.identity()];
    let own: Vec<_> = own.into_iter().chain(identity.iter().flat_map(|identity| identity.files())).collect();
    let files = own.iter().map(PathBuf::as_path).chain(also).chain([resolv_conf]);
    let files = files.filter_map(|file| Some((file.is_symlink(), file.canonicalize().ok()?)));
    let with_folder = files.flat_map(|(is_link, file)| {
        let folder = file.parent().filter(|folder| is_link && Some(*folder) != home.as_deref());
        [folder.filter(|folder| folder.parent().is_some()).map(Path::to_owned), Some(file)]
    });
    let folders = SYSTEM.iter().map(PathBuf::from).chain(paths.folders().map(Path::to_owned));
    folders.filter_map(|folder| folder.canonicalize().ok()).chain(with_folder.flatten()).collect()
}

/// Shuts this thread in, and those that it starts from now on; for good. It can read one file more.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn confine(paths: &Paths, also: Option<&Path>) -> Confined {
    let lacks = vec!["this system has no Landlock and no seccomp".to_owned()];
    let identity = IdentityWords::of_this_process(paths);
    Confined { readable: read(paths, identity.as_ref(), also), identity, lacks }
}

#[cfg(target_os = "linux")]
pub use linux::confine;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        env::consts::ARCH,
        path::{Path, PathBuf},
    };

    use landlock::{
        ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError, RulesetStatus, path_beneath_rules,
    };
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

    use super::{Confined, IdentityWords, read};
    use crate::files::Paths;

    /// The rights to files that are known here; what the kernel does not know of them is left out.
    const KNOWN: ABI = ABI::V5;

    /// Devices that libraries open.
    const DEVICES: [&str; 3] = ["/dev/null", "/dev/urandom", "/dev/random"];

    /// What takes another program's place, or looks into others, or changes the system: none of it is needed.
    const FORBIDDEN: [i64; 30] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_clock_settime,
        libc::SYS_personality,
    ];

    /// Shuts this thread in, and those that it starts from now on; for good. It can read one file more.
    #[must_use]
    pub fn confine(paths: &Paths, also: Option<&Path>) -> Confined {
        let identity = IdentityWords::of_this_process(paths);
        let readable = read(paths, identity.as_ref(), also);
        let files = match files(paths, &readable) {
            Ok(RulesetStatus::NotEnforced) => Some("this kernel has no Landlock".to_owned()),
            Ok(_) => None,
            Err(error) => Some(format!("Landlock: {error}")),
        };
        let calls = calls().err().map(|error| format!("seccomp: {error}"));
        Confined { readable, identity, lacks: files.into_iter().chain(calls).collect() }
    }

    fn files(paths: &Paths, readable: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
        let all = AccessFs::from_all(KNOWN);
        let device = AccessFs::ReadFile | AccessFs::WriteFile;
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .create()?
            .add_rules(path_beneath_rules(readable, AccessFs::ReadFile | AccessFs::ReadDir))?
            .add_rules(path_beneath_rules(DEVICES, device))?
            .add_rules(path_beneath_rules(paths.folders(), all & !AccessFs::Execute))?
            .restrict_self()?;
        Ok(status.ruleset)
    }

    fn calls() -> Result<(), seccompiler::Error> {
        let rules = FORBIDDEN.into_iter().map(|call| (call, Vec::new())).collect();
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::try_from(ARCH)?)?;
        apply_filter(&BpfProgram::try_from(filter)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io, process::Command, thread};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn who_is_shut_in_reads_no_key_of_the_users_and_starts_no_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let (home, own) = (folder.path().join("key"), folder.path().join("irosh"));
        let named = folder.path().join("named.pem");
        [&home, &named].into_iter().for_each(|file| fs::write(file, "secret").expect("written"));
        let paths = Paths::under(&own);
        paths.folders().into_iter().for_each(|folder| fs::create_dir_all(folder).expect("a folder"));
        // The thread alone is shut in.
        let shut_in = thread::spawn(move || {
            let confined = confine(&paths, Some(&named));
            fs::write(own.join("file"), "own").expect("its own folder");
            fs::read("/etc/hosts").expect("the system's");
            fs::read(&named).expect("what was named");
            let denied = |done: io::Result<()>| {
                done.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
            };
            let key = denied(fs::read(&home).map(drop));
            let program = denied(Command::new("/bin/true").status().map(drop));
            assert!(
                confined.may_read(&named)
                    && confined.may_read(&own.join("file"))
                    && !confined.may_read(&home)
            );
            (confined.lacks, key, program)
        });
        let (lacks, key, program) = shut_in.join().expect("no panic");
        // A kernel may lack Landlock, or not have it on.
        assert_eq!((key || !lacks.is_empty(), program), (true, true), "{lacks:?}");
    }
}
