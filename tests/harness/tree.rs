//! Trees of files whose names are hard to carry.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::{
        ffi::OsStringExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// Makes a tree of so many files with odd names, some of them empty or executable, and a link.
pub(crate) fn odd_tree(root: &Path, files: usize) {
    let odd: [&[u8]; 10] = [
        b"plain",
        b"with space ",
        b"new\nline",
        "ünïcödé-日本".as_bytes(),
        b"-rf",
        b"--delete",
        b"\xff\xfe-raw",
        b"quote'\"`$HOME",
        b"back\\slash*?[a]",
        b".hidden",
    ];
    for number in 0..files {
        let folder = root.join(format!("folder {}", number % 17));
        fs::create_dir_all(&folder).expect("a folder");
        let name = [odd[number % odd.len()], number.to_string().as_bytes()].concat();
        let path = folder.join(OsString::from_vec(name));
        fs::write(&path, vec![number as u8; (number * 37) % 3000]).expect("a file");
        if number % 5 == 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
    }
    symlink("folder 0", root.join("a link")).expect("a link");
}

/// Whether two trees have the same names, contents, modes and links.
pub(crate) fn same_tree(left: &Path, right: &Path) -> bool {
    let (left, right) = (entries(left), entries(right));
    let unlike = left.iter().filter(|(name, what)| right.get(*name) != Some(*what)).map(|(name, _)| name);
    let only_right = right.keys().filter(|name| !left.contains_key(*name));
    let odd_ones: Vec<_> = unlike.chain(only_right).take(10).collect();
    if !odd_ones.is_empty() {
        eprintln!("not alike: {odd_ones:?}");
    }
    odd_ones.is_empty()
}

#[derive(PartialEq)]
enum Entry {
    File(u32, Vec<u8>),
    Link(PathBuf),
    Folder,
}

fn entries(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
            let name = path.strip_prefix(root).expect("below its root").to_owned();
            let what = if kind.is_dir() {
                folders.push(path);
                Entry::Folder
            } else if kind.is_symlink() {
                Entry::Link(fs::read_link(&path).expect("a link"))
            } else {
                let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
                Entry::File(mode, fs::read(&path).expect("a file"))
            };
            found.insert(name, what);
        }
    }
    found
}
