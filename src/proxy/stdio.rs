//! This process's stdin and stdout without a thread between, whatever they are.

use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::unix::pipe,
};

use crate::{
    session::{ReadSource, Side, WriteSink},
    stdio::{Kind, kind, reader, writer},
};

/// What reads stdin.
pub(super) type StdinSource = ReadSource<Box<dyn AsyncRead + Send + Unpin>>;
/// What writes stdout.
pub(super) type StdoutSink = WriteSink<Box<dyn AsyncWrite + Send + Unpin>>;
/// stdin and stdout as the client side of a session.
pub(super) type Stdio = Side<StdinSource, StdoutSink>;

/// Takes file descriptors 0 and 1: pipes and sockets are used without blocking, files and
/// terminals through a thread.
///
/// # Errors
///
/// What the system says, such as a descriptor that is closed.
pub(super) fn stdio() -> io::Result<Stdio> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Side { source: ReadSource::new(reader(stdin)?), sink: sink(stdout)? })
}

fn sink(fd: OwnedFd) -> io::Result<StdoutSink> {
    let watched = match kind(&fd)? {
        Kind::Pipe => Some(fd.try_clone()?),
        Kind::Socket | Kind::Other => None,
    };
    let sink = WriteSink::new(writer(fd)?);
    Ok(match watched {
        Some(watched) => sink.with_gone(reader_gone(watched)?),
        None => sink,
    })
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
