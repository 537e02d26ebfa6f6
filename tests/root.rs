//! What root's commands do where the files are another user's, a service's above all.

mod harness;

use std::{
    fs,
    io::Read,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use harness::{
    HostSetup, IROSH, IROSH_PROXY, Line, Route, Running, Said, feed, folder, have, new_key, number, run,
    skip, succeed,
};
use nix::unistd::{User, geteuid};

/// The service's user.
const SERVICE: &str = "nobody";

/// A system whose host is another user's service.
struct System {
    folder: tempfile::TempDir,
    uid: u32,
    gid: u32,
}

impl System {
    /// Where this is not root, there is none.
    fn new() -> Option<Self> {
        if !geteuid().is_root() {
            skip("not root");
            return None;
        }
        let user = User::from_name(SERVICE).expect("the list of users").expect("a user");
        let system = Self { folder: folder(), uid: user.uid.as_raw(), gid: user.gid.as_raw() };
        fs::set_permissions(system.folder.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
        for name in ["etc", "lib", "run"] {
            fs::create_dir(system.path(name)).expect("a folder");
        }
        new_key(&system.path("lib/host_key"));
        let seen = new_key(&system.path("lib/seen"));
        let kept =
            format!("[[server]]\nbackend = \"tcp:127.0.0.1:22\"\nbasis = \"kept\"\nseen = [\"{seen}\"]\n");
        fs::write(system.path("lib/ssh_host_keys.toml"), kept).expect("written");
        system.give(system.folder.path());
        chown(system.folder.path(), Some(0), Some(0)).expect("chown");
        Some(system)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn give(&self, path: &Path) {
        succeed(Command::new("chown").args(["-hR", &format!("{}:{}", self.uid, self.gid)]).arg(path));
    }

    /// `irosh --system`, with its folders here.
    fn irosh(&self, arguments: &[&str]) -> Command {
        let mut command = harness::program(IROSH, &self.path("none"));
        command.arg("--system").args(arguments);
        for (variable, name) in
            [("CONFIGURATION_DIRECTORY", "etc"), ("STATE_DIRECTORY", "lib"), ("RUNTIME_DIRECTORY", "run")]
        {
            command.env(variable, self.path(name));
        }
        command
    }

    /// What below this folder is root's.
    fn of_root(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let metadata = entry.metadata().expect("metadata");
                found.extend((metadata.uid() == 0).then(|| entry.path()));
                folders.extend(metadata.is_dir().then(|| entry.path()));
            }
        }
        found
    }

    /// As an ordinary user, where that one may run the program.
    fn as_stranger(&self, command: &mut Command) -> Option<Output> {
        command.uid(self.uid + 1).gid(self.gid + 1).stdin(Stdio::null());
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                skip("the program is not for others to run");
                None
            }
            output => Some(output.expect("run")),
        }
    }
}

/// Exchanges each of these names with that of a link, again and again, as a user who is not root. Where a
/// command has put a file in the link's place, there is a new link.
const RACER: &str = r#"
import ctypes, os, sys
exchange = ctypes.CDLL(None, use_errno=True).renameat2
uid, gid, *files = sys.argv[1:]
traps = [(file, file + ".trap", target) for file, target in zip(files[::2], files[1::2])]
names = [(file.encode(), trap.encode()) for file, trap, target in traps]
os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
print("ready", flush=True)
while True:
    for file, trap, target in traps:
        if not os.path.islink(file) and not os.path.islink(trap):
            try: os.symlink(target, trap + ".new")
            except FileExistsError: pass
            os.rename(trap + ".new", trap)
    for name, trap in names * 50:
        exchange(-100, name, -100, trap, 2)
"#;

/// Words of a file of root's that nobody else may read.
const SECRET: &str = "a-word-of-roots";

/// The files that a service has.
const FILES: [&str; 10] = [
    "etc/authorized_peers",
    "etc/authorized_peers.lock",
    "etc/password",
    "lib/host_key",
    "lib/host_key.lock",
    "lib/invites.toml",
    "lib/invites.toml.lock",
    "lib/ssh_host_keys.toml",
    "lib/ssh_host_keys.toml.lock",
    "run/host.json",
];

/// A file of root's, and links to it beside the files of a service.
struct Traps {
    outside: PathBuf,
    before: fs::Metadata,
    text: String,
}

impl Traps {
    fn set(system: &System) -> Self {
        let outside = system.path("outside");
        fs::create_dir(&outside).expect("a folder");
        // It would pass for a list of peers.
        let text = format!("{} {SECRET}\n", new_key(&system.path("other")));
        let target = outside.join("target");
        fs::write(&target, &text).expect("written");
        fs::set_permissions(&target, PermissionsExt::from_mode(0o600)).expect("a mode");
        for name in FILES {
            let path = system.path(name);
            if !path.exists() {
                fs::write(&path, "").expect("written");
            }
            symlink(Self::end(system, name), path.with_added_extension("trap")).expect("a link");
        }
        for folder in ["etc", "lib", "run"] {
            system.give(&system.path(folder));
        }
        let before = fs::metadata(&target).expect("metadata");
        Self { outside, before, text }
    }

