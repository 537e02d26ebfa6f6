//! What a destination means.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

use super::{
    super::{TransferError, TransferOptions, download},
    Place, Way, mode, names, recursive, same, soon,
};

#[tokio::test]
async fn a_file_takes_a_new_name_or_goes_into_a_folder() {
    for place in Place::each().await {
        let plain = TransferOptions::default();
        let file = place.write("file", "content");
        let report = place.copy(&file, &place.at("new"), &plain).await.expect("copied");
        assert_eq!((report.files, report.bytes), (1, 7));
        assert_eq!(fs::read(place.at("new")).expect("a file"), b"content");
        let folder = place.make("folder");
        place.copy(&file, &folder, &plain).await.expect("copied");
        place.copy(&file, &place.at("folder/"), &plain).await.expect("replaced");
        assert_eq!(names(&folder), ["file"]);
        let empty = place.write("empty", "");
        place.copy(&empty, &folder, &plain).await.expect("copied");
        assert_eq!(fs::read(folder.join("empty")).expect("a file"), b"");
    }
}

#[tokio::test]
async fn what_a_destination_cannot_be() {
    for place in Place::each().await {
        let plain = TransferOptions::default();
        let (one, two) = (place.write("one", "1"), place.write("two", "2"));
        let failed = place.copy(&one, &place.at("no/such"), &plain).await.expect_err("no parent");
        assert!(matches!(failed.errors[..], [TransferError::NoParent { .. }]), "{failed}");
        let failed = place.copy(&one, &place.at("missing/"), &plain).await.expect_err("no folder");
        assert!(matches!(failed.errors[..], [TransferError::NoSuchFile { .. }]), "{failed}");
        let failed = place.copy(&place.at("nothing"), &place.at("new"), &plain).await.expect_err("no source");
        assert!(matches!(failed.errors[..], [TransferError::NoSuchFile { .. }]), "{failed}");
        let folder = place.make("folder");
        let failed = place.copy(&folder, &place.at("new"), &plain).await.expect_err("a folder");
        assert!(matches!(failed.errors[..], [TransferError::NeedsRecursive { .. }]), "{failed}");
        let failed = place.copy(&folder, &one, &recursive()).await.expect_err("a file");
        assert!(matches!(failed.errors[..], [TransferError::NotDirectory { .. }]), "{failed}");
        let both = [one.clone(), two.clone()];
        let failed =
            place.way.copy(&place.server.sftp, &both, &place.at("new"), &plain).await.expect_err("two");
        assert!(matches!(failed.errors[..], [TransferError::NeedsFolder { .. }, ..]), "{failed}");
        let failed = place.way.copy(&place.server.sftp, &both, &one, &plain).await.expect_err("two");
        assert!(matches!(failed.errors[..], [TransferError::NotDirectory { .. }, ..]), "{failed}");
        let again = place.write("other/one", "1");
        let failed = place.way.copy(&place.server.sftp, &[one.clone(), again], &folder, &plain).await;
        assert!(matches!(failed.expect_err("one name").errors[..], [TransferError::SameName { .. }]));
        assert_eq!(names(place.dir.path()), ["folder", "one", "other", "two"]);
    }
}

#[tokio::test]
async fn a_tree_goes_into_a_folder_or_takes_a_new_name() {
    for place in Place::each().await {
        place.write("tree/a/b/c", "c");
        place.write("tree/d", "d");
        place.make("tree/empty");
        let tree = place.at("tree");
        let report = place.copy(&tree, &place.at("new"), &recursive()).await.expect("copied");
        assert_eq!((report.files, report.folders), (2, 4));
        assert!(same(&tree, &place.at("new")));
        let folder = place.make("folder");
        place.copy(&tree, &folder, &recursive()).await.expect("copied");
        assert!(same(&tree, &folder.join("tree")));
        // And once more over it.
        place.copy(&tree, &folder, &recursive()).await.expect("copied");
        assert!(same(&tree, &folder.join("tree")));
        // What is in it.
        let into = place.make("into");
        place.copy(&tree.join("."), &into, &recursive()).await.expect("copied");
        assert!(same(&tree, &into));
    }
}

