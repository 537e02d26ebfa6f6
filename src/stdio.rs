//! File descriptors that this process was given: read and written without a thread between where they are
//! this process's own, and left as they are where others use them, too.

use std::{
    future::poll_fn,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::stat::{SFlag, fstat},
};
use rustix::{buffer::spare_capacity, io::Errno};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixStream, unix::pipe},
    task::JoinHandle,
};

/// How much a pipe to ssh holds, in bytes: fewer and larger turns than with the usual 64 KiB.
///
/// Not more, since all pipes of a user together have a soft limit, 64 MiB on Linux, past which new
/// ones hold next to nothing.
#[cfg(target_os = "linux")]
const PIPE_SIZE: i32 = 256 << 10;

/// Prints a result to stdout, and says whether anybody reads it. A reader that has gone is no error (`irosh peers | head`),
/// a full disk is.
///
/// # Errors
///
/// What the system says, in words for people.
pub fn print(text: &str) -> io::Result<bool> {
    match write_all(io::stdout(), format!("{}\n", text.trim_end()).as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot write to stdout: {error}"))),
    }
}

/// This process's stdin and stdout.
///
/// # Errors
///
/// What the system says, such as a descriptor that is closed.
pub fn pair() -> io::Result<(Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>)> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok((reader(stdin)?, writer(stdout)?))
}

/// This process's stdin, a socket, in both directions.
///
/// # Errors
///
/// What the system says, such as a descriptor that is closed.
pub fn stdin_alone() -> io::Result<(Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>)> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok((reader(stdin.try_clone()?)?, writer(stdin)?))
}

/// Ends stdout for whoever reads it; what is printed afterwards goes nowhere.
///
/// # Errors
///
/// What the system says.
pub fn end_stdout() -> io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(nowhere)?)
}

/// What a descriptor is.
pub(crate) enum Kind {
    /// A pipe.
    Pipe,
    /// A stream socket.
    Socket,
    /// A file, a terminal or another device: what the system cannot wait for, or what others use
    /// too and would be surprised to find non-blocking.
    Other,
}

/// What this one is.
pub(crate) fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let mode = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    Ok(if mode == SFlag::S_IFIFO {
        Kind::Pipe
    } else if mode == SFlag::S_IFSOCK {
        Kind::Socket
    } else {
        Kind::Other
    })
}

/// Reads it: pipes and sockets without blocking, files and terminals through a thread.
pub(crate) fn reader(fd: OwnedFd) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
    Ok(match kind(&fd)? {
        Kind::Pipe => {
            widen(&fd);
            Box::new(pipe::Receiver::from_owned_fd(fd)?)
        }
        Kind::Socket => Box::new(socket(fd)?),
        Kind::Other => Box::new(tokio::fs::File::from_std(fd.into())),
    })
}

/// Writes it, in the same way.
pub(crate) fn writer(fd: OwnedFd) -> io::Result<Box<dyn AsyncWrite + Send + Unpin>> {
    Ok(match kind(&fd)? {
        Kind::Pipe => {
            widen(&fd);
            Box::new(pipe::Sender::from_owned_fd(fd)?)
        }
        Kind::Socket => Box::new(socket(fd)?),
        Kind::Other => Box::new(tokio::fs::File::from_std(fd.into())),
    })
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    // Reading, writing and shutting down are the same for every kind of stream socket.
    let socket = StdUnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
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

/// Bytes that an [`Input`] reads at once.
const READ: usize = 256 << 10;

/// This process's stdin as it was given: blocking or not, which is for those to say who share it. It is read
/// in a thread, when something is asked for.
#[derive(Debug)]
pub struct Input {
    fd: Arc<OwnedFd>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    left: Bytes,
}

impl Input {
    /// # Errors
    ///
    /// What the system says, such as a descriptor that is closed.
    pub fn stdin() -> io::Result<Self> {
        let fd = Arc::new(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { fd, reading: None, left: Bytes::new() })
    }

    /// What comes next; nothing at the end. Cancel safe.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn next(&mut self) -> io::Result<Bytes> {
        if !self.left.is_empty() {
            return Ok(std::mem::take(&mut self.left));
        }
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let reading = self.reading.get_or_insert_with(|| {
            let fd = Arc::clone(&self.fd);
            tokio::task::spawn_blocking(move || {
                let mut buffer = Vec::with_capacity(READ);
                read(&fd, &mut buffer)?;
                // A few bytes that wait somewhere do not hold all of the buffer.
                let is_small = buffer.len() < READ / 4;
                Ok(if is_small { Bytes::copy_from_slice(&buffer) } else { buffer.into() })
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(read?)
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            self.left = ready!(self.poll_next(cx))?;
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left[..count]);
        self.left.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Reads what is there, and waits for it where the descriptor itself does not.
fn read(fd: impl AsFd, buffer: &mut Vec<u8>) -> io::Result<()> {
    loop {
        match rustix::io::read(&fd, spare_capacity(buffer)) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for(&fd, PollFlags::POLLIN)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes all of it, and waits until it is out where the descriptor itself does not.
///
/// # Errors
///
/// What the system says.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for(&fd, PollFlags::POLLOUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait_for(fd: &impl AsFd, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(fd.as_fd(), what)], PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    /// A pipe whose ends do not wait.
    fn pipe() -> (OwnedFd, OwnedFd) {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        for end in [&reader, &writer] {
            fcntl_setfl(end, OFlags::NONBLOCK).expect("set");
        }
        (reader, writer)
    }

    #[tokio::test]
    async fn what_does_not_wait_itself_is_waited_for() {
        let (reader, writer) = pipe();
        let mut input = Input { fd: Arc::new(reader), reading: None, left: Bytes::new() };
        let waits = poll_fn(|cx| Poll::Ready(input.poll_next(cx).is_pending())).await;
        assert!(waits, "nothing is there yet");
        // More than fits into a pipe.
        let sent = vec![7; 1 << 20];
        let writing = tokio::task::spawn_blocking({
            let sent = sent.clone();
            move || write_all(writer, &sent)
        });
        let mut got = Vec::new();
        loop {
            match input.next().await.expect("read") {
                bytes if bytes.is_empty() => break,
                bytes => got.extend_from_slice(&bytes),
            }
        }
        writing.await.expect("no panic").expect("written");
        assert!(got == sent);
    }
}
