//! Requests on open files.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt},
};

use nix::{errno::Errno, fcntl::OFlag};

use super::{
    attributes::Attributes,
    handles::{Handle, Opened},
    limits::MAX_DATA,
    server::Server,
    status::{Status, Stop},
    sys::read_onto,
    wire::{Reader, Reply, Writer, kind},
};
use crate::server::log_level::LogLevel;

/// Flags of `OPEN`: draft-ietf-secsh-filexfer-02 section 6.3.
const READ: u32 = 1;
const WRITE: u32 = 2;
const APPEND: u32 = 4;
const CREATE: u32 = 8;
const TRUNCATE: u32 = 16;
const EXCLUSIVE: u32 = 32;

/// The blocks in which OpenSSH copies. They can be told from outside: see [`copy`].
const BLOCK: usize = 64 << 10;

impl Server {
    pub(super) fn open(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        let wanted = body.uint32()?;
        let mode = Attributes::asked(body)?.mode_or(0o666);
        let flags = open_flags(wanted);
        let changes = OFlag::O_WRONLY | OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_TRUNC;
        self.check("open", flags.intersects(changes))?;
        self.log(LogLevel::Info, format_args!("open {path:?} flags {} mode 0{mode:o}", FlagNames(wanted)));
        if self.handles.is_full() {
            return Err(Status::Failure.into());
        }
        let file = self.open_file(&path, flags, mode)?;
        let append = flags.contains(OFlag::O_APPEND);
        let waits = !file.metadata()?.is_file();
        let opened = Opened { file, path: path.into_owned(), append, waits, read: 0, written: 0 };
        let handle = self.handles.insert(Handle::File(opened))?;
        reply.begin(kind::HANDLE).string(&handle).end();
        Ok(())
    }

    /// Whether a request may take as long as somebody else likes: a FIFO waits for its other end, and what
    /// was written goes to a disk, which may be another machine's.
    pub(super) fn may_wait(&self, packet: &[u8]) -> bool {
        let mut body = Reader(packet);
        let (Ok(request), Ok(_)) = (body.byte(), body.uint32()) else { return false };
        let mut of_file = |waits: fn(&Opened) -> bool| {
            let handle = body.string().unwrap_or_default();
            self.handles.peek(handle).is_some_and(waits)
        };
        match request {
            kind::OPEN => true,
            kind::READ | kind::WRITE => of_file(|opened| opened.waits),
            kind::CLOSE => of_file(|opened| opened.waits || opened.written > 0),
            kind::EXTENDED => matches!(body.string(), Ok(b"fsync@openssh.com" | b"copy-data")),
            _ => false,
        }
    }

    /// Closes a file or directory. What the file system has to say only now, such as a full quota on a
    /// network, is passed on.
    pub(super) fn close(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let handle = self.handles.remove(body.string()?).ok_or(Status::NoSuchFile)?;
        self.log_closed(&handle.closed(false));
        if let Some(on_close) = &mut self.options.on_close {
            on_close(&handle.closed(false));
        }
        match handle {
            Handle::File(opened) => match nix::unistd::close(opened.file) {
                // Linux has closed it all the same.
                Ok(()) | Err(Errno::EINTR) => Ok(()),
                Err(errno) => Err(errno.into()),
            },
            Handle::Directory(_) => Ok(()),
        }
    }

    /// Reads straight into the reply.
    pub(super) fn read(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let handle = body.string()?;
        let (offset, length) = (body.uint64()?, body.uint32()? as usize);
        let opened = self.handles.file(handle).ok_or(Status::Failure)?;
        if length == 0 {
            // OpenSSH asks only whether there is such a place, and not whether it may be read.
            seek(&opened.file, offset)?;
            reply.begin(kind::DATA).uint32(0).end();
            return Ok(());
        }
        let length = length.min(MAX_DATA);
        let field = reply.begin(kind::DATA).out.len();
        let count = read_onto(&opened.file, offset, length, reply.uint32(0).out)?;
        if count == 0 {
            return Err(Status::EndOfFile.into());
        }
        opened.read += count as u64;
        reply.patch(field, count as u32);
        reply.end();
        Ok(())
    }

