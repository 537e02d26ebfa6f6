use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
};

use proptest::prelude::*;

use super::*;

fn server(dir: &TempDir) -> Server {
    Server::new(Options { start: dir.path().into(), ..Options::default() })
}

/// Requests of which none looks at a clock.
fn script() -> Vec<u8> {
    let open = |name: &str, flags| Request::new(kind::OPEN).s(name).u32(flags).u32(0);
    let handle = [0; 4];
    let mut requests = vec![init(), open("f", READ | WRITE | CREATE | TRUNCATE)];
    requests.push(Request::new(kind::WRITE).s(handle).u64(0).s(vec![b'x'; 70_000]));
    for offset in 0..8 {
        requests.push(Request::new(kind::WRITE).s(handle).u64(offset * 3000).s(vec![b'a' + offset as u8; 9]));
        requests.push(Request::new(kind::READ).s(handle).u64(offset * 1000).u32(60_000));
        requests.push(Request::new(kind::STAT).s("nosuch"));
    }
    requests.push(Request::new(kind::CLOSE).s(handle));
    requests.iter().flat_map(Request::framed).collect()
}

/// Feeds a pump in pieces and sends its replies in pieces.
fn pumped(dir: &TempDir, stream: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut pump = Pump::new(server(dir));
    let mut replies = Vec::new();
    let mut left = stream;
    for piece in pieces.iter().chain(std::iter::repeat(&50_000)) {
        let room = pump.room();
        let count = (*piece).min(left.len()).min(room.len());
        room[..count].copy_from_slice(&left[..count]);
        left = &left[count..];
        pump.filled(count);
        let outcome = pump.work();
        let sent = (*piece).min(pump.replies().len());
        replies.extend_from_slice(&pump.replies()[..sent]);
        pump.sent(sent);
        let done = left.is_empty() || outcome.is_err();
        if done && pump.replies().is_empty() && !pump.can_work() {
            break;
        }
    }
    replies
}

#[test]
fn both_drivers_give_the_replies_of_a_pump() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = script();
    let expected = pumped(&dir, &script, &[]);
    let mut replies = Vec::new();
    serve(server(&dir), &script[..], &mut replies).expect("served");
    assert_eq!(replies, expected);
    let (mut ours, theirs) = UnixStream::pair().expect("a socket");
    let serving = thread::spawn({
        let server = server(&dir);
        move || serve_fds(server, &theirs, &theirs)
    });
    let mut reader = ours.try_clone().expect("a socket");
    let reading = thread::spawn(move || {
        let mut replies = Vec::new();
        reader.read_to_end(&mut replies).map(|_| replies)
    });
    ours.write_all(&script).expect("written");
    ours.shutdown(std::net::Shutdown::Write).expect("shut down");
    assert_eq!(reading.join().expect("a reader").expect("replies"), expected);
    serving.join().expect("a server").expect("served");
}

#[test]
fn four_thousand_reads_are_taken_before_a_reply_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let count = 4000;
    let size = 32 << 10;
    std::fs::write(dir.path().join("f"), vec![b'x'; size as usize]).expect("a file");
    let (mut ours, theirs) = UnixStream::pair().expect("a socket");
    // Far less than the requests and the replies take.
    let serving = thread::spawn({
        let server = server(&dir);
        move || serve_fds(server, &theirs, &theirs)
    });
    let mut requests = init().framed();
    requests.extend(Request::new(kind::OPEN).s("f").u32(READ).u32(0).framed());
    for _ in 0..count {
        requests.extend(Request::new(kind::READ).s([0; 4]).u64(0).u32(size).framed());
    }
    // A name makes it more than a socket's buffer takes.
    for _ in 0..count {
        requests.extend(Request::new(kind::STAT).s("/".repeat(500)).framed());
    }
    ours.set_write_timeout(Some(std::time::Duration::from_secs(60))).expect("a deadline");
    ours.write_all(&requests).expect("all requests are taken");
    ours.shutdown(std::net::Shutdown::Write).expect("shut down");
    let mut replies = Vec::new();
    ours.read_to_end(&mut replies).expect("replies");
    let mut left = &replies[..];
    let mut packets = 0;
    while let Some((length, rest)) = left.split_first_chunk::<4>() {
        left = &rest[u32::from_be_bytes(*length) as usize..];
        packets += 1;
    }
    assert_eq!(packets, 2 + 2 * count);
    serving.join().expect("a server").expect("served");
}

