use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, symlink},
};

use super::*;

fn listed(client: &mut Client, path: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let handle = client.ask(Request::new(kind::OPENDIR).s(path)).handle();
    let mut names = Vec::new();
    loop {
        let answer = client.ask(Request::new(kind::READDIR).s(&handle));
        if answer.0 == kind::STATUS {
            assert_eq!((answer.status(), client.close(&handle)), (EOF, OK));
            names.sort();
            return names;
        }
        let batch = answer.names();
        assert!((1..=100).contains(&batch.len()), "{} at once", batch.len());
        names.extend(batch);
    }
}

fn realpath(client: &mut Client, path: impl AsRef<[u8]>) -> Answer {
    client.ask(Request::new(kind::REALPATH).s(path))
}

#[test]
fn stat_follows_a_link_and_lstat_does_not() {
    let mut client = Client::new();
    client.write_file("f", "12345");
    symlink("f", client.path("l")).expect("a link");
    let mode = |answer: Answer| answer.size_and_mode().1 & libc::S_IFMT;
    assert_eq!(mode(client.ask(Request::new(kind::STAT).s("l"))), libc::S_IFREG);
    assert_eq!(mode(client.ask(Request::new(kind::LSTAT).s("l"))), libc::S_IFLNK);
    assert_eq!(client.ask(Request::new(kind::STAT).s("")).status(), NO_SUCH_FILE);
}

#[test]
fn paths_that_are_not_utf_8_are_files_like_others() {
    let mut client = Client::new();
    let name = b"\xff\xfe \xc3\x28".as_slice();
    let handle = client.ask(Request::new(kind::OPEN).s(name).u32(WRITE | CREATE).u32(0)).handle();
    assert_eq!(client.write(&handle, 0, b"x"), OK);
    assert_eq!(client.content(OsStr::from_bytes(name)), b"x");
    assert!(listed(&mut client, ".").iter().any(|(found, long)| found == name && long.ends_with(name)));
    assert!(realpath(&mut client, name).path().ends_with(name));
    assert_eq!(client.ask(Request::new(kind::SYMLINK).s(b"\x80").s(b"\x81")).status(), OK);
    assert_eq!(client.ask(Request::new(kind::READLINK).s(b"\x81")).path(), b"\x80");
    assert_eq!(client.ask(Request::new(kind::REMOVE).s(name)).status(), OK);
}

#[test]
fn a_nul_within_a_path_is_refused() {
    let mut client = Client::new();
    client.write_file("f", "x");
    for kind in [kind::STAT, kind::OPENDIR, kind::REALPATH, kind::REMOVE] {
        assert_eq!(client.ask(Request::new(kind).s("f\0g")).status(), BAD_MESSAGE);
    }
    assert_eq!(client.ask(Request::new(kind::STAT).s("f\0")).0, kind::ATTRS, "one at the end is C's");
}

#[test]
fn a_directory_is_listed_in_batches_with_long_names() {
    let mut client = Client::new();
    for number in 0..250 {
        client.write_file(format!("f{number:03}"), "1234");
    }
    symlink("nowhere", client.path("l")).expect("a link");
    let names = listed(&mut client, ".");
    assert_eq!(names.len(), 250 + 3);
    let find = |name: &[u8]| {
        let (_, long) = names.iter().find(|(found, _)| found == name).expect("an entry");
        String::from_utf8(long.clone()).expect("text")
    };
    assert!(find(b"f007").starts_with("-rw"), "{}", find(b"f007"));
    assert_eq!(find(b"f007").split_whitespace().nth(4), Some("4"));
    assert!(find(b"l").starts_with("lrwxrwxrwx    1 "), "{}", find(b"l"));
    assert!(find(b".").starts_with('d') && find(b"..").ends_with(" .."));
    let missing = client.ask(Request::new(kind::OPENDIR).s("f007")).status();
    assert_eq!(missing, NO_SUCH_FILE, "ENOTDIR, as OpenSSH maps it");
}

#[test]
fn the_longest_names_do_not_overflow_a_reply() {
    let mut client = Client::new();
    for number in 0..120 {
        client.write_file(format!("{number:03}{}", "n".repeat(252)), "");
    }
    assert_eq!(listed(&mut client, ".").len(), 122);
}

