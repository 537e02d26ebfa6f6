use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::{Arc, Mutex},
};

use super::*;

#[test]
fn a_read_ends_at_the_end_of_the_file() {
    let mut client = Client::new();
    client.write_file("f", "hello world");
    let handle = client.open("f", READ);
    assert_eq!(client.read(&handle, 6, 100).data(), b"world");
    assert_eq!(client.read(&handle, 11, 1).status(), EOF);
    assert_eq!(client.read(&handle, 0, 0).data(), b"");
    assert_eq!(client.read(&handle, 1 << 63, 0).status(), BAD_MESSAGE);
    assert_eq!(client.read(&handle, 1 << 63, 1).status(), BAD_MESSAGE);
}

#[test]
fn a_read_is_cut_to_what_a_packet_holds() {
    let mut client = Client::new();
    client.write_file("f", vec![7; MAX_PACKET * 2]);
    let handle = client.open("f", READ);
    assert_eq!(client.read(&handle, 0, u32::MAX).data().len(), MAX_DATA);
}

#[test]
fn writes_go_where_they_are_told() {
    let mut client = Client::new();
    let handle = client.open("f", WRITE | CREATE);
    assert_eq!(client.write(&handle, 4, b"45"), OK);
    assert_eq!(client.write(&handle, 0, b"01"), OK);
    assert_eq!(client.close(&handle), OK);
    assert_eq!(client.content("f"), [b"01", &[0; 2][..], b"45"].concat());
}

#[test]
fn appended_writes_go_to_the_end() {
    let mut client = Client::new();
    client.write_file("f", "one");
    let handle = client.open("f", WRITE | APPEND);
    assert_eq!(client.write(&handle, 0, b" two"), OK);
    assert_eq!(client.content("f"), b"one two");
}

#[test]
fn flags_of_open_are_followed() {
    let mut client = Client::new();
    client.write_file("f", "one");
    assert_eq!(client.try_open("f", WRITE | CREATE | EXCLUSIVE).status(), FAILURE);
    assert_eq!(client.try_open("g", READ).status(), NO_SUCH_FILE);
    let handle = client.open("f", READ | WRITE | TRUNCATE);
    assert_eq!(client.read(&handle, 0, 1).status(), EOF);
    let read = client.open("f", 0);
    assert_eq!(client.write(&read, 0, b"x"), NO_SUCH_FILE, "EBADF, as OpenSSH maps it");
}

#[test]
fn a_new_file_has_the_mode_that_was_asked_for_less_the_umask() {
    let mut client = Client::with(|options| options.umask = Some(0o037));
    client.ask(Request::new(kind::OPEN).s("f").u32(WRITE | CREATE).u32(4).u32(0o100_777)).handle();
    client.ask(Request::new(kind::MKDIR).s("d").u32(0));
    let mode = |name| std::fs::metadata(client.path(name)).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode("f"), mode("d")), (0o740, 0o740));
}

#[test]
fn the_umask_takes_the_place_of_the_process_s() {
    let mut client = Client::with(|options| options.umask = Some(0));
    let create = |name: &str, flags| Request::new(kind::OPEN).s(name).u32(flags).u32(4).u32(0o666);
    client.ask(create("f", WRITE | CREATE)).handle();
    client.ask(create("x", WRITE | CREATE | EXCLUSIVE)).handle();
    assert_eq!(client.ask(Request::new(kind::MKDIR).s("d").u32(0)).status(), OK);
    let mode = |name| std::fs::metadata(client.path(name)).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode("f"), mode("x"), mode("d")), (0o666, 0o666, 0o777));
}

