//! Sessions that go from one program to the next: over exec(2), or over systemd's store of descriptors
//! (`FileDescriptorStoreMax=` in systemd.service(5)).
//!
//! What a session is stands in a sealed memory file; its socket, and its process, are descriptors beside it. The file is
//! a line of JSON that says what it is, and then for each session the length of its [`Note`] (4 bytes, the least
//! first), the note, and the bytes that it holds. A later release knows what an earlier one wrote: fields are added, and
//! none changes its meaning without another [`FORMAT`].

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    os::unix::process::CommandExt,
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::tz::TimeZone;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
#[cfg(target_os = "linux")]
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};

use super::{
    certificates::{Certified, UserCertificate},
    peer::Peer,
    process::InheritedProcess,
    restrictions::Restrictions,
    roll::Standing,
};
use crate::{
    log,
    protocol::{Instance, SessionId},
    session::{Frozen, Written},
};

/// The variable that names the descriptor of the file to the next program.
pub(super) const SESSIONS_VARIABLE: &str = "IROSH_SESSIONS";

/// The file's name in the store; the descriptors of a session are named by its number.
const FILE: &str = "irosh-sessions";

/// The ends of the pipe that children have for their stderr.
const STDERR: [&str; 2] = ["irosh-stderr-0", "irosh-stderr-1"];

/// How the file is written.
const FORMAT: u32 = 1;

/// The longest note: an identity's line is in it.
const MAX_NOTE: u32 = 1 << 20;

/// How long the service manager may take to have taken everything.
const TAKEN: Duration = Duration::from_secs(10);

/// What another process goes on with.
pub struct HandOver {
    pub(super) sessions: Vec<Left>,
}

/// A session that this process has let go of.
pub(super) struct Left {
    pub(super) id: SessionId,
    pub(super) standing: Standing,
    pub(super) instance: Instance,
    pub(super) started: Instant,
    pub(super) detached: Option<Instant>,
    /// Whether its beginning was told.
    pub(super) told: bool,
    pub(super) socket: OwnedFd,
    pub(super) process: Option<(i32, OwnedFd)>,
    pub(super) frozen: Frozen,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    /// Whose release it is, for people.
    release: String,
    sessions: usize,
    stderr: Option<[RawFd; 2]>,
}

/// A session, as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Note {
    session: String,
    /// Its peer's line of `authorized_peers`, and whether it stood there.
    peer: String,
    listed: bool,
    /// What it came in by, where it did not stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certified: Option<CertifiedNote>,
    instance: String,
    told: bool,
    seconds: f64,
    seconds_detached: f64,
    /// Descriptors of the process that wrote it.
    socket: RawFd,
    process: Option<(i32, RawFd)>,
    #[serde(flatten)]
    state: Written,
}

/// What a certificate has come to, as it stands in the file.
#[derive(Serialize, Deserialize)]
struct CertifiedNote {
    certificate: String,
    logins: Vec<String>,
    denied: Restrictions,
}

impl HandOver {
    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Runs a program in place of this one, which goes on with the sessions. Returns only if that fails.
    ///
    /// To be called where no other thread starts processes: they would inherit the sessions' descriptors.
    #[must_use]
    pub fn exec(self, command: &mut Command) -> io::Error {
        let prepare = || {
            let (file, descriptors) = self.write()?;
            let stderr = log::pipe_of_children();
            let inherited = descriptors.iter().map(|(_, descriptor)| descriptor.as_fd());
            for descriptor in inherited.chain(stderr.into_iter().flatten()).chain([file.as_fd()]) {
                fcntl_setfd(descriptor, FdFlags::empty())?;
            }
            io::Result::Ok((file, descriptors))
        };
        match prepare() {
            Ok((file, _descriptors)) => command.env(SESSIONS_VARIABLE, file.as_raw_fd().to_string()).exec(),
            Err(error) => error,
        }
    }

    /// Has the service manager keep the sessions for the next program, which has to be this service's. As many as there
    /// is room for: the store takes `most` descriptors.
    ///
    /// # Errors
    ///
    /// What the system says; nothing is to be relied on then.
    pub fn keep(mut self, most: usize) -> io::Result<()> {
        // The file, and the ends of the pipe.
        let mut room = most.saturating_sub(3);
        self.sessions.retain(|left| {
            let takes = 1 + usize::from(left.process.is_some());
            let stays = takes <= room;
            room -= if stays { takes } else { 0 };
            if !stays {
                tracing::error!(session = %left.id, "session ended: FileDescriptorStoreMax={most} is too small for it");
            }
            stays
        });
        let (file, descriptors) = self.write()?;
        let stderr = log::pipe_of_children().into_iter().flatten();
        let named = descriptors.iter().map(|(name, descriptor)| (name.as_str(), descriptor.as_fd()));
        for (name, descriptor) in named.chain(STDERR.into_iter().zip(stderr)).chain([(FILE, file.as_fd())]) {
            // It is to keep those, too, whose other end has gone: there may be something to read.
            let words = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
            sd_notify::notify_with_fds(&words, &[descriptor])?;
        }
        wait_until_taken()
    }

