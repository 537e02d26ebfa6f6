//! A thread for each client of a server that has other things to do.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread,
};

use tokio::sync::oneshot;

use super::{
    drive::drive,
    server::{Options, Server},
};

/// Serves a client in a thread of its own; the receiver gets what [`serve_fds`](super::serve_fds) returns.
///
/// No pool lends the thread, and nothing waits for it: it may be in a read from a dead disk, or opening a
/// FIFO that has no other end. `held` is dropped when it ends, whoever has gone by then.
pub(in crate::server) fn serve_in_thread(
    options: Options,
    stream: UnixStream,
    held: impl Send + 'static,
) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (done, served) = oneshot::channel();
    thread::Builder::new().name("sftp".to_owned()).spawn(move || {
        let _held = held;
        let stream = OwnedFd::from(stream);
        let mut server = Server::new(options);
        server.take_thread();
        // Whether it is shut at all was said where the connection began.
        crate::memory::keep_closed_still();
        // A receiver that is gone has lost its client.
        let _ = done.send(drive(server, stream.as_fd(), stream.as_fd()));
    })?;
    Ok(served)
}