#[test]
fn replies_do_not_wait_for_the_other_end_of_a_fifo() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let (mut ours, theirs) = UnixStream::pair().expect("a socket");
    let serving = thread::spawn({
        let server = server(&dir);
        move || serve_fds(server, &theirs, &theirs)
    });
    let stat = || Request::new(kind::STAT).s(".").framed();
    let open = Request::new(kind::OPEN).s("fifo").u32(WRITE | APPEND).u32(0).framed();
    // More than a FIFO takes up.
    let content = vec![b'x'; 200_000];
    let write = Request::new(kind::WRITE).s([0; 4]).u64(0).s(&content).framed();
    let requests = [init().framed(), stat(), open, stat(), write].concat();
    let mut sending = ours.try_clone().expect("a socket");
    let sending = thread::spawn(move || sending.write_all(&requests));
    let mut reply = || {
        let mut length = [0; 4];
        ours.read_exact(&mut length).expect("a reply");
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        ours.read_exact(&mut packet).expect("a reply");
        packet[0]
    };
    assert_eq!([reply(), reply()], [kind::VERSION, kind::ATTRS], "before anybody opens the FIFO");
    let mut reader = std::fs::File::open(&fifo).expect("the other end");
    assert_eq!([reply(), reply()], [kind::HANDLE, kind::ATTRS], "before anybody reads from it");
    let mut arrived = vec![0; content.len()];
    reader.read_exact(&mut arrived).expect("what was written");
    assert!(arrived == content);
    assert_eq!(reply(), kind::STATUS);
    sending.join().expect("a writer").expect("written");
    ours.shutdown(std::net::Shutdown::Write).expect("shut down");
    serving.join().expect("a server").expect("served");
}

#[test]
fn replies_before_a_fatal_request_are_still_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    for bad in [vec![0xff; 9], vec![0, 0, 0, 0], vec![0, 0, 0, 1, kind::STAT]] {
        let stat = Request::new(kind::STAT).s(".").framed();
        let stream = [init().framed(), stat.clone(), bad, stat].concat();
        let mut replies = Vec::new();
        let error = serve(server(&dir), &stream[..], &mut replies).expect_err("fatal");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        let version = u32::from_be_bytes(replies[..4].try_into().expect("four bytes")) as usize;
        assert_eq!(replies[4 + version + 4], kind::ATTRS);
        let (mut ours, theirs) = UnixStream::pair().expect("a socket");
        ours.write_all(&stream).expect("written");
        serve_fds(server(&dir), &theirs, &theirs).expect_err("fatal");
        drop(theirs);
        let mut polled = Vec::new();
        // What the server did not read makes the socket end with an error.
        let _ = ours.read_to_end(&mut polled);
        assert_eq!(polled.len(), replies.len());
    }
}

#[test]
fn a_packet_longer_than_allowed_is_not_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut pump = Pump::new(server(&dir));
    let length = (MAX_PACKET as u32 + 1).to_be_bytes();
    pump.room()[..4].copy_from_slice(&length);
    pump.filled(4);
    assert_eq!(pump.work(), Err(Fatal::TooLong(MAX_PACKET as u32 + 1)));
    assert!(pump.room().is_empty());
}

#[test]
fn a_client_that_leaves_is_no_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = UnixStream::pair().expect("a socket");
    (&ours).write_all(&script()[..9]).expect("written");
    drop(ours);
    serve_fds(server(&dir), &theirs, &theirs).expect("the end of the requests");
    let (mut ours, theirs) = UnixStream::pair().expect("a socket");
    let serving = thread::spawn({
        let server = server(&dir);
        move || serve_fds(server, &theirs, &theirs)
    });
    ours.write_all(&script()).expect("written");
    ours.read_exact(&mut [0]).expect("a reply");
    drop(ours);
    serving.join().expect("a server").expect("replies left unread");
}

#[test]
fn pipes_serve_and_are_blocking_again_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let expected = pumped(&dir, &script(), &[]);
    let (input, mut requests) = std::io::pipe().expect("a pipe");
    let (mut replies, output) = std::io::pipe().expect("a pipe");
    let serving = thread::spawn({
        let server = server(&dir);
        move || serve_fds(server, &input, &output).map(|()| output)
    });
    let writing = thread::spawn(move || requests.write_all(&script()));
    let mut read = vec![0; expected.len()];
    replies.read_exact(&mut read).expect("replies");
    assert!(read == expected);
    writing.join().expect("a writer").expect("written");
    let output = serving.join().expect("a server").expect("served");
    let flags = nix::fcntl::fcntl(&output, nix::fcntl::FcntlArg::F_GETFL).expect("flags");
    assert_eq!(flags & libc::O_NONBLOCK, 0);
}

#[test]
fn who_serves_two_descriptors_shuts_its_memory() {
    let (ours, theirs) = UnixStream::pair().expect("a socket");
    drop(ours);
    serve_fds(Server::new(Options::default()), &theirs, &theirs).expect("the end of the requests");
    #[cfg(target_os = "linux")]
    assert!(!nix::sys::prctl::get_dumpable().expect("asked"));
}

#[test]
fn an_unread_reply_does_not_keep_requests_waiting_without_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut pump = Pump::new(server(&dir));
    std::fs::write(dir.path().join("f"), vec![0; 9000]).expect("a file");
    // What follows the last field is not looked at.
    let request = Request::new(kind::READ).s([0; 4]).u64(0).u32(9000).s([0; 1000]).framed();
    let mut stream = init().framed();
    stream.extend(Request::new(kind::OPEN).s("f").u32(READ).u32(0).framed());
    stream.extend(request.repeat(6000));
    let mut taken = 0;
    while !pump.room().is_empty() {
        let room = pump.room();
        let count = room.len().min(stream.len() - taken);
        room[..count].copy_from_slice(&stream[taken..taken + count]);
        pump.filled(count);
        pump.work().expect("requests");
        taken += count;
    }
    assert!((4 << 20..6 << 20).contains(&taken), "{taken} bytes were taken");
    assert!(!pump.can_work() && pump.replies().len() < 1 << 20);
}

