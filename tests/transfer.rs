//! Files: scp, sftp, rsync, git, sshfs.

mod harness;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use harness::{
    DEADLINE, Line, Random, Route, Running, Said, feed, give, have, odd_tree, over, poll, run, same_tree,
    skip, subfolder, succeed,
};

fn write(path: &Path, seed: u64, length: usize) -> Vec<u8> {
    let bytes = Random::bytes(seed, length);
    fs::write(path, &bytes).expect("a file");
    bytes
}

#[test]
fn scp_both_ways() {
    over(&Route::ALL, |line| {
        let here = subfolder(line.folder.path(), "here");
        let there = subfolder(line.folder.path(), "there");
        let bytes = write(&here.join("up file"), 1, 3_000_001);
        succeed(line.client.scp().arg(here.join("up file")).arg(format!("box:{}/", there.display())));
        assert!(fs::read(there.join("up file")).expect("copied") == bytes);
        succeed(line.client.scp().arg(format!("box:{}/up file", there.display())).arg(here.join("down")));
        assert!(fs::read(here.join("down")).expect("copied") == bytes);
    });
}

#[test]
fn scp_with_the_old_protocol() {
    over(&Route::FEW, |line| {
        let here = subfolder(line.folder.path(), "here");
        let bytes = write(&here.join("up"), 2, 500_000);
        succeed(line.client.scp().arg("-O").arg(here.join("up")).arg(format!("box:{}/over", here.display())));
        assert!(fs::read(here.join("over")).expect("copied") == bytes);
    });
}

#[test]
fn scp_between_two_remotes_through_us() {
    over(&Route::FEW, |line| {
        let here = subfolder(line.folder.path(), "here");
        let bytes = write(&here.join("from"), 3, 2_000_000);
        let remote = |name: &str| format!("box:{}/{name}", here.display());
        succeed(line.client.scp().args(["-3", &remote("from"), &remote("to")]));
        assert!(fs::read(here.join("to")).expect("copied") == bytes);
    });
}

#[test]
fn sftp_batch() {
    over(&Route::ALL, |line| {
        let here = subfolder(line.folder.path(), "here");
        let bytes = write(&here.join("up"), 4, 1_500_000);
        let path = here.display();
        let batch = format!(
            "mkdir {path}/new\nput {path}/up {path}/new/one\nrename {path}/new/one {path}/new/two\nchmod 600 {path}/new/two\n\
             get {path}/new/two {path}/down\nls {path}/new\nrm {path}/new/two\nrmdir {path}/new\n"
        );
        let output = feed(line.client.sftp().args(["-b", "-", "box"]), batch.into_bytes());
        assert!(output.status.success(), "{}", output.stderr.said());
        assert!(fs::read(here.join("down")).expect("copied") == bytes);
        assert!(!here.join("new").exists());
    });
}

/// sshd and the built-in server, with this file server for a connection.
fn with_file_server(route: Route, command: &str) -> Line {
    let line = Line::new(route);
    let config = fs::read_to_string(line.server.config()).expect("sshd_config");
    fs::write(
        line.server.config(),
        format!("Subsystem sftp {command}\n{}", config.replace("Subsystem", "#")),
    )
    .expect("sshd_config");
    line
}

/// Where the server reads its configuration for each connection.
const FRESH: [Route; 2] = [Route::Exec, Route::Builtin];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn sftp_starts_and_creates_as_its_options_say() {
    for route in FRESH {
        let start = harness::folder();
        let there = subfolder(start.path(), &harness::login());
        let line = with_file_server(route, &format!("internal-sftp -u 002 -d {}/%u", start.path().display()));
        let file = line.folder.path().join("file");
        fs::write(&file, "x").expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).expect("a mode");
        let batch = format!("pwd\nmkdir new\nput {} new/file\n", file.display());
        let output = feed(line.client.sftp().args(["-b", "-", "box"]), batch.into_bytes());
        assert!(output.status.success(), "{}", output.stderr.said());
        let said = output.stdout.said();
        assert!(said.contains(&format!("Remote working directory: {}\n", there.display())), "{said}");
        assert_eq!((mode(&there.join("new")), mode(&there.join("new/file"))), (0o775, 0o775));
    }
}

#[test]
fn sftp_starts_at_home_where_it_cannot_start_where_it_should() {
    let user = nix::unistd::User::from_name(&harness::login()).expect("users").expect("this one");
    for route in FRESH {
        let line = with_file_server(route, "internal-sftp -d /no/such/folder");
        let output = feed(line.client.sftp().args(["-b", "-", "box"]), b"pwd\n".to_vec());
        let said = output.stdout.said();
        assert!(said.contains(&format!("Remote working directory: {}\n", user.dir.display())), "{said}");
    }
}

