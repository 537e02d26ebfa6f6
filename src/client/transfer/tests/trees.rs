//! Trees of all shapes.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use tokio::sync::watch;

use super::{
    super::{
        TransferOptions, TransferProgress,
        names::{Version, is_part_of_version, new_part_name},
    },
    Place, Server, WAYS, folder, names, noise, recursive, same, servers, soon,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_small_files() {
    for place in Place::each().await {
        for number in 0..10_000_u64 {
            let name = format!("tree/d{}/e{}/f{number}", number % 10, number % 7);
            place.write(name, noise(number as usize % 100, number));
        }
        let (progress, watched) = watch::channel(TransferProgress::default());
        let options = TransferOptions { progress: Some(progress), ..recursive() };
        let report = place.copy(&place.at("tree"), &place.at("new"), &options).await.expect("copied");
        assert_eq!(report.files, 10_000);
        assert!(same(&place.at("tree"), &place.at("new")));
        let end = watched.borrow().clone();
        assert_eq!((end.files_done, end.files_total, end.percent(), end.listed), (10_000, 10_000, 100, true));
        assert_eq!((end.bytes, end.bytes_total), (report.bytes, report.bytes));
    }
}

#[tokio::test]
async fn files_of_every_size() {
    for place in Place::each().await {
        let limit = place.server.sftp.limits().write;
        for size in [0, 1, limit - 1, limit, limit + 1, 2 * limit, 3 * limit + 5, (4 << 20) + 1] {
            place.write(format!("tree/{size}"), noise(size, size as u64));
        }
        place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect("copied");
        assert!(same(&place.at("tree"), &place.at("new")));
    }
}

#[tokio::test]
async fn deep_trees_and_odd_names() {
    for place in Place::each().await {
        let mut path = PathBuf::from("tree");
        for level in 0..200 {
            path.push(format!("l{level}"));
        }
        place.write(path.join("bottom"), "deep");
        for name in [
            &b"\xff\xfe"[..],
            b"new\nline",
            b" ",
            b"-rf",
            b"*",
            "\u{fc}".as_bytes(),
            &[b'n'; 255],
            &[0xc3; 255],
        ] {
            place.write(PathBuf::from("tree").join(std::ffi::OsStr::from_bytes(name)), name);
        }
        place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect("copied");
        assert!(same(&place.at("tree"), &place.at("new")));
        assert_eq!(names(&place.at("tree")), names(&place.at("new")));
    }
}

#[tokio::test]
async fn tiny_pipes_carry_a_tree() {
    for server in servers() {
        for way in WAYS {
            let place = Place { dir: folder(), server: Server::behind_tiny_pipes(&server, 61).await, way };
            for number in 0..30_usize {
                place.write(format!("tree/{number}"), noise(number * 500, number as u64));
            }
            place.copy(&place.at("tree"), &place.at("new"), &recursive()).await.expect("copied");
            assert!(same(&place.at("tree"), &place.at("new")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_four_gigabytes() {
    for place in Place::each().await {
        let size = (4_u64 << 30) + 12_345;
        let file = fs::File::create(place.at("big")).expect("a file");
        file.set_len(size).expect("a length");
        std::os::unix::fs::FileExt::write_all_at(&file, b"the end", size - 7).expect("written");
        // All of it but the last bytes is there already.
        let resume = TransferOptions { resume: true, ..TransferOptions::default() };
        let part = part_of(&place, "big", "new");
        let file = fs::File::create(place.at(&part)).expect("a part");
        file.set_len(size - 3_000_000).expect("a length");
        super::super::local::look(place.at(&part).as_os_str().as_bytes()).expect("looked");
        let report = soon(place.copy(&place.at("big"), &place.at("new"), &resume)).await.expect("copied");
        assert_eq!(report.bytes, 3_000_000 + (1 << 20));
        assert_eq!(fs::metadata(place.at("new")).expect("a file").len(), size);
        let mut end = [0; 7];
        let file = fs::File::open(place.at("new")).expect("a file");
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut end, size - 7).expect("read");
        assert_eq!(&end, b"the end");
    }
}

/// The version of a source, as the names of its parts tell it.
fn version_of(place: &Place, source: &str) -> Version {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(place.at(source)).expect("a source");
    let nanoseconds = if place.way == super::Way::Up { metadata.mtime_nsec() } else { 0 };
    Version { size: metadata.len(), changed: metadata.mtime(), nanoseconds }
}

/// A name for a part of a file.
pub(super) fn part_of(place: &Place, source: &str, target: &str) -> PathBuf {
    let name = new_part_name(target.as_bytes(), version_of(place, source));
    PathBuf::from(String::from_utf8(name).expect("text"))
}

/// The part of a file that there is in a folder.
pub(super) fn left_part(place: &Place, source: &str, folder: &Path, target: &str) -> Option<PathBuf> {
    let version = version_of(place, source);
    let mut names = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    names.find(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        is_part_of_version(name, target.as_bytes(), version)
    })
}
