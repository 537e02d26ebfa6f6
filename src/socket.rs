//! Sockets at which programs of a user ask each other: a line of JSON each, with descriptors beside it.

use std::{
    fs, io,
    io::{IoSlice, IoSliceMut, Read as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

use nix::unistd::geteuid;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::Interest;

use crate::files::create_private_dir;

/// A longer line is not read of a caller.
pub(crate) const LONGEST: usize = 64 << 10;

/// A longer line is not read of who was asked, who may have much to tell.
pub(crate) const LONGEST_ANSWER: usize = 16 << 20;

/// Callers that may wait to be heard.
const BACKLOG: i32 = 4096;

/// Descriptors that come with a message at most.
const MOST: usize = 2;

/// Connects to who listens at a socket, which has to be a process of a user who is expected there. Where as many wait as
/// can, this one does not.
pub(crate) fn connect(path: &Path, is_expected: impl FnOnce(u32) -> bool) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    match peer(&stream).is_some_and(is_expected) {
        true => Ok(stream),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "who listens there is another user")),
    }
}

/// Listens for callers, in a folder that nobody else gets into, in place of a socket at which nobody listens.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    path.parent().map_or(Ok(()), create_private_dir)?;
    let _ = fs::remove_file(path);
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Whether the other end is a process of this user's, or root's.
pub(crate) fn is_own(stream: &impl AsFd) -> bool {
    own_peer(stream).is_some()
}

/// Whose process the other end is, where it is this user's or root's.
pub(crate) fn own_peer(stream: &impl AsFd) -> Option<u32> {
    peer(stream).filter(|uid| is_trusted(*uid))
}

/// Whether this is this user, or root.
pub(crate) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

fn peer(stream: &impl AsFd) -> Option<u32> {
    #[cfg(target_os = "linux")]
    return Some(rustix::net::sockopt::socket_peercred(stream).ok()?.uid.as_raw());
    #[cfg(not(target_os = "linux"))]
    return Some(nix::unistd::getpeereid(stream).ok()?.0.as_raw());
}

/// Sends bytes and descriptors; returns how many bytes were taken.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        beside.push(SendAncillaryMessage::ScmRights(fds));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

/// Receives bytes, and the descriptors that come along.
pub(crate) fn receive(socket: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
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

/// A line that stands for itself.
pub(crate) fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What a caller says first, with the descriptors that come along, no more than are expected. Nothing where it makes no
/// sense.
pub(crate) async fn hear<T: DeserializeOwned>(
    stream: &tokio::net::UnixStream,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Option<T>> {
    let mut said = Vec::new();
    let mut part = vec![0; LONGEST];
    while !said.ends_with(b"\n") && fds.len() <= MOST {
        stream.readable().await?;
        let received =
            stream.try_io(Interest::READABLE, || receive(stream, &mut part[..LONGEST - said.len()], fds));
        match received {
            Ok(0) => return Ok(None),
            Ok(count) => said.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(serde_json::from_slice(&said).ok())
}

/// One answer, byte by byte: a descriptor may come with the one after it. Nothing where it makes no sense.
pub(crate) fn read_line<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() <= LONGEST_ANSWER {
        match stream.read(&mut byte)? {
            1 if byte[0] == b'\n' => return Ok(serde_json::from_slice(&line).ok()),
            1 => line.push(byte[0]),
            _ => break,
        }
    }
    Ok(None)
}

/// The last answer, which may be long, but not in coming. Nothing where it makes no sense.
pub(crate) fn read_last_line<T: DeserializeOwned>(
    mut stream: &UnixStream,
    within: Duration,
) -> io::Result<Option<T>> {
    let deadline = Instant::now() + within;
    let (mut line, mut part) = (Vec::new(), vec![0; LONGEST]);
    while !line.ends_with(b"\n") && line.len() <= LONGEST_ANSWER {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => line.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(serde_json::from_slice(&line).ok())
}
