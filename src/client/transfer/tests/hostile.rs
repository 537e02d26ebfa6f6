//! Names and links that lead elsewhere.

use std::{fs, os::unix::fs::symlink};

use super::{
    super::{
        super::sftp::tests::fake::{Asked, Fake, answer},
        TransferError, TransferOptions, download,
    },
    Place, Way, recursive, soon,
};

/// Packet types.
const CLOSE: u8 = 4;
const LSTAT: u8 = 7;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REALPATH: u8 = 16;
const STAT: u8 = 17;

/// A field.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// Serves one folder with entries of these names until the client leaves.
async fn serve(mut fake: Fake, names: &[&[u8]]) {
    let folder = [0, 0, 0, 4, 0, 0, 0o100, 0o355];
    let file = [0, 0, 0, 4, 0, 0, 0o201, 0o244];
    let mut listed = false;
    while let Some(Asked { kind, id, .. }) = fake.asked_or_end().await {
        let reply = match kind {
            STAT | LSTAT => answer(105, id, &folder),
            REALPATH => answer(104, id, &[&[0, 0, 0, 1][..], &string(b"/t"), &string(b""), &[0; 4]].concat()),
            OPENDIR => answer(102, id, &string(b"h")),
            READDIR if !listed => {
                listed = true;
                let entry = |name: &&[u8]| [string(name), string(b""), file.to_vec()].concat();
                let entries: Vec<u8> = names.iter().flat_map(entry).collect();
                answer(104, id, &[&(names.len() as u32).to_be_bytes()[..], &entries].concat())
            }
            READDIR => answer(101, id, &[0, 0, 0, 1]),
            CLOSE => answer(101, id, &[0, 0, 0, 0]),
            other => panic!("{other} was asked"),
        };
        fake.send(&reply).await;
    }
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let (sftp, fake) = Fake::start().await;
    let names: [&[u8]; 7] = [b".", b"..", b"", b"../x", b"/etc/x", b"a/b", b"a\0b"];
    let server = tokio::spawn(async move { serve(fake, &names).await });
    let dir = super::folder();
    let target = dir.path().join("t");
    let failed = soon(download(&sftp, &[b"/t".to_vec()], &target, recursive())).await.expect_err("hostile");
    assert_eq!(failed.errors_total, 5, "{failed}");
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
