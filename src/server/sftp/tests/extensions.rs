use std::fs;

use super::*;

#[test]
fn the_version_announces_openssh_s_extensions() {
    let mut server = Server::new(Options::default());
    let mut out = Vec::new();
    server.receive(&init().0, &mut out).expect("a version");
    let text = String::from_utf8_lossy(&out).into_owned();
    assert_eq!(out[4..9], [kind::VERSION, 0, 0, 0, 3]);
    assert_eq!(text.matches("@openssh.com").count() + text.matches("copy-data").count(), 10);
    let mut server = Server::new(Options { read_only: true, ..Options::default() });
    out.clear();
    server.receive(&init().0, &mut out).expect("a version");
    let text = String::from_utf8_lossy(&out).into_owned();
    assert!(!text.contains("posix-rename") && text.contains("statvfs"), "{text}");
}

#[test]
fn what_is_unknown_is_not_supported() {
    let mut client = Client::new();
    assert_eq!(client.ask(Request::extended("nosuch@example.com")).status(), UNSUPPORTED);
    assert_eq!(client.ask(Request::new(99)).status(), UNSUPPORTED);
}

#[test]
fn a_request_before_init_ends_the_connection() {
    let mut server = Server::new(Options::default());
    let request = Request::new(kind::STAT).s("/");
    assert_eq!(server.receive(&request.0, &mut Vec::new()), Err(Fatal::BeforeInit(kind::STAT)));
}

#[test]
fn a_request_that_is_cut_short_ends_the_connection_and_leaves_no_reply() {
    let mut client = Client::new();
    let whole = Request::new(kind::OPEN).s("f").u32(READ).u32(4).u32(0);
    for length in 0..whole.0.len() {
        let mut out = b"before".to_vec();
        let outcome = client.server.receive(&whole.0[..length], &mut out);
        assert_eq!((outcome, &out[..]), (Err(Fatal::Truncated), &b"before"[..]));
    }
    let lie = Request::new(kind::STAT).u32(u32::MAX);
    assert_eq!(client.packet(&lie), Err(Fatal::Truncated));
    let attributes = Request::new(kind::SETSTAT).s("f").u32(1 << 31).u32(u32::MAX);
    assert_eq!(client.packet(&attributes), Err(Fatal::Attributes(u32::MAX)));
}

#[test]
fn a_client_of_version_2_gets_no_messages() {
    let mut server = Server::new(Options::default());
    let mut out = Vec::new();
    server.receive(&[kind::INIT, 0, 0, 0, 2], &mut out).expect("a version");
    out.clear();
    server.receive(&Request::new(kind::STAT).s("/nosuch").0, &mut out).expect("a status");
    assert_eq!(out, [0, 0, 0, 9, kind::STATUS, 0, 0, 0, 7, 0, 0, 0, 2]);
}

#[test]
fn file_systems_are_described() {
    let mut client = Client::new();
    let handle = client.open("f", WRITE | CREATE);
    let by_path = client.ask(Request::extended("statvfs@openssh.com").s("f"));
    let by_handle = client.ask(Request::extended("fstatvfs@openssh.com").s(handle));
    assert_eq!((by_path.0, by_path.1.len()), (kind::EXTENDED_REPLY, 88));
    assert_eq!(by_path.1[..24], by_handle.1[..24]);
    let missing = client.ask(Request::extended("statvfs@openssh.com").s("nosuch"));
    assert_eq!(missing.status(), NO_SUCH_FILE);
}

#[test]
fn limits_are_told() {
    let mut client = Client::with(|options| options.max_handles = Some(9));
    let limits = client.ask(Request::extended("limits@openssh.com"));
    assert_eq!([1, 3, 5, 7].map(|field| limits.number(field * 4)), [262_144, 261_120, 261_120, 9]);
}

#[test]
fn links_are_made_and_files_synchronised() {
    let mut client = Client::new();
    let handle = client.open("f", WRITE | CREATE);
    assert_eq!(client.ask(Request::extended("fsync@openssh.com").s(handle)).status(), OK);
    assert_eq!(client.ask(Request::extended("fsync@openssh.com").s("")).status(), NO_SUCH_FILE);
    let link = Request::extended("hardlink@openssh.com").s("f").s("g");
    assert_eq!(client.ask(link.clone()).status(), OK);
    assert_eq!(client.ask(link).status(), FAILURE);
}

#[test]
fn tilde_is_the_start_and_home_directory_is_the_user_s() {
    let mut client = Client::with(|options| options.user.home = "/".into());
    let start = fs::canonicalize(client.dir.path()).expect("a path");
    let mut expand = |path: &str| client.ask(Request::extended("expand-path@openssh.com").s(path));
    assert_eq!(expand("~").path(), start.as_os_str().as_bytes());
    assert_eq!(expand("~/nosuch").path(), start.join("nosuch").as_os_str().as_bytes());
    assert_eq!(expand("~root").path(), expand("~root/").path());
    let unknown = expand("~no-such-user/x");
    assert_eq!((unknown.status(), unknown.message().as_str()), (NO_SUCH_FILE, "no such user"));
    let empty = client.ask(Request::extended("expand-path@openssh.com").s(""));
    assert_eq!(empty.path(), start.as_os_str().as_bytes());
    assert_eq!(client.ask(Request::extended("home-directory").s("")).path(), b"/");
    assert_eq!(client.ask(Request::extended("home-directory").s("no-such-user")).status(), FAILURE);
}

#[test]
fn users_and_groups_are_named() {
    let mut client = Client::new();
    let ids = [0_u32.to_be_bytes(), 4_000_000_000_u32.to_be_bytes()].concat();
    let answer = client.ask(Request::extended("users-groups-by-id@openssh.com").s(&ids).s(&ids));
    let names = b"\0\0\0\x04root\0\0\0\0";
    assert_eq!((answer.string(0), answer.string(16)), (&names[..], &names[..]));
    let odd = Request::extended("users-groups-by-id@openssh.com").s("odd").s("");
    assert_eq!(client.packet(&odd), Err(Fatal::Truncated));
}

#[test]
fn data_is_copied_within_the_server() {
    let mut client = Client::new();
    let content: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    client.write_file("a", &content);
    let from = client.open("a", READ);
    let to = client.open("b", READ | WRITE | CREATE);
    let copy = |from: &[u8], offset: u64, length: u64, to: &[u8], at: u64| {
        Request::extended("copy-data").s(from).u64(offset).u64(length).s(to).u64(at)
    };
    assert_eq!(client.ask(copy(&from, 0, 0, &to, 0)).status(), OK);
    assert_eq!(client.content("b"), content);
    assert_eq!(client.ask(copy(&from, 5, 100_000, &to, 7)).status(), OK);
    assert_eq!(client.content("b")[7..100_007], content[5..100_005]);
    assert_eq!(client.ask(copy(&from, 0, 1 << 40, &to, 0)).status(), EOF);
    assert_eq!(client.ask(copy(&from, 0, 0, &from, 0)).status(), FAILURE);
    let again = client.open("./a", WRITE);
    assert_eq!(client.ask(copy(&from, 0, 0, &again, 0)).status(), FAILURE, "the same file");
    assert_eq!(client.ask(copy(&from, 0, 0, b"", 0)).status(), FAILURE);
}