#[test]
fn a_file_that_is_there_keeps_its_mode_under_a_umask() {
    let mut client = Client::with(|options| options.umask = Some(0));
    client.write_file("f", "old");
    std::fs::set_permissions(client.path("f"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    std::os::unix::fs::symlink("new", client.path("l")).expect("a link");
    let create = |name: &str, flags| Request::new(kind::OPEN).s(name).u32(flags).u32(4).u32(0o666);
    client.ask(create("f", WRITE | CREATE | TRUNCATE)).handle();
    client.ask(create("l", WRITE | CREATE)).handle();
    assert_eq!(client.ask(create("f", WRITE | CREATE | EXCLUSIVE)).status(), FAILURE);
    let mode = std::fs::metadata(client.path("f")).expect("a file").permissions().mode();
    assert_eq!((mode & 0o777, client.content("f")), (0o600, Vec::new()));
    assert!(client.path("new").exists(), "a link to what is not there makes it");
}

#[test]
fn a_sparse_file_is_read_and_written_past_4_gib() {
    let mut client = Client::new();
    let far = (5 << 30) + 3;
    let handle = client.open("f", READ | WRITE | CREATE);
    assert_eq!(client.write(&handle, far, b"far"), OK);
    assert_eq!(client.read(&handle, far - 2, 100).data(), b"\0\0far");
    let stat = client.ask(Request::new(kind::FSTAT).s(&handle));
    assert_eq!(stat.size_and_mode().0, far + 3);
    assert!(std::fs::metadata(client.path("f")).expect("a file").blocks() < 1000, "sparse");
}

#[test]
fn a_directory_can_be_opened_but_not_read_as_a_file() {
    let mut client = Client::new();
    let handle = client.open(".", READ);
    assert_eq!(client.read(&handle, 0, 10).status(), FAILURE);
}

#[test]
fn no_space_left_is_said() {
    let mut client = Client::new();
    let handle = client.open("/dev/full", WRITE);
    let answer = client.ask(Request::new(kind::WRITE).s(&handle).u64(0).s("x"));
    assert_eq!((answer.status(), answer.message().as_str()), (FAILURE, "No space left on device"));
}

#[test]
fn a_handle_that_is_not_open_is_refused() {
    let mut client = Client::new();
    client.write_file("f", "x");
    let handle = client.open("f", READ);
    let directory = client.ask(Request::new(kind::OPENDIR).s(".")).handle();
    for bad in [&b""[..], &[0; 3], &[0; 5], &[0; 300], &[0xff; 4], &[0, 0, 0, 2], &directory] {
        assert_eq!(client.read(bad, 0, 1).status(), FAILURE);
        assert_eq!(client.write(bad, 0, b"x"), FAILURE);
        assert_eq!(client.ask(Request::new(kind::FSTAT).s(bad)).status(), FAILURE);
    }
    assert_eq!(client.ask(Request::new(kind::READDIR).s(&handle)).status(), FAILURE);
    assert_eq!([client.close(&handle), client.close(&handle)], [OK, NO_SUCH_FILE]);
    assert_eq!(client.read(&handle, 0, 1).status(), FAILURE);
    assert_eq!(client.open("f", READ), handle, "its place is used again");
}

#[test]
fn no_more_handles_are_open_than_allowed() {
    let mut client = Client::with(|options| options.max_handles = Some(2));
    let first = client.open("a", WRITE | CREATE);
    client.ask(Request::new(kind::OPENDIR).s(".")).handle();
    assert_eq!(client.try_open("b", WRITE | CREATE).status(), FAILURE);
    assert_eq!(client.ask(Request::new(kind::OPENDIR).s(".")).status(), FAILURE);
    assert!(!client.path("b").exists(), "nothing was created in vain");
    client.close(&first);
    client.open("b", WRITE | CREATE);
}

#[test]
fn servers_of_a_process_share_its_handles_and_each_has_one_at_least() {
    let limit = |client: &mut Client| {
        let limits = client.ask(Request::extended("limits@openssh.com"));
        (limits.number(24), limits.number(28))
    };
    let mut first = Client::new();
    let (_, alone) = limit(&mut first);
    assert!((1..=4096).contains(&alone), "{alone}");
    let mut hog = Client::with(|options| options.max_handles = Some(5000));
    hog.write_file("f", "");
    let (files, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("asked");
    let held = (alone + 10).min(files as u32 - 100);
    let handles: Vec<_> = (0..held).map(|_| hog.open("f", READ)).collect();
    assert_eq!(limit(&mut first), (0, 1));
    first.open(".", READ);
    assert_eq!(first.try_open(".", READ).status(), FAILURE);
    drop((handles, hog));
    assert_eq!(limit(&mut first), (0, alone));
}

#[test]
fn attributes_are_set_by_handle() {
    let mut client = Client::new();
    let handle = client.open("f", READ | WRITE | CREATE);
    let set = Request::new(kind::FSETSTAT).s(&handle).u32(1 | 4 | 8).u64(9).u32(0o100_604).u32(5).u32(6);
    assert_eq!(client.ask(set).status(), OK);
    let metadata = std::fs::metadata(client.path("f")).expect("a file");
    assert_eq!((metadata.size(), metadata.mode() & 0o7777), (9, 0o604));
    assert_eq!((metadata.atime(), metadata.mtime()), (5, 6));
    let size = Request::new(kind::FSETSTAT).s(&handle).u32(1).u64(1 << 63);
    assert_eq!(client.ask(size).status(), BAD_MESSAGE);
}

#[test]
fn a_read_only_server_changes_nothing() {
    let mut client = Client::with(|options| options.read_only = true);
    client.write_file("f", "x");
    for flags in [WRITE, READ | WRITE, READ | CREATE, READ | TRUNCATE] {
        assert_eq!(client.try_open("f", flags).status(), DENIED);
    }
    for changes in [6, 9, 10, 13, 14, 15, 18, 20] {
        assert_eq!(client.ask(Request::new(changes)).status(), DENIED, "request {changes}");
    }
    for changes in ["posix-rename", "hardlink", "fsync", "lsetstat"] {
        assert_eq!(client.ask(Request::extended(&format!("{changes}@openssh.com"))).status(), DENIED);
    }
    let handle = client.open("f", READ);
    assert_eq!(client.read(&handle, 0, 9).data(), b"x");
}

#[test]
fn requests_can_be_allowed_and_denied_by_name() {
    let mut client = Client::with(|options| {
        options.allowed = Some(vec!["lstat".into(), "stat".into(), "limits".into()]);
        options.denied = vec!["stat".into()];
    });
    assert_eq!(client.ask(Request::new(kind::LSTAT).s("/")).0, kind::ATTRS);
    assert_eq!(client.ask(Request::new(kind::STAT).s("/")).status(), DENIED);
    assert_eq!(client.try_open("f", READ).status(), DENIED);
    assert_eq!(client.ask(Request::extended("limits@openssh.com")).0, kind::EXTENDED_REPLY);
    assert_eq!(client.ask(Request::extended("copy-data")).status(), DENIED);
}

#[test]
fn a_closed_file_is_told_of_with_its_bytes() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let mut client = Client::with(|options| {
        options.on_close = Some(Box::new(move |closed| {
            let name = closed.path.file_name().unwrap_or_default().to_owned();
            teller.lock().expect("a lock").push((name, closed.read, closed.written, closed.forced));
        }));
    });
    let handle = client.open("f", READ | WRITE | CREATE);
    client.write(&handle, 0, b"12345");
    client.read(&handle, 0, 3);
    client.close(&handle);
    client.open("f", READ);
    drop(client);
    let told = told.lock().expect("a lock");
    assert_eq!(*told, [("f".into(), 3, 5, false), ("f".into(), 0, 0, true)]);
}
