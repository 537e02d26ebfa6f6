//! File descriptors that this process was given, read and written without a thread between.

use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
};

use nix::sys::stat::{SFlag, fstat};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixStream, unix::pipe},
};

/// How much a pipe to ssh holds, in bytes: fewer and larger turns than with the usual 64 KiB.
///
/// Not more, since all pipes of a user together have a soft limit, 64 MiB on Linux, past which new
/// ones hold next to nothing.
#[cfg(target_os = "linux")]
const PIPE_SIZE: i32 = 256 << 10;

/// Prints a result to stdout. A reader that has gone is no error (`irosh peers | head`), a full disk is.
///
/// # Errors
///
/// What the system says, in words for people.
pub fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
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

/// Reads a line from a terminal that does not show it.
///
/// # Errors
///
/// What the system says.
pub fn read_hidden_line() -> io::Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_modes -= LocalModes::ECHO;
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    read?;
    Ok(line.trim_end_matches('\n').to_owned())
}
