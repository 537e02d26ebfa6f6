//! Names and links that lead elsewhere.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use tokio::sync::watch;

use super::{
    super::{
        super::sftp::tests::fake::{Asked, Fake, answer},
        TransferError, TransferFailure, TransferOptions, TransferProgress, download,
    },
    Place, Server, Way, recursive, soon,
};
use crate::{sftp_packet::kind, ssh_wire::Writer};

/// A server that means ill: see `tests/programs/hostile_sftp.rs`, which `cargo test` builds.
async fn hostile(kind: &str, count: u64) -> Server {
    let test = std::env::current_exe().expect("this test");
    let program = test.ancestors().nth(2).expect("the target folder").join("examples/hostile_sftp");
    Server::start(&[program.display().to_string(), kind.to_owned(), count.to_string()]).await
}

/// What becomes of a copy from there.
async fn copied_from(server: &Server, dir: &Path) -> TransferFailure {
    soon(download(&server.sftp, &[b"/t".to_vec()], &dir.join("t"), recursive())).await.expect_err("hostile")
}

#[tokio::test]
async fn files_that_say_they_are_empty_and_have_no_end_are_an_error() {
    for (kind, count) in [("endless", 20), ("drops", 5)] {
        let (server, dir) = (hostile(kind, count).await, super::folder());
        let failed = copied_from(&server, dir.path()).await;
        assert_eq!(failed.errors_total, count, "{failed}");
        assert!(failed.errors.iter().all(|error| matches!(error, TransferError::Endless { .. })), "{failed}");
        assert_eq!(super::names(&dir.path().join("t")), [""; 0]);
    }
}

