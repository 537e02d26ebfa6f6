//! The server: one request in, one reply out.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
};

use super::{
    fatal::Fatal,
    handles::{Closed, Handles},
    limits::MAX_PACKET,
    longname::Names,
    status::{Status, Stop},
    user::User,
    wire::{Reader, Reply, Writer, kind},
};
use crate::server::log_level::LogLevel;

/// What is called when a file or directory is closed.
type OnClose = Box<dyn FnMut(&Closed<'_>) + Send>;

/// How a server behaves.
#[derive(Default)]
pub struct Options {
    /// Refuses all that changes anything, as `sftp-server -R`.
    pub read_only: bool,
    /// Requests that are refused, as `sftp-server -P`, by the names that `sftp-server -Q requests` shows.
    pub denied: Vec<String>,
    /// When it is set, only these requests are carried out, as `sftp-server -p`.
    pub allowed: Option<Vec<String>>,
    /// The umask, as `sftp-server -u`; unless set, the process's. That is never changed: what is created
    /// is given its mode, so where the whole process serves one client, set the process's instead.
    pub umask: Option<u32>,
    /// Where relative paths start, as `sftp-server -d`, and what `~` stands for. Where it cannot be
    /// entered, it is the user's home, and else the process's working directory, which is never changed.
    pub start: PathBuf,
    /// Who is served: the home of the unnamed user, and names for the log.
    pub user: User,
    /// How much is logged, as `sftp-server -l`.
    pub log_level: LogLevel,
    /// The most handles that may be open at once. Unless set, all servers of the process share half of its
    /// limit on open files, and no more than 4096: it has other files, and each server's client is told
    /// what is left for it.
    pub max_handles: Option<u64>,
    /// Leaves the memory of this process open to the client. Unless set, [`serve`](super::serve) and
    /// [`serve_fds`](super::serve_fds) shut it on Linux (`PR_SET_DUMPABLE`): `/proc/self/mem` is a file
    /// that can be read and written. Then only root can debug the process, and it leaves no core.
    pub leave_memory_open: bool,
    /// Told of each file and directory that is closed, also of those the client left open.
    pub on_close: Option<OnClose>,
}

/// A server of one client.
///
/// Every request is carried out before [`Self::receive`] returns, with blocking system calls. Nothing
/// is kept but the open handles and the names of users and groups.
pub struct Server {
    pub(super) options: Options,
    /// The physical path that relative paths start from.
    pub(super) start: PathBuf,
    pub(super) handles: Handles,
    pub(super) names: Names,
    /// The version the client said it speaks, once it has.
    version: Option<u32>,
}

impl Server {
    /// A server that waits for `INIT`.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let handles = Handles::new(options.max_handles);
        let start = PathBuf::new();
        let mut server = Self { options, start, handles, names: Names::default(), version: None };
        server.log_session("opened");
        server.start = server.find_start();
        server
    }

    /// The first that can be entered of the start, the home, and where the process is.
    fn find_start(&self) -> PathBuf {
        let Options { start, user, .. } = &self.options;
        enter(start).unwrap_or_else(|error| {
            self.log(LogLevel::Error, format_args!("chdir to {start:?} failed: {error}"));
            let process = |_| std::env::current_dir();
            enter(&user.home).or_else(process).unwrap_or_else(|_| PathBuf::from("/"))
        })
    }

    /// Carries out one request and appends its reply, framed, to `out`.
    ///
    /// The packet is a request without the four bytes of its length. What a client did wrong is
    /// answered; `INIT` and every later request have exactly one reply.
    ///
    /// # Errors
    /// [`Fatal`] when the packet is not a request. Nothing is appended then, and the connection should
    /// end once the replies before have been sent.
    pub fn receive(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<(), Fatal> {
        if packet.len() > MAX_PACKET {
            return Err(Fatal::TooLong(u32::try_from(packet.len()).unwrap_or(u32::MAX)));
        }
        let start = out.len();
        let mut body = Reader(packet);
        let request = body.byte()?;
        if request == kind::INIT {
            return self.init(&mut body, out);
        }
        let version = self.version.ok_or(Fatal::BeforeInit(request))?;
        let id = body.uint32()?;
        let mut reply = Reply::new(out, id);
        let answer = match self.check_packet(id, request) {
            Ok(()) => self.answer(request, &mut body, &mut reply),
            Err(status) => Err(status.into()),
        };
        match answer {
            // What has no answer of its own has succeeded.
            Ok(()) if reply.length() == 0 => Err(Stop::from(Status::Ok)),
            other => other,
        }
        .or_else(|stop| match stop {
            Stop::Status(status, message) => {
                self.log_status(status, message);
                reply.status(status, message, version);
                Ok(())
            }
            Stop::Fatal(fatal) => {
                reply.out.truncate(start);
                Err(fatal)
            }
        })
    }

    fn init(&mut self, body: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Fatal> {
        let version = body.uint32()?;
        self.version = Some(version);
        self.log(LogLevel::Verbose, format_args!("received client version {version}"));
        // The version takes the place of an id.
        let mut reply = Reply::new(out, 3);
        reply.begin(kind::VERSION);
        for (name, version) in self.extensions() {
            reply.string(name.as_bytes()).string(version.as_bytes());
        }
        reply.end();
        Ok(())
    }

    fn answer(&mut self, request: u8, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        match request {
            kind::OPEN => self.open(body, reply),
            kind::CLOSE => self.close(body),
            kind::READ => self.read(body, reply),
            kind::WRITE => self.write(body),
            kind::LSTAT => self.lstat(body, reply),
            kind::FSTAT => self.fstat(body, reply),
            kind::SETSTAT => self.setstat(body),
            kind::FSETSTAT => self.fsetstat(body),
            kind::OPENDIR => self.opendir(body, reply),
            kind::READDIR => self.readdir(body, reply),
            kind::REMOVE => self.remove(body),
            kind::MKDIR => self.mkdir(body),
            kind::RMDIR => self.rmdir(body),
            kind::REALPATH => self.realpath(body, reply),
            kind::STAT => self.stat(body, reply),
            kind::RENAME => self.rename(body),
            kind::READLINK => self.readlink(body, reply),
            kind::SYMLINK => self.symlink(body),
            kind::EXTENDED => self.extended(body, reply),
            // OpenSSH says nothing, and a client that waits for an answer waits for good.
            _ => Err(Status::Unsupported.into()),
        }
    }

    /// A path as the kernel is to be asked for it. An empty one stays empty, so that it names nothing.
    pub(super) fn at<'p>(&self, path: &'p Path) -> Cow<'p, Path> {
        if path.is_absolute() || path.as_os_str().is_empty() {
            Cow::Borrowed(path)
        } else {
            Cow::Owned(self.start.join(path))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handles.iter().for_each(|handle| self.log_closed(&handle.closed(true)));
        if let Some(on_close) = &mut self.options.on_close {
            self.handles.iter().for_each(|handle| on_close(&handle.closed(true)));
        }
        self.log_session("closed");
    }
}

impl Reply<'_> {
    /// A `STATUS`. A client of a version before 3 gets no message, as from OpenSSH.
    fn status(&mut self, status: Status, message: &str, version: u32) {
        self.begin(kind::STATUS).uint32(status as u32);
        if version >= 3 {
            self.string(message.as_bytes()).string(b"");
        }
        self.end();
    }
}

/// The physical path of a folder that can be entered: only in such a one does the kernel find a `.`.
fn enter(folder: &Path) -> io::Result<PathBuf> {
    let here = folder.join(".");
    std::fs::metadata(&here)?;
    std::fs::canonicalize(here)
}
