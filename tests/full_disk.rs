//! A disk that is full: ssh works, or whoever asked is told what is wrong; nothing waits for room.

mod harness;

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use harness::{
    DEADLINE, HostSetup, Line, Meeting, Mode, Route, Said, folder, login, poll, run, skip, subfolder, succeed,
};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

const BOTH: [Mode; 2] = [Mode::Agent, Mode::Fdpass];

/// What there is no more of on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Blocks,
    Files,
}

/// A small disk in place of a folder, with what was in it; for this thread, and what it starts.
struct Disk(PathBuf);

impl Disk {
    fn instead_of(folder: &Path) -> Option<Self> {
        if !geteuid().is_root() || unshare(CloneFlags::CLONE_NEWNS).is_err() {
            skip("no mount namespace");
            return None;
        }
        succeed(Command::new("mount").args(["--make-rprivate", "/"]));
        let before = folder.with_extension("before");
        succeed(Command::new("cp").arg("-a").arg(folder).arg(&before));
        let small = ["-t", "tmpfs", "-o", "size=256k,nr_inodes=100,mode=0700", "none"];
        succeed(Command::new("mount").args(small).arg(folder));
        succeed(Command::new("cp").arg("-a").arg(before.join(".")).arg(folder));
        Some(Self(folder.to_owned()))
    }

    fn fill(&self, what: Full) {
        let filled = match what {
            Full::Blocks => {
                let mut file = File::create(self.0.join("filler")).expect("a file");
                std::iter::repeat_with(|| file.write_all(&[0; 4096])).find_map(Result::err)
            }
            Full::Files => {
                let file = |number| File::create(self.0.join(format!("filler-{number}")));
                (0..).map(file).find_map(Result::err)
            }
        };
        assert_eq!(filled.map(|error| error.kind()), Some(std::io::ErrorKind::StorageFull));
    }