#[tokio::test]
async fn a_tree_without_a_bottom_is_an_error_of_its_branch() {
    let (server, dir) = (hostile("nested", u64::MAX).await, super::folder());
    let failed = copied_from(&server, dir.path()).await;
    assert!(matches!(failed.errors[..], [TransferError::TooDeep { .. }]), "{failed}");
    assert_eq!(failed.report.folders, 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_grows_faster_than_it_is_copied_is_an_error() {
    let (server, dir) = (hostile("wide", 20_000).await, super::folder());
    let failed = copied_from(&server, dir.path()).await;
    assert!(matches!(failed.errors[0], TransferError::TooManyFolders { .. }), "{failed}");
}

#[tokio::test]
async fn sizes_that_no_file_has_are_an_error() {
    let (server, dir) = (hostile("huge", 3).await, super::folder());
    let failed = copied_from(&server, dir.path()).await;
    assert_eq!(failed.errors_total, 3, "{failed}");
    assert!(failed.errors.iter().all(|error| matches!(error, TransferError::TooLarge { .. })), "{failed}");
    assert_eq!(super::names(&dir.path().join("t")), [""; 0]);
}

#[tokio::test]
async fn refusals_are_told_in_few_words() {
    let (server, dir) = (hostile("wordy", 10).await, super::folder());
    let failed = copied_from(&server, dir.path()).await;
    assert_eq!(failed.errors_total, 10);
    assert!(failed.errors.iter().all(|error| error.to_string().len() < 8 << 10), "{failed}");
}

#[tokio::test]
async fn more_matches_than_are_remembered_are_an_error() {
    let (server, dir) = (hostile("names", 150_000).await, super::folder());
    let sources = [b"/t/*".to_vec()];
    let failed = soon(download(&server.sftp, &sources, dir.path(), recursive())).await.expect_err("too many");
    assert!(matches!(failed.errors[..], [TransferError::TooManyMatches { .. }]), "{failed}");
}

#[tokio::test]
async fn a_short_file_that_changes_while_it_is_read_is_an_error() {
    let (server, dir) = (hostile("restless", 3).await, super::folder());
    let failed = copied_from(&server, dir.path()).await;
    assert_eq!(failed.errors_total, 3, "{failed}");
    let changed = |error: &TransferError| matches!(error, TransferError::SourceChanged { .. });
    assert!(failed.errors.iter().all(changed), "{failed}");
    assert_eq!(super::names(&dir.path().join("t")), [""; 0]);
}

/// Serves one folder with entries of these names until the client leaves.
async fn serve(mut fake: Fake, names: &[&[u8]]) {
    let folder = [0, 0, 0, 4, 0, 0, 0o100, 0o355];
    let file = [0, 0, 0, 4, 0, 0, 0o201, 0o244];
    let mut listed = false;
    while let Some(Asked { kind, id, .. }) = fake.asked_or_end().await {
        let reply = match kind {
            kind::STAT | kind::LSTAT => answer(kind::ATTRS, id, &folder),
            kind::REALPATH => {
                answer(kind::NAME, id, &Vec::new().uint32(1).string(b"/t").string(b"").uint32(0))
            }
            kind::OPENDIR => answer(kind::HANDLE, id, &Vec::new().string(b"h")),
            kind::READDIR if !listed => {
                listed = true;
                let count = Vec::new().uint32(names.len() as u32);
                let add = |entries: Vec<u8>, name: &&[u8]| entries.string(name).string(b"").bytes(&file);
                answer(kind::NAME, id, &names.iter().fold(count, add))
            }
            kind::READDIR => answer(kind::STATUS, id, &[0, 0, 0, 1]),
            kind::CLOSE => answer(kind::STATUS, id, &[0, 0, 0, 0]),
            other => panic!("{other} was asked"),
        };
        fake.send(&reply).await;
    }
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let (sftp, fake) = Fake::start().await;
    let names: [&[u8]; 8] = [b".", b"..", b"", b"../x", b"/etc/x", b"a/b", b"a\0b", &[b'n'; 5000]];
    let server = tokio::spawn(async move { serve(fake, &names).await });
    let dir = super::folder();
    let target = dir.path().join("t");
    let failed = soon(download(&sftp, &[b"/t".to_vec()], &target, recursive())).await.expect_err("hostile");
    assert_eq!(failed.errors_total, 6, "{failed}");
    assert!(failed.errors.iter().all(|error| matches!(error, TransferError::HostileName { .. })), "{failed}");
    assert_eq!(super::names(&target), [""; 0]);
    assert_eq!(super::names(dir.path()), ["t"]);
    drop(sftp);
    soon(server).await.expect("nothing else was asked");
}

#[tokio::test]
async fn a_planted_link_to_a_folder_is_not_followed() {
    for place in Place::each().await.into_iter().filter(|place| place.way == Way::Down) {
        place.write("tree/sub/file", "x");
        place.make("new/tree");
        place.make("victim");
        symlink(place.at("victim"), place.at("new/tree/sub")).expect("a link");
        let failed = place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect_err("a link");
        assert!(matches!(failed.errors[..], [TransferError::LinkInTheWay { .. }]), "{failed}");
        assert_eq!(super::names(&place.at("victim")), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_exchanged_for_a_link_gets_its_mode_where_it_is() {
    for place in Place::each().await.into_iter().filter(|place| place.way == Way::Down) {
        place.write("tree/sub/big", super::noise(64 << 20, 5));
        fs::set_permissions(place.at("tree/sub"), fs::Permissions::from_mode(0o751)).expect("a mode");
        let victim = place.make("victim");
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o700)).expect("a mode");
        let (progress, mut watched) = watch::channel(TransferProgress::default());
        let options = TransferOptions { preserve: true, progress: Some(progress), ..recursive() };
        let (source, target) = (place.at("tree"), place.at("new"));
        let exchange = async {
            soon(watched.wait_for(|progress| progress.bytes > 0)).await.expect("progress");
            fs::rename(target.join("sub"), target.join("moved")).expect("moved");
            symlink(&victim, target.join("sub")).expect("a link");
        };
        let (copied, ()) = tokio::join!(place.copy(&source, &target, &options), exchange);
        copied.expect("copied");
        assert_eq!((super::mode(&victim), super::mode(&target.join("moved"))), (0o700, 0o751));
        assert!(super::same(&source.join("sub"), &target.join("moved")));
    }
}

#[tokio::test]
async fn a_link_with_the_name_of_a_file_is_replaced() {
    for place in Place::each().await {
        let file = place.write("file", "new");
        let victim = place.write("victim", "old");
        place.make("folder");
        symlink(&victim, place.at("folder/file")).expect("a link");
        place.copy(&file, &place.at("folder"), &TransferOptions::default()).await.expect("copied");
        assert_eq!(fs::read(victim).expect("a file"), b"old");
        assert_eq!(fs::read(place.at("folder/file")).expect("a file"), b"new");
        assert!(!place.at("folder/file").is_symlink());
    }
}

#[tokio::test]
async fn a_link_with_the_name_of_a_part_is_not_followed() {
    for place in Place::each().await {
        for resume in [false, true] {
            let file = place.write("file", super::noise(3 << 20, 5));
            let victim = place.write("victim", vec![0; 2 << 20]);
            let part = super::trees::part_of(&place, "file", "new");
            symlink(&victim, place.at(&part)).expect("a link");
            let options = TransferOptions { resume, ..TransferOptions::default() };
            place.copy(&file, &place.at("new"), &options).await.expect("copied");
            assert!(fs::read(victim).expect("a file") == vec![0; 2 << 20]);
            assert!(super::same(&file, &place.at("new")));
            fs::remove_file(place.at("new")).expect("removed");
        }
    }
}
