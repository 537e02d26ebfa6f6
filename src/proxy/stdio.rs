//! This process's stdin and stdout without a thread between, whatever they are.

use std::{
    future::Future,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    pin::Pin,
};

use nix::sys::stat::{SFlag, fstat};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::{UnixStream, unix::pipe},
};

use crate::session::{ReadSource, Side, WriteSink};

/// How much a pipe to ssh holds, in bytes: fewer and larger turns than with the usual 64 KiB.
///
/// Not more, since all pipes of a user together have a soft limit, 64 MiB on Linux, past which new
/// ones hold next to nothing.
#[cfg(target_os = "linux")]
const PIPE_SIZE: i32 = 256 << 10;

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

enum Kind {
    Pipe,
    Socket,
    /// A file, a terminal or another device: what the system cannot wait for, or what others use
    /// too and would be surprised to find non-blocking.
    Other,
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let mode = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    Ok(if mode == SFlag::S_IFIFO {
        Kind::Pipe
    } else if mode == SFlag::S_IFSOCK {
        Kind::Socket
    } else {
        Kind::Other
    })
}

fn reader(fd: OwnedFd) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
    Ok(match kind(&fd)? {
        Kind::Pipe => {
            widen(&fd);
            Box::new(pipe::Receiver::from_owned_fd(fd)?)
        }
        Kind::Socket => Box::new(socket(fd)?),
        Kind::Other => Box::new(tokio::fs::File::from_std(fd.into())),
    })
}

fn sink(fd: OwnedFd) -> io::Result<StdoutSink> {
    Ok(match kind(&fd)? {
        Kind::Pipe => {
            widen(&fd);
            let watched = fd.try_clone()?;
            let writer = pipe::Sender::from_owned_fd(fd)?;
            WriteSink::new(Box::new(writer) as Box<_>).with_gone(reader_gone(watched)?)
        }
        Kind::Socket => WriteSink::new(Box::new(socket(fd)?)),
        Kind::Other => WriteSink::new(Box::new(tokio::fs::File::from_std(fd.into()))),
    })
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    // Reading, writing and shutting down are the same for every kind of stream socket.
    let socket = StdUnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
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

fn widen(fd: &OwnedFd) {
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{FcntlArg, fcntl};
        if fcntl(fd, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size < PIPE_SIZE) {
            let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
}
