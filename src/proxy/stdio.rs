//! This process's stdin and stdout without a thread between, whatever they are.

use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    net::unix::pipe,
};

use crate::{
    session::{LocalReader, LocalWriter},
    stdio::{Kind, kind, reader, writer},
};

/// Takes file descriptors 0 and 1 as a session's local end: pipes and sockets are used without blocking, files and
/// terminals through a thread.
///
/// # Errors
///
/// What the system says, such as a descriptor that is closed.
pub fn stdio() -> io::Result<(LocalReader, LocalWriter)> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    ends(stdin, stdout)
}

/// Takes other descriptors in the same way: one to read, one to write.
///
/// # Errors
///
/// What the system says.
pub fn ends(stdin: OwnedFd, stdout: OwnedFd) -> io::Result<(LocalReader, LocalWriter)> {
    Ok((LocalReader::new(reader(stdin)?), local_writer(stdout)?))
}

fn local_writer(fd: OwnedFd) -> io::Result<LocalWriter> {
    match kind(&fd)? {
        Kind::Pipe => {
            let watched = fd.try_clone()?;
            Ok(LocalWriter::new(writer(fd)?).with_gone(reader_gone(watched)?))
        }
        Kind::Socket => {
            let watched = fd.try_clone()?;
            Ok(LocalWriter::new(writer(fd)?).with_gone(hung_up(watched)?))
        }
        Kind::Other => Ok(LocalWriter::new(writer(fd)?).flushed()),
    }
}

/// Resolves when the pipe's reader has gone, which is how a killed ssh shows.
fn reader_gone(fd: OwnedFd) -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let watched = pipe::Sender::from_owned_fd(fd)?;
    Ok(Box::pin(async move {
        if watched.ready(Interest::ERROR).await.is_err() {
            std::future::pending().await
        }
    }))
}

/// Resolves when the socket's other end has gone for good, and not its one direction alone: what it says last may be
/// that it says no more.
#[allow(unsafe_code, reason = "the descriptor is this value's own for as long as it is watched")]
fn hung_up(fd: OwnedFd) -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    // A hang-up is told of to whoever waits for anything, and nothing else is waited for: no byte wakes this.
    // SAFETY: an OwnedFd is the same descriptor as long as it lives, and is closed after it was taken out.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::PRIORITY) }?;
    Ok(Box::pin(async move {
        loop {
            match watched.ready(Interest::PRIORITY).await {
                Ok(ready) if ready.ready().is_read_closed() => return,
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => std::future::pending().await,
            }
        }
    }))
}
