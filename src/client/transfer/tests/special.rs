//! Links, FIFOs and what has no end.

use std::{fs, os::unix::fs::symlink};

use super::{
    super::{Links, Side, TransferError, TransferOptions, WhySkipped},
    Place, Way, names, recursive,
};

fn fifo(place: &Place, name: &str) {
    let path = place.at(name);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a fifo");
}

#[tokio::test]
async fn a_fifo_is_skipped_and_never_opened() {
    for place in Place::each().await {
        place.write("tree/file", "x");
        fifo(&place, "tree/fifo");
        symlink("fifo", place.at("tree/link")).expect("a link");
        let report = place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect("copied");
        assert_eq!((report.files, report.skipped_total), (1, 2));
        assert!(report.skipped.iter().all(|skipped| skipped.why == WhySkipped::Special));
        assert_eq!(names(&place.at("new")), ["file"]);
    }
}

#[tokio::test]
async fn a_fifo_or_a_device_that_is_named_is_an_error() {
    for place in Place::each().await {
        fifo(&place, "fifo");
        symlink("fifo", place.at("link")).expect("a link");
        let file = place.write("file", "x");
        for source in [place.at("fifo"), place.at("link"), "/dev/null".into()] {
            let sources = [source, file.clone()];
            let into = place.make("new");
            let failed = place.way.copy(&place.server.sftp, &sources, &into, &recursive()).await;
            let failed = failed.expect_err("a special file");
            let [TransferError::SpecialSource { side, path }] = &failed.errors[..] else {
                panic!("{failed}")
            };
            assert_eq!(*side, if place.way == Way::Up { Side::Local } else { Side::Remote });
            assert_eq!(&path[..], sources[0].as_os_str().as_encoded_bytes());
            assert_eq!(names(&into), ["file"], "the others are copied");
        }
    }
}

#[tokio::test]
async fn a_device_or_a_socket_is_never_replaced() {
    for place in Place::each().await {
        let file = place.write("file", "x");
        fifo(&place, "fifo");
        symlink("fifo", place.at("to-fifo")).expect("a link");
        for target in ["fifo", "to-fifo"] {
            let failure = place.copy(&file, &place.at(target), &recursive()).await.expect_err("refused");
            assert!(matches!(failure.errors[..], [TransferError::Special { .. }]), "{failure}");
        }
        assert!(place.at("to-fifo").is_symlink());
        assert_eq!(names(place.dir.path()), ["fifo", "file", "to-fifo"]);
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_stays_its_owners() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may give files away");
        return;
    }
    for place in Place::each().await {
        let (short, long) = (place.write("short", "x"), place.write("long", vec![1; 1 << 20]));
        for source in [short, long] {
            let target = place.write("new", "old");
            chown(&target, Some(12_345), Some(23_456)).expect("an owner");
            place.copy(&source, &target, &recursive()).await.expect("copied");
            let metadata = fs::metadata(&target).expect("a file");
            assert_eq!((metadata.uid(), metadata.gid()), (12_345, 23_456));
            assert_eq!(metadata.len(), fs::metadata(&source).expect("a file").len());
            fs::remove_file(&target).expect("removed");
        }
    }
}

#[tokio::test]
async fn links_are_followed_kept_or_skipped() {
    for place in Place::each().await {
        place.write("tree/file", "x");
        place.write("tree/folder/inner", "y");
        symlink("file", place.at("tree/to-file")).expect("a link");
        symlink("folder", place.at("tree/to-folder")).expect("a link");
        let tree = place.at("tree");
        place.copy(&tree, &place.at("followed"), &recursive()).await.expect("copied");
        assert_eq!(fs::read(place.at("followed/to-file")).expect("a file"), b"x");
        assert_eq!(fs::read(place.at("followed/to-folder/inner")).expect("a file"), b"y");
        assert!(!place.at("followed/to-file").is_symlink() && !place.at("followed/to-folder").is_symlink());
        let keep = TransferOptions { links: Links::Keep, ..recursive() };
        for _ in 0..2 {
            place.copy(&tree, &place.at("kept"), &keep).await.expect("copied");
            fs::rename(place.at("kept"), place.at("moved")).expect("moved");
            assert_eq!(fs::read_link(place.at("moved/to-folder")).expect("a link").to_str(), Some("folder"));
            fs::rename(place.at("moved"), place.at("kept")).expect("moved");
            fs::create_dir_all(place.at("again")).expect("a folder");
        }
        let skip = TransferOptions { links: Links::Skip, ..recursive() };
        let report = place.copy(&tree, &place.at("skipped"), &skip).await.expect("copied");
        assert_eq!(report.skipped_total, 2);
        assert_eq!(names(&place.at("skipped")), ["file", "folder"]);
        // One that is named is followed.
        place.copy(&tree.join("to-file"), &place.at("named"), &skip).await.expect("copied");
        assert_eq!(fs::read(place.at("named")).expect("a file"), b"x");
    }
}

#[tokio::test]
async fn loops_and_dangling_links_are_reported() {
    for place in Place::each().await {
        place.write("tree/a/file", "x");
        symlink("..", place.at("tree/a/up")).expect("a link");
        symlink("self", place.at("tree/self")).expect("a link");
        symlink("nowhere", place.at("tree/dangling")).expect("a link");
        let failed = place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect_err("loops");
        assert_eq!(failed.errors_total, 3, "{failed}");
        assert!(failed.errors.iter().any(|error| matches!(error, TransferError::Loop { .. })));
        assert_eq!(fs::read(place.at("new/a/file")).expect("the rest is copied"), b"x");
    }
}

#[tokio::test]
async fn files_that_do_not_say_their_size_are_copied() {
    let path = std::path::Path::new("/proc/self/mounts");
    if !path.exists() {
        return;
    }
    for place in Place::each().await {
        place.copy(path, &place.at("new"), &TransferOptions::default()).await.expect("copied");
        assert!(fs::metadata(place.at("new")).expect("a file").len() > 0);
    }
}

#[tokio::test]
async fn a_file_that_says_more_than_it_holds_is_copied() {
    // A file of sysfs says that it has a page.
    let source = std::path::Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
    let Ok(content) = fs::read(source) else { return };
    for place in Place::each().await.into_iter().filter(|place| place.way == Way::Down) {
        place.copy(source, &place.at("new"), &TransferOptions::default()).await.expect("copied");
        assert_eq!(fs::read(place.at("new")).expect("a file"), content);
    }
}