    /// Where the link for this file leads.
    fn end(system: &System, name: &str) -> PathBuf {
        system.path(if name.ends_with("lock") { "outside/absent" } else { "outside/target" })
    }

    /// Nothing was read there, written or made.
    fn check(&self, system: &System) {
        let target = self.outside.join("target");
        let after = fs::metadata(&target).expect("metadata");
        let what = |found: &fs::Metadata| (found.ino(), found.uid(), found.mtime_nsec());
        assert_eq!(what(&after), what(&self.before), "the file outside was written");
        assert_eq!(fs::read_to_string(&target).expect("read"), self.text);
        assert_eq!(fs::read_dir(&self.outside).expect("read").count(), 1, "something was made outside");
        for folder in ["etc", "lib", "run"] {
            let mut grep = Command::new("grep");
            let found = run(grep.args(["-rlF", "--devices=skip", SECRET]).arg(system.path(folder)));
            assert_eq!(found.stdout.said(), "", "the secret is among the service's files");
        }
    }
}

/// Runs a command of root's while the service's user exchanges the files with links out of its folders: this
/// file alone, as fast as it can, and then all of them.
fn race(file: &str, arguments: &[&str], input: &str) {
    let Some(system) = System::new() else { return };
    if !have(&["python3"]) {
        return;
    }
    let irosh = |arguments: &[&str]| feed(&mut system.irosh(arguments), input.as_bytes().to_vec());
    for arguments in [&["peers", "allow", KEY, "--name", "someone"], &["invite"] as &[&str], arguments] {
        let output = irosh(arguments);
        assert!(output.status.success(), "{}", output.stderr.said());
    }
    let traps = Traps::set(&system);
    let half = Duration::from_millis(number("IROSH_TEST_RACE_SECONDS", 2) as u64 * 500);
    for files in [&[file] as &[&str], &FILES] {
        let mut racer = Command::new("python3");
        racer.args(["-c", RACER, &system.uid.to_string(), &system.gid.to_string()]);
        racer.args(files.iter().flat_map(|file| [system.path(file), Traps::end(&system, file)]));
        let mut racer = Running::start(racer.stdout(Stdio::piped()));
        let mut stdout = racer.stdout();
        stdout.read_exact(&mut [0; 6]).expect("it is ready");
        let end = Instant::now() + half;
        while Instant::now() < end {
            let output = irosh(arguments);
            let said = output.stdout.said() + &output.stderr.said();
            assert!(!said.contains(SECRET), "read outside of its folders: {said}");
        }
        assert!(racer.try_wait(Duration::ZERO).is_none(), "nobody was in the way");
        drop(racer);
        traps.check(&system);
    }
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti x";

#[test]
fn peers_allow_is_not_led_astray() {
    race("etc/authorized_peers", &["peers", "allow", KEY], "");
}

#[test]
fn peers_revoke_is_not_led_astray() {
    race("etc/authorized_peers", &["peers", "revoke", "someone"], "");
}

#[test]
fn peers_list_is_not_led_astray() {
    race("etc/authorized_peers", &["peers", "list"], "");
}

#[test]
fn invite_is_not_led_astray() {
    race("lib/invites.toml", &["invite"], "");
}

#[test]
fn invite_list_is_not_led_astray() {
    race("lib/invites.toml", &["invite", "list"], "");
}

#[test]
fn host_keys_list_is_not_led_astray() {
    race("lib/ssh_host_keys.toml", &["host-keys", "list"], "");
}

#[test]
fn host_keys_accept_is_not_led_astray() {
    race("lib/ssh_host_keys.toml", &["host-keys", "accept"], "");
}

#[test]
fn ticket_is_not_led_astray() {
    race("lib/host_key", &["ticket"], "");
}

#[test]
fn passwd_is_not_led_astray() {
    race("etc/password", &["passwd"], "correct horse\n");
}

#[test]
fn what_root_writes_among_a_services_files_is_the_services() {
    let Some(system) = System::new() else { return };
    for arguments in [&["peers", "allow", KEY] as &[&str], &["invite"], &["ticket"], &["peers", "list"]] {
        succeed(&mut system.irosh(arguments));
    }
    assert!(system.path("etc/authorized_peers").exists() && system.path("lib/invites.toml").exists());
    for folder in ["etc", "lib", "run"] {
        assert_eq!(system.of_root(folder), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_list_in_a_folder_of_roots_is_still_changed_where_the_rest_is_a_services() {
    let Some(system) = System::new() else { return };
    chown(system.path("etc"), Some(0), Some(0)).expect("chown");
    succeed(&mut system.irosh(&["peers", "allow", KEY]));
    let output = run(&mut system.irosh(&["invite"]));
    let said = output.stderr.said();
    assert!(!output.status.success() && said.contains("belongs to nobody"), "{said}");
    assert!(said.contains("run this as nobody"), "{said}");
    assert_eq!(system.of_root("lib"), [] as [PathBuf; 0]);
}

#[test]
fn a_host_that_root_runs_does_not_trust_anothers_folders() {
    let Some(system) = System::new() else { return };
    let home = system.path("host");
    let setup = HostSetup::new(&home, "exec:true");
    system.give(&home);
    let said = setup.fail().stderr.said();
    assert!(said.contains("belongs to nobody") && said.contains("chown root"), "{said}");
    assert_eq!(fs::read_dir(&home).expect("read").count(), 0);
}

#[test]
fn who_may_not_work_on_the_systems_host_is_told_once_to_use_sudo() {
    let Some(system) = System::new() else { return };
    fs::set_permissions(system.path("lib"), PermissionsExt::from_mode(0o700)).expect("a mode");
    for arguments in [&["invite"] as &[&str], &["ticket"], &["peers", "allow", KEY]] {
        let Some(output) = system.as_stranger(&mut system.irosh(arguments)) else { return };
        let said = output.stderr.said();
        assert!(!output.status.success() && said.contains("with sudo"), "{said}");
        assert!(!said.contains("not running") && said.lines().count() == 2, "{said}");
    }
}

#[test]
fn no_identity_is_made_for_a_system_without_a_host() {
    let Some(system) = System::new() else { return };
    fs::remove_file(system.path("lib/host_key")).expect("removed");
    let output = run(&mut system.irosh(&["invite"]));
    assert!(!output.status.success(), "{}", output.stdout.said());
    assert!(!system.path("lib/host_key").exists());
    fs::remove_dir_all(system.path("lib")).expect("removed");
    let output = run(&mut system.irosh(&["invite"]));
    let said = output.stderr.said();
    assert!(!output.status.success() && said.contains("no host of its own"), "{said}");
    assert!(!system.path("lib").exists());
}

/// A program that root runs with the home and the runtime folder of somebody else, as with `sudo -E`.
fn with_anothers_environment(system: &System, program: &str) -> Command {
    let mut command = harness::program(program, &system.path("home"));
    command.env_remove("IROSH_HOME").env_remove("XDG_CONFIG_HOME").env("XDG_RUNTIME_DIR", system.path("run"));
    command
}

#[test]
fn root_leaves_nothing_of_its_own_in_a_users_folders() {
    let Some(system) = System::new() else { return };
    let line = Line::new(Route::Exec);
    fs::create_dir(system.path("home")).expect("a home");
    system.give(&system.path("home"));
    let irosh = |arguments: &[&str]| succeed(with_anothers_environment(&system, IROSH).args(arguments));
    irosh(&["hosts", "add", "box", &line.host().invite(&[])]);
    irosh(&["ssh-config", "install"]);
    irosh(&["invite"]);
    let keys = succeed(with_anothers_environment(&system, IROSH_PROXY).args(["--known-hosts", "box"]));
    assert!(keys.starts_with("box"), "{keys}");
    for folder in ["home", "run"] {
        assert_eq!(system.of_root(folder), [] as [PathBuf; 0]);
    }
    for file in ["identity", "announced_keys"] {
        assert!(system.path("home/.config/irosh").join(file).exists(), "{file}");
    }
}

#[test]
fn host_keys_are_found_whatever_the_runtime_folder_is() {
    let line = Line::new(Route::Exec);
    let system = System::new();
    let foreign = system.iter().map(|system| system.path("run"));
    for runtime in foreign.chain([line.folder.path().join("missing")]) {
        let home = folder();
        let config = harness::subfolder(home.path(), ".config/irosh");
        for file in ["identity", "hosts.toml"] {
            fs::copy(line.client.home().join(file), config.join(file)).expect("copied");
        }
        // A file where the folder for what is kept would be, as good as a home that is read-only.
        fs::write(home.path().join(".cache"), "").expect("written");
        let mut proxy = harness::program(IROSH_PROXY, home.path());
        proxy.env_remove("IROSH_HOME").env_remove("XDG_CONFIG_HOME").env("XDG_RUNTIME_DIR", &runtime);
        let output = run(proxy.args(["--known-hosts", "box"]));
        assert!(output.status.success(), "{}", output.stderr.said());
        assert!(output.stdout.said().starts_with("box"), "{}", output.stdout.said());
    }
}