#[test]
fn what_sftp_did_is_in_the_log_of_the_host() {
    let line = with_file_server(Route::Builtin, "internal-sftp -l INFO");
    let there = line.folder.path().join("new");
    let batch = format!("mkdir {}\n", there.display());
    feed(line.client.sftp().args(["-b", "-", "box"]), batch.into_bytes());
    let log = &line.host().daemon.stderr;
    let made = format!("]: mkdir name {there:?} mode 0777");
    assert!(log.find(DEADLINE, |line| line.contains(&made).then_some(())).is_some(), "{:?}", log.all());
}

#[test]
fn sftp_server_lists_the_requests_of_openssh_s() {
    let theirs = Path::new("/usr/lib/openssh/sftp-server");
    if !theirs.exists() {
        return skip("OpenSSH's sftp-server is not here");
    }
    let list = |command: &mut Command| succeed(command.args(["-Q", "requests"]));
    let ours = list(Command::new(harness::IROSH).arg("sftp-server"));
    assert_eq!(ours, list(&mut Command::new(theirs)));
    let usage = run(Command::new(harness::IROSH).args(["sftp-server", "-h"]));
    assert!(usage.stderr.said().starts_with("usage: sftp-server ") && usage.status.code() == Some(1));
}

#[test]
fn rsync_a_tree_of_odd_names_and_delete() {
    if !have(&["rsync"]) {
        return;
    }
    over(&Route::ALL, |line| {
        let from = subfolder(line.folder.path(), "from");
        let to = subfolder(line.folder.path(), "to");
        odd_tree(&from, 2000);
        fs::write(to.join("not there any more"), "x").expect("a file");
        give(&to);
        let sync = || {
            let mut rsync = line.client.rsync();
            rsync.args(["-a", "--delete"]).arg(format!("{}/", from.display()));
            succeed(rsync.arg(format!("box:{}/", to.display())));
        };
        sync();
        assert!(same_tree(&from, &to));
        fs::remove_dir_all(from.join("folder 3")).expect("removed");
        fs::write(from.join("folder 0").join("-n"), "new").expect("a file");
        sync();
        assert!(same_tree(&from, &to));
    });
}

#[test]
fn rsync_back() {
    if !have(&["rsync"]) {
        return;
    }
    over(&Route::FEW, |line| {
        let from = subfolder(line.folder.path(), "from");
        let to = subfolder(line.folder.path(), "to");
        odd_tree(&from, 300);
        write(&from.join("large"), 5, 8_000_000);
        succeed(line.client.rsync().arg("-az").arg(format!("box:{}/", from.display())).arg(&to));
        assert!(same_tree(&from, &to));
    });
}

#[test]
fn git_clone_and_push() {
    if !have(&["git"]) {
        return;
    }
    over(&Route::ALL, |line| {
        let bare = line.folder.path().join("bare.git");
        let work = line.folder.path().join("work");
        succeed(line.client.git().args(["init", "-q", "--bare", "-b", "main"]).arg(&bare));
        give(&bare);
        let git = |arguments: &[&str]| succeed(line.client.git().arg("-C").arg(&work).args(arguments));
        succeed(line.client.git().args(["clone", "-q"]).arg(format!("box:{}", bare.display())).arg(&work));
        write(&work.join("large"), 6, 4_000_000);
        git(&["checkout", "-q", "-B", "main"]);
        git(&["add", "large"]);
        git(&["commit", "-q", "-m", "one"]);
        git(&["push", "-q", "origin", "main"]);
        let again = line.folder.path().join("again");
        succeed(line.client.git().args(["clone", "-q"]).arg(format!("box:{}", bare.display())).arg(&again));
        assert_eq!(fs::read(again.join("large")).ok(), fs::read(work.join("large")).ok());
    });
}

/// A mounted folder, unmounted when dropped.
struct Mount<'a>(&'a Path, Running);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(self.0).status();
    }
}

#[test]
fn sshfs_mounts_and_writes() {
    if !have(&["sshfs", "fusermount3"]) {
        return;
    }
    if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        return skip("FUSE does not work here");
    }
    over(&Route::FEW, |line| {
        let there = subfolder(line.folder.path(), "there");
        let here = subfolder(line.folder.path(), "here");
        let mut sshfs = line.client.command("sshfs");
        sshfs.arg("-f").arg("-F").arg(line.client.config()).arg(format!("box:{}", there.display()));
        let running = Running::start(sshfs.arg(&here).stdin(Stdio::null()));
        let mut mount = Mount(&here, running);
        let bytes = Random::bytes(7, 2_000_000);
        poll("the mount", DEADLINE, || {
            let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
            mounts.contains(&here.display().to_string()).then_some(())
        });
        fs::write(here.join("file"), &bytes).expect("written through the mount");
        assert!(fs::read(there.join("file")).expect("arrived") == bytes);
        assert!(fs::read(here.join("file")).expect("read through the mount") == bytes);
        succeed(Command::new("fusermount3").arg("-u").arg(&here));
        mount.1.wait(DEADLINE);
    });
}
