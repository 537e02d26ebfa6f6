//! A name is taken by a whole file or not at all.

use std::{fs, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        super::sftp::tests::fake::{Asked, Fake, answer},
        TransferError, TransferOptions, TransferProgress,
        part::{Mode, RemotePart},
        removals::Removals,
        umask::Umask,
    },
    Place, Server, WAYS, Way, folder, names, noise, recursive, same, servers, soon,
};

/// Packet types.
const OPEN: u8 = 3;
const REMOVE: u8 = 13;
const RENAME: u8 = 18;

#[tokio::test]
async fn a_folder_of_that_name_is_an_error_before_anything_is_sent() {
    for place in Place::each().await {
        let file = place.write("file", noise(3 << 20, 1));
        place.make("folder/file");
        let failed =
            place.copy(&file, &place.at("folder"), &TransferOptions::default()).await.expect_err("a folder");
        assert!(matches!(failed.errors[..], [TransferError::IsDirectory { .. }]), "{failed}");
        assert_eq!(failed.report.bytes, 0);
        assert_eq!(names(&place.at("folder")), ["file"]);
    }
}

#[tokio::test]
async fn a_cancelled_transfer_leaves_nothing() {
    for place in Place::each().await {
        place.write("tree/big", noise(64 << 20, 1));
        place.write("new/tree/big", "old");
        let (progress, mut watched) = watch::channel(TransferProgress::default());
        let cancel = CancellationToken::new();
        let options = TransferOptions { progress: Some(progress), cancel: cancel.clone(), ..recursive() };
        let (source, target) = (place.at("tree"), place.at("new"));
        let copy = place.copy(&source, &target, &options);
        let stop = async {
            soon(watched.wait_for(|progress| progress.bytes > 1 << 20)).await.expect("progress");
            cancel.cancel();
        };
        let (failed, ()) = tokio::join!(copy, stop);
        let failed = failed.expect_err("cancelled");
        assert!(matches!(failed.errors[..], [TransferError::Cancelled]), "{failed}");
        assert_eq!(names(&place.at("new/tree")), ["big"]);
        assert_eq!(fs::read(place.at("new/tree/big")).expect("a file"), b"old");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_transfer_of_many_files_leaves_no_part_and_goes_on_with_nothing() {
    for place in Place::each().await {
        let content = noise(20_000, 1);
        for number in 0..3000 {
            place.write(format!("tree/{number}"), &content);
        }
        let (progress, mut watched) = watch::channel(TransferProgress::default());
        let cancel = CancellationToken::new();
        let options = TransferOptions { progress: Some(progress), cancel: cancel.clone(), ..recursive() };
        let (source, target) = (place.at("tree"), place.at("new"));
        let stop = async {
            soon(watched.wait_for(|progress| progress.files_done > 100)).await.expect("progress");
            cancel.cancel();
        };
        let (failed, ()) = tokio::join!(place.copy(&source, &target, &options), stop);
        let (left, failed) = (names(&target), failed.expect_err("cancelled"));
        assert!(matches!(failed.errors[..], [TransferError::Cancelled]), "{failed}");
        let parts = left.iter().filter(|name| name.ends_with("-part")).count();
        assert_eq!(parts, 0, "{:?}: {} files", place.way, left.len());
        // Here, what took its name is counted, whenever it did.
        let whole = left.len() as u64;
        assert!(place.way == Way::Up || whole == failed.report.files, "{whole} {:?}", failed.report);
    }
}

#[tokio::test]
async fn a_dropped_transfer_leaves_nothing() {
    for place in Place::each().await {
        let file = place.write("big", noise(64 << 20, 1));
        let folder = place.make("new");
        let (progress, mut watched) = watch::channel(TransferProgress::default());
        let options = TransferOptions { progress: Some(progress), ..TransferOptions::default() };
        tokio::select! {
            biased;
            _ = watched.wait_for(|progress| progress.bytes > 1 << 20) => {}
            _ = place.copy(&file, &folder, &options) => panic!("it is not that fast"),
        }
        // Its part is removed after what was asked for before.
        soon(async {
            while !names(&folder).is_empty() {
                place.server.sftp.stat("/").await.expect("the session goes on");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_source_that_changes_is_an_error() {
    for place in Place::each().await {
        let file = place.write("big", noise(32 << 20, 1));
        let folder = place.make("new");
        let (progress, mut watched) = watch::channel(TransferProgress::default());
        let options = TransferOptions { progress: Some(progress), ..TransferOptions::default() };
        let shrink = async {
            soon(watched.wait_for(|progress| progress.bytes > 0)).await.expect("progress");
            fs::File::options()
                .write(true)
                .open(&file)
                .expect("a file")
                .set_len((32 << 20) - 5)
                .expect("shorter");
        };
        let (failed, ()) = tokio::join!(place.copy(&file, &folder, &options), shrink);
        let failed = failed.expect_err("changed");
        assert!(matches!(failed.errors[..], [TransferError::SourceChanged { .. }]), "{failed}");
        assert_eq!(names(&folder), [""; 0]);
    }
}

#[tokio::test]
async fn servers_without_extensions_do() {
    for server in servers() {
        let denied = "posix-rename,statvfs,fstatvfs,limits,expand-path,home-directory,lsetstat,fsync";
        let server = [server, vec!["-P".to_owned(), denied.to_owned()]].concat();
        for way in WAYS {
            let place = Place { dir: folder(), server: Server::start(&server).await, way };
            assert_eq!(place.server.sftp.extension("posix-rename@openssh.com"), None);
            place.write("tree/big", noise(3 << 20, 8));
            place.write("tree/small", "small");
            for _ in 0..2 {
                place.copy(&place.at("tree/."), &place.make("new"), &recursive()).await.expect("copied");
                assert!(same(&place.at("tree"), &place.at("new")));
            }
        }
        let home = Server::start(&server).await.sftp.expand_tilde("~/x").await.expect("a path");
        assert!(home.ends_with(b"/x"));
    }
}

#[tokio::test]
async fn a_name_that_could_not_be_replaced_keeps_what_it_had() {
    let (sftp, mut fake) = Fake::start().await;
    let removals = Removals::new(&sftp);
    let umask = Umask::default();
    let path: Arc<[u8]> = b"/f/part"[..].into();
    let making = tokio::spawn(async move {
        let made = RemotePart::create(&sftp, &removals, path, Mode::Exactly(0o644), &umask).await;
        let (part, file, _) = made.expect("a part");
        drop(file);
        part.rename(b"/f/name", true, None).await.map_err(|error| error.about(b"/f/name"))
    });
    // What is asked, and whether it is done: the new name is refused, and the old one is given back.
    let script = [("/f/part", false), ("/f/name", true), ("/f/part", false), ("/f/.name", true)];
    let mut script = script.iter();
    while let Some(Asked { kind, id, body }) = fake.asked_or_end().await {
        let reply = match kind {
            OPEN => answer(102, id, &[0, 0, 0, 1, b'h']),
            RENAME => {
                let (from, done) = script.next().expect("no more is renamed");
                assert!(body[4..].starts_with(from.as_bytes()), "{:?}", String::from_utf8_lossy(&body));
                answer(101, id, &[0, 0, 0, if *done { 0 } else { 4 }])
            }
            _ => answer(101, id, &[0; 4]),
        };
        if kind == REMOVE {
            assert!(body[4..].starts_with(b"/f/part"), "only the part goes");
            break;
        }
        fake.send(&reply).await;
    }
    assert_eq!(script.len(), 0);
    soon(making).await.expect("no panic").expect_err("it was refused");
}

#[tokio::test]
async fn a_file_that_is_being_replaced_in_steps_is_replaced_though_nobody_waits() {
    let (sftp, mut fake) = Fake::start().await;
    let removals = Removals::new(&sftp);
    let umask = Umask::default();
    let path: Arc<[u8]> = b"/f/part"[..].into();
    let other = Arc::clone(&removals);
    let making = tokio::spawn(async move {
        let made = RemotePart::create(&sftp, &other, path, Mode::Exactly(0o644), &umask).await;
        let (part, file, _) = made.expect("a part");
        drop(file);
        let _ = part.rename(b"/f/name", true, None).await;
    });
    let mut renames = 0;
    loop {
        let Asked { kind, id, body } = fake.asked().await;
        let mut reply = answer(101, id, &[0; 4]);
        match kind {
            OPEN => reply = answer(102, id, &[0, 0, 0, 1, b'h']),
            RENAME => {
                renames += 1;
                if renames == 1 {
                    reply = answer(101, id, &[0, 0, 0, 4]);
                } else if renames == 2 {
                    making.abort();
                }
            }
            REMOVE => {
                assert!(body[4..].starts_with(b"/f/.name"), "{:?}", String::from_utf8_lossy(&body));
                break;
            }
            _ => {}
        }
        fake.send(&reply).await;
    }
    assert_eq!(renames, 3, "aside, and the new one in its place");
}

#[tokio::test]
async fn a_part_goes_that_was_asked_for_when_the_transfer_was_dropped() {
    let (sftp, mut fake) = Fake::start().await;
    let removals = Removals::new(&sftp);
    let umask = Umask::default();
    let making = tokio::spawn(async move {
        let path = b"/f/part"[..].into();
        RemotePart::create(&sftp, &removals, path, Mode::Exactly(0o644), &umask).await.map(|_| ())
    });
    assert_eq!(fake.asked().await.kind, OPEN);
    making.abort();
    assert_eq!(fake.asked().await.kind, REMOVE);
}