#[test]
fn a_real_path_has_no_links_and_need_not_exist_at_its_end() {
    let mut client = Client::new();
    let root = fs::canonicalize(client.dir.path()).expect("a path");
    fs::create_dir(client.path("d")).expect("a directory");
    client.write_file("d/f", "");
    symlink("d/../d", client.path("l")).expect("a link");
    symlink("loop", client.path("loop")).expect("a link");
    for (asked, found) in [
        ("", ""),
        (".", ""),
        ("l/f", "d/f"),
        ("l/../x", "x"),
        ("nosuch", "nosuch"),
        ("d/f/", "d/f"),
        ("l/", "d"),
    ] {
        let expected = if found.is_empty() { root.clone() } else { root.join(found) };
        assert_eq!(realpath(&mut client, asked).path(), expected.as_os_str().as_bytes(), "{asked}");
    }
    assert_eq!(realpath(&mut client, "/../..//.").path(), b"/");
    for missing in ["nosuch/", "nosuch/x", "d/f/x", "loop"] {
        assert_eq!(realpath(&mut client, missing).status(), NO_SUCH_FILE, "{missing}");
    }
    assert_eq!(realpath(&mut client, "a/".repeat(3000)).status(), BAD_MESSAGE);
}

#[test]
fn rename_does_not_replace_but_posix_rename_does() {
    let mut client = Client::new();
    client.write_file("a", "a");
    client.write_file("b", "b");
    fs::create_dir(client.path("d")).expect("a directory");
    fs::create_dir(client.path("e")).expect("a directory");
    let rename = |a: &str, b: &str| Request::new(kind::RENAME).s(a).s(b);
    assert_eq!(client.ask(rename("a", "b")).status(), FAILURE);
    assert_eq!(client.ask(rename("d", "e")).status(), FAILURE);
    assert_eq!(client.ask(rename("nosuch", "x")).status(), NO_SUCH_FILE);
    for name in ["l", "m"] {
        symlink("nowhere", client.path(name)).expect("a link");
    }
    assert_eq!(client.ask(rename("l", "m")).status(), FAILURE, "a link that leads nowhere is taken too");
    assert_eq!(client.ask(rename("l", "n")).status(), OK);
    assert!(client.path("n").is_symlink() && !client.path("l").is_symlink());
    assert_eq!(client.ask(rename("a", "c")).status(), OK);
    assert_eq!(client.ask(rename("d", "g")).status(), OK);
    let posix = Request::extended("posix-rename@openssh.com").s("c").s("b");
    assert_eq!(client.ask(posix).status(), OK);
    assert_eq!(client.content("b"), b"a");
    assert!(client.path("g").is_dir() && !client.path("c").exists());
}

#[test]
fn the_target_of_a_symlink_comes_first() {
    let mut client = Client::new();
    assert_eq!(client.ask(Request::new(kind::SYMLINK).s("to").s("here")).status(), OK);
    assert_eq!(fs::read_link(client.path("here")).expect("a link"), Path::new("to"));
    assert_eq!(client.ask(Request::new(kind::READLINK).s("here")).path(), b"to");
    assert_eq!(client.ask(Request::new(kind::READLINK).s(".")).status(), BAD_MESSAGE);
}

#[test]
fn directories_are_made_and_removed() {
    let mut client = Client::new();
    let mkdir = Request::new(kind::MKDIR).s("d").u32(4).u32(0o42_700);
    assert_eq!(client.ask(mkdir.clone()).status(), OK);
    assert_eq!(client.ask(mkdir).status(), FAILURE);
    assert_eq!(client.ask(Request::new(kind::REMOVE).s("d")).status(), FAILURE);
    assert_eq!(client.ask(Request::new(kind::RMDIR).s("d")).status(), OK);
    assert_eq!(client.ask(Request::new(kind::RMDIR).s("d")).status(), NO_SUCH_FILE);
}

#[test]
fn setstat_follows_a_link_and_lsetstat_does_not() {
    let mut client = Client::new();
    client.write_file("f", "12345");
    symlink("f", client.path("l")).expect("a link");
    let set = |request: Request| request.s("l").u32(8).u32(1).u32(2);
    assert_eq!(client.ask(set(Request::extended("lsetstat@openssh.com"))).status(), OK);
    assert_eq!(client.ask(Request::new(kind::SETSTAT).s("l").u32(5).u64(2).u32(0o600)).status(), OK);
    let size = Request::extended("lsetstat@openssh.com").s("l").u32(1).u64(0);
    assert_eq!(client.ask(size).status(), BAD_MESSAGE);
    let file = fs::metadata(client.path("f")).expect("a file");
    let link = fs::symlink_metadata(client.path("l")).expect("a link");
    assert_eq!((file.size(), file.mode() & 0o777, link.mtime()), (2, 0o600, 2));
    assert_ne!(file.mtime(), 2);
}