    /// Makes room again.
    fn empty(&self) {
        let entries = fs::read_dir(&self.0).expect("a folder").map(|entry| entry.expect("an entry").path());
        for path in entries.filter(|path| path.to_string_lossy().contains("filler")) {
            fs::remove_file(path).expect("removed");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn with_agent(mode: Mode) -> Line {
    let mut line = Line::new(Route::Tcp);
    line.client.use_mode(mode);
    line
}

fn says_hello(line: &Line) {
    let begun = Instant::now();
    let output = line.client.exec("echo hello");
    assert_eq!(output.stdout.said(), "hello\n", "{}", output.stderr.said());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn log(line: &Line) -> String {
    fs::read_to_string(line.client.home().join("agent.log")).unwrap_or_default()
}

#[test]
fn ssh_works_where_the_disk_was_full_before_the_agent() {
    for mode in BOTH {
        for full in [Full::Blocks, Full::Files] {
            let line = with_agent(mode);
            let Some(disk) = Disk::instead_of(line.client.home()) else { return };
            disk.fill(full);
            eprintln!("{mode:?}, no {full:?}");
            says_hello(&line);
            says_hello(&line);
            line.host().wait_ended(2);
        }
    }
}

#[test]
fn ssh_works_where_the_folder_for_the_socket_is_full() {
    for mode in BOTH {
        let line = with_agent(mode);
        let Some(disk) = Disk::instead_of(&subfolder(line.client.home(), "run")) else { return };
        disk.fill(Full::Files);
        says_hello(&line);
        assert!(line.client.agent().is_none(), "{mode:?}");
    }
}

#[test]
fn an_agent_whose_disk_has_become_full_serves_and_logs_again_once_there_is_room() {
    for mode in BOTH {
        let line = with_agent(mode);
        let Some(disk) = Disk::instead_of(line.client.home()) else { return };
        says_hello(&line);
        let agent = || line.client.agent().expect("an agent")["pid"].clone();
        let before = agent();
        disk.fill(Full::Blocks);
        disk.fill(Full::Files);
        says_hello(&line);
        let mut proxy = line.client.proxy("gone");
        let said = run(&mut proxy).stderr.said();
        assert!(said.contains("no host is called `gone`"), "{said}");
        assert_eq!(agent(), before);
        disk.empty();
        succeed(&mut line.client.irosh(&["agent", "stop"]));
        poll("its last words", DEADLINE, || log(&line).contains("the agent leaves").then_some(()));
    }
}

#[test]
fn ssh_is_told_that_keys_of_a_host_cannot_be_kept_for_it() {
    // Where the disk is full already, no agent is started.
    let all = [
        (Mode::Alone, false),
        (Mode::Agent, true),
        (Mode::Agent, false),
        (Mode::Fdpass, true),
        (Mode::Fdpass, false),
    ];
    for (mode, has_agent) in all {
        let line = with_agent(mode);
        let Some(disk) = Disk::instead_of(line.client.home()) else { return };
        let printed = succeed(&mut line.client.irosh(&["ssh-config", "print"]));
        let printed = match mode {
            Mode::Fdpass => printed
                .replace("irosh-proxy -- ", "irosh-proxy --fdpass -- ")
                .replace("ProxyUseFdpass no", "ProxyUseFdpass yes"),
            _ => printed,
        };
        let config = line.folder.path().join("printed");
        fs::write(&config, printed).expect("written");
        if has_agent {
            succeed(&mut line.client.irosh(&["agent", "start"]));
        }
        disk.fill(Full::Blocks);
        disk.fill(Full::Files);
        // Where a connection is there already, too.
        for _ in 0..2 {
            let mut ssh = line.client.command("ssh");
            ssh.arg("-F").arg(&config).args(["-o", "BatchMode=yes", "-l", &login(), "box", "true"]);
            let output = run(&mut ssh);
            let said = output.stderr.said();
            assert!(!output.status.success() && said.contains("Host key verification failed"), "{said}");
            assert!(
                said.contains("the host's keys, which cannot be kept: "),
                "{mode:?}, {has_agent}: {said}"
            );
        }
    }
}

#[test]
fn who_asks_a_host_whose_disk_is_full_is_told_so_and_nothing_is_lost() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti x";
    let folder = folder();
    let home = subfolder(folder.path(), "host");
    let Some(disk) = Disk::instead_of(&home) else { return };
    let host = HostSetup::new(&home, "tcp:127.0.0.1:1").start();
    host.allow(KEY);
    host.invite(&[]);
    let files = || {
        ["authorized_peers", "invites.toml"].map(|name| fs::read_to_string(home.join(name)).expect("read"))
    };
    let before = files();
    disk.fill(Full::Blocks);
    disk.fill(Full::Files);
    for arguments in [&["peers", "revoke", "x"][..], &["peers", "allow", KEY, "--name", "y"], &["invite"]] {
        let output = host.irosh(arguments);
        let said = output.stderr.said();
        assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(1), ""), "{said}");
        assert!(
            said.starts_with("irosh: ") && said.contains("No space left on device"),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(files(), before);
    // What needs no room is told all the same.
    assert!(host.irosh(&["ticket"]).status.success());
    disk.empty();
    assert!(host.irosh(&["peers", "revoke", "x"]).status.success());
}

#[test]
fn who_pairs_while_the_client_s_disk_is_full_is_told_what_to_do_and_loses_nothing() {
    let meeting = Meeting::new();
    let Some(disk) = Disk::instead_of(meeting.client.home()) else { return };
    let mut shown = meeting.pair(&[]);
    disk.fill(Full::Blocks);
    disk.fill(Full::Files);
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    let said = joined.stderr.said();
    assert_eq!(joined.status.code(), Some(1), "{said}");
    assert!(said.contains("the host lets this machine in, but gets no name here"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(shown.ends(DEADLINE), Some(0), "{}", shown.said());
    // What was said is enough, once there is room.
    disk.empty();
    let advice = said.lines().find_map(|line| line.split_once("run: irosh ")).expect("advice").1;
    succeed(&mut meeting.at_client(&advice.split(' ').collect::<Vec<_>>()));
    let output = run(meeting.ssh().args(["box", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn who_pairs_while_the_host_s_disk_is_full_is_told_so_on_both_sides() {
    let mut meeting = Meeting::without_a_host(|_| "tcp:127.0.0.1:1".to_owned());
    let home = subfolder(meeting.folder.path(), "host");
    let Some(disk) = Disk::instead_of(&home) else { return };
    meeting.start_host();
    let mut shown = meeting.pair(&[]);
    disk.fill(Full::Blocks);
    disk.fill(Full::Files);
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    let said = joined.stderr.said();
    assert_eq!(joined.status.code(), Some(1), "{said}");
    assert!(said.contains("the host says: it could not let you in: see what it says there"), "{said}");
    assert_eq!(shown.ends(DEADLINE), Some(1), "{}", shown.said());
    let said = shown.said();
    assert!(said.contains("irosh: nobody was let in") && said.contains("No space left on device"), "{said}");
    assert_eq!(run(&mut meeting.at_client(&["hosts", "list"])).stdout.said(), "");
}