/// A request that is whole, on names within the directory.
fn request() -> impl Strategy<Value = Request> {
    let name =
        || prop::sample::select(vec!["", "f", "g", "d", "d/f", "d/", "f/", "l", "nosuch/f", "a\0b", "~/f"]);
    let number = || prop_oneof![Just(0), Just(5), Just(1 << 20), Just(u64::MAX), Just(1 << 63)];
    let handle = || 0_u32..4;
    let attributes = (0_u32..16, number(), 0_u32..0o10_000).prop_map(|(flags, size, mode)| {
        let mut fields = Request(Vec::new()).u32(flags);
        // Nobody's files are made gigabytes long, nor given away.
        let flags = flags & !2;
        fields.0[3] = flags as u8;
        if flags & 1 != 0 {
            fields = fields.u64(size);
        }
        if flags & 4 != 0 {
            fields = fields.u32(mode | 0o700);
        }
        if flags & 8 != 0 {
            fields = fields.u32(mode).u32(mode);
        }
        fields.0
    });
    let kinds = prop::sample::select(vec![
        3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 77, 200, 201,
    ]);
    let extension =
        prop::sample::select(vec!["posix-rename", "hardlink", "lsetstat", "statvfs", "expand-path", "x"]);
    (kinds, name(), name(), handle(), number(), 0_u32..64, attributes, extension).prop_map(
        |(kind, one, other, handle, number, flags, attributes, extension)| {
            let handle = handle.to_be_bytes();
            let mut request = Request::new(kind);
            request = match kind {
                3 => request.s(one).u32(flags),
                5 => request.s(handle).u64(number).u32(number as u32),
                6 => request.s(handle).u64(number % (1 << 40)).s(other),
                4 | 8 | 10 | 12 => request.s(handle),
                18 | 20 => request.s(one).s(other),
                200 => request.s(format!("{extension}@openssh.com")).s(one),
                _ => request.s(one),
            };
            if kind == 200 && extension != "lsetstat" {
                return request.s(other);
            }
            request.0.extend(attributes);
            request
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_the_requests_gives_the_same_replies(
        pieces in prop::collection::vec(prop_oneof![1_usize..40, 1000_usize..90_000], 0..60),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let script = script();
        prop_assert_eq!(pumped(&dir, &script, &pieces), pumped(&dir, &script, &[]));
    }

    #[test]
    fn random_requests_never_panic(
        requests in prop::collection::vec((0_u8..22, prop::collection::vec(any::<u8>(), 0..60)), 0..40),
    ) {
        // Read-only, so that nothing is changed by chance; what would change is parsed in other tests.
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { start: dir.path().into(), read_only: true, ..Options::default() };
        let mut server = Server::new(options);
        let mut out = Vec::new();
        server.receive(&init().0, &mut out).expect("a version");
        for (kind, rest) in requests {
            let before = out.len();
            let request = [&[kind, 0, 0, 0, 1], &rest[..]].concat();
            match server.receive(&request, &mut out) {
                Ok(()) => prop_assert!(out.len() >= before + 9),
                Err(_) => prop_assert_eq!(out.len(), before),
            }
        }
    }

    /// Whatever is asked for, in whatever order, has one reply and stays within its packet.
    #[test]
    fn every_request_has_one_reply(requests in prop::collection::vec(request(), 0..60)) {
        let mut client = Client::new();
        for request in requests {
            let reply = client.packet(&request).expect("one reply");
            prop_assert!(reply.len() <= MAX_PACKET);
        }
    }

    #[test]
    fn random_extended_requests_never_panic(
        which in 0_usize..11,
        fields in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..9),
            Just(vec![0, 0, 0, 4, 0, 0, 0, 0]),
            Just(vec![0, 0, 0, 1, b'/']),
        ], 0..8),
    ) {
        const NAMES: [&str; 11] = [
            "posix-rename@openssh.com", "statvfs@openssh.com", "fstatvfs@openssh.com", "hardlink@openssh.com",
            "fsync@openssh.com", "lsetstat@openssh.com", "limits@openssh.com", "expand-path@openssh.com",
            "copy-data", "home-directory", "users-groups-by-id@openssh.com",
        ];
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { start: dir.path().into(), read_only: true, ..Options::default() };
        let mut server = Server::new(options);
        let mut out = Vec::new();
        server.receive(&init().0, &mut out).expect("a version");
        let request = [Request::extended(NAMES[which]).0, fields.concat()].concat();
        let _ = server.receive(&request, &mut out);
    }

    #[test]
    fn random_bytes_never_panic(stream in prop::collection::vec(any::<u8>(), 0..2000)) {
        let dir = tempfile::tempdir().expect("a directory");
        let _ = serve(server(&dir), &stream[..], Vec::new());
    }
}