    /// Writes straight from the request.
    pub(super) fn write(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let handle = body.string()?;
        let (offset, data) = (body.uint64()?, body.string()?);
        let opened = self.handles.file(handle).ok_or(Status::Failure)?;
        if opened.append {
            (&opened.file).write_all(data)?;
        } else {
            opened.file.write_all_at(data, offset)?;
        }
        opened.written += data.len() as u64;
        Ok(())
    }

    pub(super) fn fstat(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let opened = self.handles.file(body.string()?).ok_or(Status::Failure)?;
        reply.attributes(&opened.file.metadata()?);
        Ok(())
    }

    pub(super) fn fsetstat(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let handle = body.string()?;
        let attributes = Attributes::asked(body)?;
        let opened = self.handles.peek(handle).ok_or(Status::Failure)?;
        attributes.log(self, &opened.path);
        attributes.apply_to_file(&opened.file)
    }

    /// `fsync@openssh.com`.
    pub(super) fn fsync(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let opened = self.handles.peek(body.string()?).ok_or(Status::NoSuchFile)?;
        self.log(LogLevel::Verbose, format_args!("fsync {:?}", opened.path));
        Ok(opened.file.sync_all()?)
    }

    /// `copy-data`: draft-ietf-secsh-filexfer-extensions-00 section 7.
    ///
    /// OpenSSH refuses to copy within a file when the handles are one or were opened by one name. Here
    /// any two handles of a file are refused, since a copy up to its end would never come there.
    pub(super) fn copy_data(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let from = body.string()?;
        let (from_offset, length) = (body.uint64()?, body.uint64()?);
        let to = body.string()?;
        let to_offset = body.uint64()?;
        let (from, to) = self.handles.pair(from, to).ok_or(Status::Failure)?;
        let (source, target) = (from.file.metadata()?, to.file.metadata()?);
        let same = (source.dev(), source.ino()) == (target.dev(), target.ino()) && source.is_file();
        if same || from.path == to.path {
            return Err(Status::Failure.into());
        }
        seek(&from.file, from_offset)?;
        if !to.append {
            seek(&to.file, to_offset)?;
        }
        copy(from, to, length)
    }
}

/// Copies `length` bytes from where the files stand, or up to the end of the first when it is 0.
///
/// As in OpenSSH, an end before that is no success only when it is met in a block before the last one
/// asked for: clients round up.
fn copy(from: &mut Opened, to: &mut Opened, length: u64) -> Result<(), Stop> {
    let mut block = vec![0; BLOCK];
    let mut left = if length == 0 { u64::MAX } else { length };
    while left > 0 {
        let size = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        left -= size as u64;
        let count = read_full(&from.file, &mut block[..size])?;
        if count == 0 {
            let short = length != 0 && left > 0;
            return if short { Err(Status::EndOfFile.into()) } else { Ok(()) };
        }
        from.read += count as u64;
        (&to.file).write_all(&block[..count])?;
        to.written += count as u64;
    }
    Ok(())
}

/// Fills a block, unless the file ends.
fn read_full(mut file: &File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn seek(mut file: &File, offset: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(offset))
}

/// Flags of `OPEN` by their names, as OpenSSH logs them.
struct FlagNames(u32);

impl fmt::Display for FlagNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (READ, "READ"),
            (WRITE, "WRITE"),
            (APPEND, "APPEND"),
            (CREATE, "CREATE"),
            (TRUNCATE, "TRUNCATE"),
            (EXCLUSIVE, "EXCL"),
        ];
        let set: Vec<_> =
            names.iter().filter(|(flag, _)| self.0 & flag != 0).map(|(_, name)| *name).collect();
        f.write_str(&set.join(","))
    }
}

/// Flags of `OPEN` as the kernel has them. Neither read nor write means read, as in OpenSSH.
fn open_flags(wanted: u32) -> OFlag {
    let mut flags = match (wanted & READ != 0, wanted & WRITE != 0) {
        (true, true) => OFlag::O_RDWR,
        (false, true) => OFlag::O_WRONLY,
        (_, false) => OFlag::O_RDONLY,
    };
    flags.set(OFlag::O_APPEND, wanted & APPEND != 0);
    flags.set(OFlag::O_CREAT, wanted & CREATE != 0);
    flags.set(OFlag::O_TRUNC, wanted & TRUNCATE != 0);
    flags.set(OFlag::O_EXCL, wanted & EXCLUSIVE != 0);
    flags
}
