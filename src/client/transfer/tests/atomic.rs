//! A name is taken by a whole file or not at all.

use std::fs;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    super::{TransferError, TransferOptions, TransferProgress},
    Place, Server, WAYS, folder, names, noise, recursive, same, servers, soon,
};

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