#[tokio::test]
async fn modes_are_those_of_new_files_of_replaced_ones_or_of_the_source() {
    for place in Place::each().await {
        let script = place.write("script", "#!");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o775)).expect("a mode");
        let plain = TransferOptions::default();
        place.copy(&script, &place.at("new"), &plain).await.expect("copied");
        // The tests run with a umask that takes writing away from others.
        assert_eq!(mode(&place.at("new")) & 0o755, 0o755);
        assert_eq!(mode(&place.at("new")) & 0o002, 0);
        fs::set_permissions(place.at("new"), fs::Permissions::from_mode(0o604)).expect("a mode");
        place.copy(&script, &place.at("new"), &plain).await.expect("copied");
        assert_eq!(mode(&place.at("new")), 0o604);
        let time =
            fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(99));
        fs::File::options().write(true).open(&script).expect("a file").set_times(time).expect("a time");
        let preserve = TransferOptions { preserve: true, ..plain };
        place.copy(&script, &place.at("new"), &preserve).await.expect("copied");
        assert_eq!(mode(&place.at("new")), 0o775);
        let changed = fs::metadata(place.at("new")).expect("a file").modified().expect("a time");
        assert_eq!(changed.duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs(), 99);
    }
}

#[tokio::test]
async fn a_tree_keeps_modes_and_times() {
    for place in Place::each().await {
        place.write("tree/sub/file", "x");
        fs::set_permissions(place.at("tree/sub"), fs::Permissions::from_mode(0o500)).expect("a mode");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let times = fs::FileTimes::new().set_modified(time);
        for path in ["tree/sub/file", "tree/sub", "tree"] {
            fs::File::open(place.at(path)).expect("opened").set_times(times).expect("a time");
        }
        let preserve = TransferOptions { preserve: true, ..recursive() };
        place.copy(&place.at("tree"), &place.at("new"), &preserve).await.expect("copied");
        for path in ["new/sub/file", "new/sub", "new"] {
            assert_eq!(
                fs::metadata(place.at(path)).expect("a file").modified().expect("a time"),
                time,
                "{path}"
            );
        }
        assert_eq!(mode(&place.at("new/sub")), 0o500);
    }
}

#[tokio::test]
async fn patterns_find_remote_files() {
    for place in Place::each().await.into_iter().filter(|place| place.way == Way::Down) {
        for name in ["logs/a.log", "logs/b.log", "logs/.c.log", "logs/d.txt", "more/a.log", "x[1]", "x1"] {
            place.write(name, name);
        }
        let into = place.make("into");
        let get = async |pattern: &str| {
            let pattern = place.at(pattern).as_os_str().as_bytes().to_vec();
            soon(download(&place.server.sftp, &[pattern], &into, TransferOptions::default())).await
        };
        get("logs/*.log").await.expect("copied");
        assert_eq!(names(&into), ["a.log", "b.log"]);
        get("lo?s/[!a-c]*").await.expect("copied");
        assert_eq!(names(&into), ["a.log", "b.log", "d.txt"]);
        get("logs/.*").await.expect("copied");
        assert_eq!(names(&into), [".c.log", "a.log", "b.log", "d.txt"]);
        // One that exists as it is written wins.
        get("x[1]").await.expect("copied");
        assert!(into.join("x[1]").exists() && !into.join("x1").exists());
        let failed = get("[lm]o*/a.log").await.expect_err("two of one name");
        assert!(matches!(failed.errors[..], [TransferError::SameName { .. }]));
        let failed = get("nothing*").await.expect_err("nothing");
        assert!(matches!(failed.errors[..], [TransferError::NoSuchFile { .. }]), "{failed}");
    }
}
