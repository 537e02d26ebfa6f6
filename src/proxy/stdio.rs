//! This process's stdin and stdout without a thread between, whatever they are.

use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
};

use tokio::{io::Interest, net::unix::pipe};

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
        Kind::Socket => Ok(LocalWriter::new(writer(fd)?)),
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
