//! The agent's socket: where it is, whose it is, and descriptors that travel on it.

use std::{
    fs, io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
};

use nix::unistd::geteuid;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::message::VERSION;
use crate::files::{Paths, create_private_dir};

/// Callers that may wait to be heard.
const BACKLOG: i32 = 4096;

/// Descriptors that come with a message at most.
pub(super) const MOST: usize = 2;

/// The socket of the agent that speaks as this program does: another version of it has another.
pub(super) fn path(paths: &Paths) -> PathBuf {
    paths.agents().join(format!("agent-{}-{VERSION}.sock", env!("CARGO_PKG_VERSION")))
}

/// Connects to an agent, who has to be this user's.
pub(super) fn connect(path: &std::path::Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    match is_own(&stream) {
        true => Ok(stream),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the agent there is another user's")),
    }
}

/// Listens for callers, in a folder that nobody else gets into, in place of a socket at which nobody listens.
pub(super) fn listen(paths: &Paths) -> io::Result<UnixListener> {
    let path = path(paths);
    create_private_dir(&paths.agents())?;
    let _ = fs::remove_file(&path);
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Whether the other end is a process of this user's, or root's.
pub(super) fn is_own(stream: &impl AsFd) -> bool {
    peer(stream).is_some_and(|uid| uid == 0 || uid == geteuid().as_raw())
}

fn peer(stream: &impl AsFd) -> Option<u32> {
    #[cfg(target_os = "linux")]
    return Some(rustix::net::sockopt::socket_peercred(stream).ok()?.uid.as_raw());
    #[cfg(not(target_os = "linux"))]
    return Some(nix::unistd::getpeereid(stream).ok()?.0.as_raw());
}

/// Sends bytes and descriptors; returns how many bytes were taken.
pub(super) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        beside.push(SendAncillaryMessage::ScmRights(fds));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

/// Receives bytes, and the descriptors that come along.
pub(super) fn receive(socket: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut beside, flags)?;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(received.bytes)
}

/// Hands ssh the socket that it is to use (`ProxyUseFdpass`), over stdout.
///
/// # Errors
///
/// What the system says, such as that stdout is no socket.
pub fn pass_to_ssh(end: &impl AsFd) -> io::Result<()> {
    // With one byte, as its mm_receive_fd wants it (monitor_fdpass.c).
    send(io::stdout(), &[0], &[end.as_fd()]).map(drop)
}
