//! Servers in threads of their own.

use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    sync::{Arc, Weak},
};

use tokio::sync::oneshot;

use super::*;
use crate::server::sftp::serve_in_thread;

type Served = oneshot::Receiver<std::io::Result<()>>;

/// A client of a server in a thread, which holds this.
fn start(options: Options) -> (UnixStream, Served, Weak<()>) {
    let (ours, theirs) = UnixStream::pair().expect("a socket");
    let held = Arc::new(());
    let alive = Arc::downgrade(&held);
    (ours, serve_in_thread(options, theirs, held).expect("a thread"), alive)
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_thread_s_umask_is_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = dir.path().join("before");
    std::fs::create_dir(&before).expect("a directory");
    let options = Options { start: dir.path().into(), umask: Some(0o007), ..Options::default() };
    let (mut client, served, _) = start(options);
    let open = Request::new(kind::OPEN).s("f").u32(WRITE | CREATE).u32(4).u32(0o777).framed();
    let mkdir = Request::new(kind::MKDIR).s("d").u32(0).framed();
    client.write_all(&[init().framed(), open, mkdir].concat()).expect("written");
    client.shutdown(std::net::Shutdown::Write).expect("shut down");
    client.read_to_end(&mut Vec::new()).expect("replies");
    served.blocking_recv().expect("an end").expect("served");
    assert_eq!((mode_of(&dir.path().join("f")), mode_of(&dir.path().join("d"))), (0o770, 0o770));
    let after = dir.path().join("after");
    std::fs::create_dir(&after).expect("a directory");
    assert_eq!(mode_of(&after), mode_of(&before), "the process's umask is what it was");
}

#[test]
fn a_thread_that_is_stuck_keeps_what_it_holds() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let (mut client, served, alive) = start(Options { start: dir.path().into(), ..Options::default() });
    let open = Request::new(kind::OPEN).s("fifo").u32(READ).u32(0).framed();
    client.write_all(&[init().framed(), open].concat()).expect("written");
    client.read_exact(&mut [0; 9]).expect("a version");
    drop(client);
    assert!(alive.upgrade().is_some(), "nobody has opened the other end");
    // It opens once both ends are there.
    drop(std::fs::OpenOptions::new().write(true).open(&fifo).expect("the other end"));
    served.blocking_recv().expect("an end").expect("a client that left is no error");
}