    /// Writes the file, and says which descriptors go with it, by which names.
    fn write(self) -> io::Result<(OwnedFd, Vec<(String, OwnedFd)>)> {
        let file = memory_file()?;
        let mut writer = BufWriter::new(File::from(file.try_clone()?));
        let stderr = log::pipe_of_children().map(|ends| ends.map(|end| end.as_raw_fd()));
        let (release, sessions) = (env!("CARGO_PKG_VERSION").to_owned(), self.sessions.len());
        serde_json::to_writer(&mut writer, &Head { format: FORMAT, release, sessions, stderr })?;
        writer.write_all(b"\n")?;
        let mut descriptors = Vec::new();
        for left in self.sessions {
            left.write(&mut writer, &mut descriptors)?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        seal(&file)?;
        Ok((file, descriptors))
    }
}

impl Left {
    fn write(self, writer: &mut impl Write, descriptors: &mut Vec<(String, OwnedFd)>) -> io::Result<()> {
        let (state, bytes) = self.frozen.written();
        let process = self.process.as_ref().map(|(pid, descriptor)| (*pid, descriptor.as_raw_fd()));
        let name = hex::encode(self.id.0);
        let note = Note {
            session: name.clone(),
            peer: self.standing.peer.line(),
            listed: self.standing.listed,
            certified: self.standing.certified.map(CertifiedNote::from),
            instance: hex::encode(self.instance.0),
            told: self.told,
            seconds: self.started.elapsed().as_secs_f64(),
            seconds_detached: self.detached.map_or(0.0, |since| since.elapsed().as_secs_f64()),
            socket: self.socket.as_raw_fd(),
            process,
            state,
        };
        let note = serde_json::to_vec(&note)?;
        let length = u32::try_from(note.len()).map_err(io::Error::other)?;
        writer.write_all(&length.to_le_bytes())?;
        writer.write_all(&note)?;
        for chunk in bytes {
            writer.write_all(&chunk)?;
        }
        descriptors.extend(self.process.map(|(_, descriptor)| (of_process(&name), descriptor)));
        descriptors.push((name, self.socket));
        Ok(())
    }
}

/// The name in the store of a session's process.
fn of_process(session: &str) -> String {
    format!("{session}-process")
}

/// Waits until the service manager has seen all that it was told: what a process says that is no more may be dropped
/// (sd_notify_barrier(3)).
fn wait_until_taken() -> io::Result<()> {
    let (ours, theirs) = io::pipe()?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()])?;
    drop(theirs);
    let mut descriptors = [PollFd::new(ours.as_fd(), PollFlags::empty())];
    match poll(&mut descriptors, PollTimeout::try_from(TAKEN).unwrap_or(PollTimeout::MAX))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the service manager does not answer")),
        _ => Ok(()),
    }
}

/// What an earlier process has left.
pub struct Inherited {
    sessions: Vec<Found>,
}

/// A session that an earlier process has left.
pub(super) struct Found {
    pub(super) id: SessionId,
    pub(super) standing: Standing,
    pub(super) instance: Instance,
    pub(super) started: Instant,
    pub(super) told: bool,
    /// For how long nobody has had it.
    pub(super) detached: Duration,
    pub(super) socket: OwnedFd,
    pub(super) process: Option<InheritedProcess>,
    pub(super) frozen: Frozen,
}

/// Where descriptors are.
enum Descriptors {
    /// They have the numbers that they had: this is the same process.
    Kept,
    /// The service manager has given them names.
    Named(HashMap<String, OwnedFd>),
}

