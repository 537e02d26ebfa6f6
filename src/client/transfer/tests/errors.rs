//! Errors that a person can act on.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use super::{
    super::{RemoteSha256, Sha256Future, Side, TransferError, TransferOptions},
    Place, Server, Way, names, noise, recursive, same, servers,
};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn one_bad_file_does_not_stop_the_others() {
    for place in Place::each().await {
        for number in 0..50 {
            place.write(format!("tree/{number}"), number.to_string());
        }
        place.make("new/tree/7");
        let failed =
            place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect_err("one failed");
        assert!(matches!(failed.errors[..], [TransferError::IsDirectory { .. }]), "{failed}");
        assert_eq!((failed.report.files, names(&place.at("new/tree")).len()), (49, 50));
    }
}

#[tokio::test]
async fn unreadable_files_are_named() {
    // To root everything is readable: the server is someone else then.
    if !is_root() {
        return;
    }
    for server in servers().into_iter().take(1) {
        let dir = super::folder();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut command = super::super::super::sftp::tests::command(&server);
        command.uid(65_534).gid(65_534);
        let place = Place { dir, server: Server::spawn(&mut command).await, way: Way::Down };
        let secret = place.write("tree/secret", "x");
        place.write("tree/open", "y");
        place.make("tree/closed");
        for path in [&secret, &place.at("tree/closed")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        let failed =
            place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect_err("secrets");
        assert_eq!(failed.errors_total, 2, "{failed}");
        let denied = |error| matches!(error, &TransferError::PermissionDenied { side: Side::Remote, .. });
        assert!(failed.errors.iter().all(denied), "{failed}");
        assert_eq!(fs::read(place.at("new/open")).expect("a file"), b"y");
        // And it may not write here.
        let up = Place { way: Way::Up, ..place };
        let failed =
            up.copy(&up.at("tree/open"), &up.at("mine"), &recursive()).await.expect_err("not writable");
        assert!(
            matches!(failed.errors[..], [TransferError::PermissionDenied { side: Side::Remote, .. }]),
            "{failed}"
        );
    }
}

/// Says to a test that it runs where it may mount.
const MOUNTS: &str = "TEST_MOUNTS";

/// A small file system, which goes with the mount namespace.
fn small_file_system() -> tempfile::TempDir {
    let dir = super::folder();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(dir.path()).status();
    assert!(mounted.expect("mount").success());
    dir
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    // Mounting is for root, and nobody else is to see it.
    if !is_root()
        || !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success())
    {
        return;
    }
    let tests = std::env::current_exe().expect("the tests");
    let mut inner = Command::new("unshare");
    inner.arg("-m").arg(tests).args(["on_a_small_disk", "--nocapture"]).env(MOUNTS, "1");
    let output = inner.output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn on_a_small_disk() {
    if std::env::var_os(MOUNTS).is_none() {
        return;
    }
    for place in Place::each().await {
        let small = small_file_system();
        let side = if place.way == Way::Up { Side::Remote } else { Side::Local };
        let big = place.write("big", noise(8 << 20, 3));
        let at = small.path();
        let plain = TransferOptions::default();
        let failed = place.copy(&big, at, &plain).await.expect_err("full");
        assert!(
            matches!(failed.errors[..], [TransferError::DiskFull { side: full, .. }] if full == side),
            "{failed}"
        );
        assert_eq!(names(at), [""; 0]);
        // What arrived can be gone on with.
        let resume = TransferOptions { resume: true, ..plain };
        place.copy(&big, at, &resume).await.expect_err("full");
        let arrived = fs::metadata(at.join(&names(at)[0])).expect("a part").len();
        assert!(arrived > 1 << 20, "{arrived}");
        let bigger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(at).status().expect("mount");
        assert!(bigger.success());
        let report = place.copy(&big, at, &resume).await.expect("copied");
        assert_eq!(report.bytes, (8 << 20) - arrived + (1 << 20));
        assert!(same(&big, &at.join("big")));
        assert!(Command::new("umount").arg(at).status().expect("umount").success());
    }
}

/// A program on the other machine that errs.
struct Wrong;

impl RemoteSha256 for Wrong {
    fn sha256<'a>(&'a self, paths: &'a [Vec<u8>]) -> Sha256Future<'a> {
        Box::pin(async { paths.iter().map(|_| Some([7; 32])).collect() })
    }
}

/// One that has no answer.
struct Silent;

impl RemoteSha256 for Silent {
    fn sha256<'a>(&'a self, _: &'a [Vec<u8>]) -> Sha256Future<'a> {
        Box::pin(async { Vec::new() })
    }
}

#[tokio::test]
async fn what_differs_does_not_take_the_name() {
    for place in Place::each().await {
        place.write("tree/big", noise(3 << 20, 3));
        place.write("tree/small", "small");
        let checksum = TransferOptions { checksum: true, ..recursive() };
        let wrong = TransferOptions { remote_sha256: Some(std::sync::Arc::new(Wrong)), ..checksum.clone() };
        let failed = place.copy(&place.at("tree"), &place.at("new"), &wrong).await.expect_err("differs");
        assert!(matches!(failed.errors[..], [TransferError::Checksum { .. }]), "{failed}");
        // The small one is read back.
        assert_eq!(names(&place.at("new")), ["small"]);
        let silent = TransferOptions { remote_sha256: Some(std::sync::Arc::new(Silent)), ..checksum.clone() };
        let report = place.copy(&place.at("tree/big"), &place.at("new"), &silent).await.expect("copied");
        assert_eq!(report.files, 1);
        // And what is there already is not sent again.
        let report = place.copy(&place.at("tree/."), &place.at("new"), &checksum).await.expect("copied");
        assert_eq!((report.files, report.files_unchanged, report.bytes), (0, 2, 0));
        place.write("new/small", "SMALL");
        let report = place.copy(&place.at("tree/."), &place.at("new"), &checksum).await.expect("copied");
        assert_eq!((report.files, report.files_unchanged, report.bytes), (1, 1, 5));
        assert!(same(&place.at("tree"), &place.at("new")));
    }
}