impl Inherited {
    /// Takes what there is, out of the environment or the service manager's store. In the latter, it is there no more
    /// afterwards. Has to be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The sessions end then.
    pub fn take() -> io::Result<Option<Self>> {
        if let Some(number) = std::env::var_os(SESSIONS_VARIABLE) {
            let number = number.to_str().and_then(|number| number.parse().ok());
            // A program that runs in a session of another host may have its environment.
            let Some(file) = number.and_then(|number| taken(number, is_sealed)) else { return Ok(None) };
            return Self::read(file, Descriptors::Kept).map(Some);
        }
        let mut named = HashMap::new();
        for (number, name) in sd_notify::listen_fds_with_names()? {
            named.extend(taken(number, |_| true).map(|descriptor| (name, descriptor)));
        }
        for name in named.keys() {
            sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)])?;
        }
        match named.remove(FILE) {
            Some(file) => Self::read(file, Descriptors::Named(named)).map(Some),
            None => Ok(None),
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn into_sessions(self) -> Vec<Found> {
        self.sessions
    }

    fn read(file: OwnedFd, mut descriptors: Descriptors) -> io::Result<Self> {
        let mut file = File::from(file);
        io::Seek::rewind(&mut file)?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        io::BufRead::read_until(&mut io::Read::take(&mut reader, MAX_NOTE.into()), b'\n', &mut line)?;
        let head: Head = serde_json::from_slice(&line)?;
        if head.format != FORMAT {
            let Head { release, sessions, .. } = head;
            let message = format!(
                "{sessions} sessions end: irosh {release} left them in a way that this release does not know"
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        if let Some([out, into]) = head.stderr {
            let ends = (descriptors.find(STDERR[0], out), descriptors.find(STDERR[1], into));
            if let (Some(out), Some(into)) = ends {
                log::inherit_pipe_of_children(out, into);
            }
        }
        let mut sessions = Vec::new();
        for _ in 0..head.sessions {
            let (note, bytes) = Note::read(&mut reader)?;
            let session = note.session.clone();
            match note.found(bytes, &mut descriptors) {
                Some(found) => sessions.push(found),
                None => tracing::error!(session, "session ended: what was left of it makes no sense"),
            }
        }
        Ok(Self { sessions })
    }
}

impl Note {
    fn read(reader: &mut impl Read) -> io::Result<(Self, Bytes)> {
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_NOTE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut note = vec![0; length as usize];
        reader.read_exact(&mut note)?;
        let note: Self = serde_json::from_slice(&note)?;
        let mut bytes = vec![0; note.state.following().ok_or(io::ErrorKind::InvalidData)?];
        reader.read_exact(&mut bytes)?;
        Ok((note, bytes.into()))
    }

    fn found(self, bytes: Bytes, descriptors: &mut Descriptors) -> Option<Found> {
        let socket = descriptors.find(&self.session, self.socket)?;
        let process = self.process.and_then(|(pid, number)| {
            let descriptor = descriptors.find(&of_process(&self.session), number)?;
            InheritedProcess::new(pid, descriptor).ok()
        });
        let number = |text: &str| hex::decode(text).ok()?.try_into().ok();
        let since = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let now = Instant::now();
        Some(Found {
            id: SessionId(number(&self.session)?),
            standing: Standing {
                peer: Peer::parse(&self.peer, &TimeZone::UTC).ok()?,
                listed: self.listed,
                certified: match self.certified {
                    Some(certified) => Some(certified.read()?),
                    None => None,
                },
            },
            instance: Instance(number(&self.instance)?),
            started: now.checked_sub(since(self.seconds)).unwrap_or(now),
            told: self.told,
            detached: since(self.seconds_detached),
            socket,
            process,
            frozen: Frozen::read(self.state, bytes)?,
        })
    }
}

impl From<Certified> for CertifiedNote {
    fn from(certified: Certified) -> Self {
        let Certified { certificate, logins, denied } = certified;
        Self { certificate: certificate.openssh(), logins, denied }
    }
}

impl CertifiedNote {
    fn read(self) -> Option<Certified> {
        let certificate = UserCertificate::from_openssh(&self.certificate)?.into();
        Some(Certified { certificate, logins: self.logins, denied: self.denied })
    }
}

impl Descriptors {
    /// A descriptor, by its name or by the number that it had where it was written down.
    fn find(&mut self, name: &str, number: RawFd) -> Option<OwnedFd> {
        match self {
            Self::Kept => taken(number, |_| true),
            Self::Named(named) => named.remove(name),
        }
    }
}

/// A descriptor that this process was started with, for this process alone, if it is what it should be.
#[allow(unsafe_code, reason = "a number that an earlier program has left for this one")]
fn taken(number: RawFd, is_it: impl FnOnce(BorrowedFd<'_>) -> bool) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: it is open, or the next calls fail.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(borrowed).ok().filter(|_| is_it(borrowed))?;
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).ok()?;
    // SAFETY: it was left for this program, which has not opened it and owns it nowhere else.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A file in memory.
#[cfg(target_os = "linux")]
fn memory_file() -> io::Result<OwnedFd> {
    Ok(memfd_create(FILE, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?)
}

/// The file is not to change while it is read, whoever else has it.
#[cfg(target_os = "linux")]
const SEALED: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

#[cfg(target_os = "linux")]
fn seal(file: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_add_seals(file, SEALED)?)
}

#[cfg(target_os = "linux")]
fn is_sealed(file: BorrowedFd<'_>) -> bool {
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALED))
}

#[cfg(not(target_os = "linux"))]
fn memory_file() -> io::Result<OwnedFd> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no files that can be sealed"))
}

#[cfg(not(target_os = "linux"))]
fn seal(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn is_sealed(_: BorrowedFd<'_>) -> bool {
    false
}
