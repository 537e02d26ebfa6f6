//! An open file by tokio's traits.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncWrite, AsyncWriteExt, ReadBuf, SeekFrom};

use super::{
    attributes::Attributes,
    error::{SftpError, StatusCode},
    files::OpenFlags,
    handle::Handle,
    path::RemotePath,
    pending::Pending,
    session::Sftp,
};

/// Reads or writes of one file that wait for their answers at once.
const MOST: usize = 16;

/// A file on the server that is read, written and sought in like a local one.
///
/// What is read in order is asked for ahead. A write is an answer that is waited for later: an error of one is told by the
/// next write, or by `flush` and `shutdown`, which wait for all of them: what was written may be lost where the file is
/// dropped without one of these. Each write is a request of its own, so many small
/// ones belong into a [`BufWriter`](tokio::io::BufWriter).
///
/// ```no_run
/// # async fn run() -> irosh::Result<()> {
/// use irosh::client::sftp::File;
/// use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
///
/// let host = irosh::connect("alice@box").await?;
/// let sftp = host.sftp().await?;
/// let mut log = File::open(&sftp, "/var/log/syslog").await?;
/// log.seek(std::io::SeekFrom::End(-1000)).await?;
/// let mut end = String::new();
/// log.read_to_string(&mut end).await?;
///
/// let mut note = File::create(&sftp, "note").await?;
/// note.write_all(end.as_bytes()).await?;
/// note.shutdown().await?;
/// # Ok(()) }
/// ```
pub struct File {
    sftp: Sftp,
    /// Until it is shut down.
    handle: Option<Handle>,
    position: u64,
    /// Read and not taken yet, from the position on.
    left: Bytes,
    reads: VecDeque<Read>,
    /// How many reads are asked for at once: one at first, more while it is read in order.
    ahead: usize,
    writes: VecDeque<Pending>,
    closing: Option<Pending>,
    seeking: Option<Seeking>,
}

struct Read {
    offset: u64,
    length: usize,
    answer: Pending,
}

enum Seeking {
    Done,
    /// From the end, which has to be asked for.
    FromEnd(i64, Pending),
}

impl File {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn open(sftp: &Sftp, path: impl RemotePath) -> Result<Self, SftpError> {
        let handle = sftp.open(path, OpenFlags::READ, &Attributes::default()).await?;
        Ok(Self::new(sftp, handle))
    }

    /// Makes a file to write to it, or empties one that is there.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn create(sftp: &Sftp, path: impl RemotePath) -> Result<Self, SftpError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        Ok(Self::new(sftp, sftp.open(path, flags, &Attributes::default()).await?))
    }

    /// What was opened in another way ([`Sftp::open`]), from its beginning on.
    #[must_use]
    pub fn new(sftp: &Sftp, handle: Handle) -> Self {
        Self {
            sftp: sftp.clone(),
            handle: Some(handle),
            position: 0,
            left: Bytes::new(),
            reads: VecDeque::new(),
            ahead: 1,
            writes: VecDeque::new(),
            closing: None,
            seeking: None,
        }
    }

    /// Its attributes now.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn metadata(&self) -> Result<Attributes, SftpError> {
        match &self.handle {
            Some(handle) => self.sftp.fstat(handle).await,
            None => Err(SftpError::Gone { source: None }),
        }
    }

    fn handle(&self) -> io::Result<&Handle> {
        self.handle
            .as_ref()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the file is shut down"))
    }

    /// Forgets what was read ahead: the next read begins at the position.
    fn forget_ahead(&mut self) {
        self.left.clear();
        self.reads.clear();
        self.ahead = 1;
    }

    fn ask(&mut self) -> io::Result<()> {
        while self.reads.len() < self.ahead {
            let offset = self.reads.back().map_or(self.position, |read| read.offset + read.length as u64);
            let length = self.sftp.limits().read;
            let permit = self.sftp.try_reserve_read(length);
            let answer = self.sftp.begin_read(self.handle()?, offset, length, permit);
            self.reads.push_back(Read { offset, length, answer });
        }
        Ok(())
    }

    /// The answer to the first read; nothing at the end of the file.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let Some(read) = self.reads.front_mut() else { return Poll::Ready(Ok(None)) };
        let answer = ready!(read.answer.poll_data(cx));
        let Read { offset, length, .. } = *read;
        self.reads.pop_front();
        let Some(held) = answer? else { return Poll::Ready(Ok(None)) };
        if held.len() == length {
            self.ahead = (self.ahead * 2).min(MOST);
        } else {
            // Servers may give less than there is.
            let (offset, length) = (offset + held.len() as u64, length - held.len());
            let permit = self.sftp.try_reserve_read(length);
            let answer = self.sftp.begin_read(self.handle()?, offset, length, permit);
            self.reads.push_front(Read { offset, length, answer });
        }
        Poll::Ready(Ok(Some(held.bytes)))
    }

    /// Waits until no more writes than these have no answer.
    fn poll_writes(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<()>> {
        loop {
            let few = self.writes.len() <= most;
            // What has been answered is looked at in any case.
            let Some(write) = self.writes.front_mut().filter(|write| !few || write.is_ready()) else {
                return Poll::Ready(Ok(()));
            };
            let done = ready!(write.poll_done(cx));
            self.writes.pop_front();
            done?;
        }
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() && buf.remaining() > 0 {
            self.ask()?;
            match ready!(self.poll_answer(cx))? {
                Some(data) => self.left = data,
                // It may grow, and be read on.
                None => self.forget_ahead(),
            }
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left[..count]);
        self.left.advance(count);
        self.position += count as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for File {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.forget_ahead();
        ready!(self.poll_writes(cx, MOST - 1))?;
        let count = buf.len().min(self.sftp.limits().write);
        if count > 0 {
            let content = Bytes::copy_from_slice(&buf[..count]);
            let write = self.sftp.begin_write(self.handle()?, self.position, content, None);
            self.writes.push_back(write);
            self.position += count as u64;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_writes(cx, 0)
    }

    /// Waits for all writes, and closes the file.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_writes(cx, 0))?;
        self.forget_ahead();
        if let Some(handle) = self.handle.take() {
            self.closing = Some(handle.begin_close());
        }
        let Some(closing) = &mut self.closing else { return Poll::Ready(Ok(())) };
        let closed = ready!(closing.poll_done(cx));
        self.closing = None;
        Poll::Ready(Ok(closed?))
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let before =
            || io::Error::new(io::ErrorKind::InvalidInput, "that is before the beginning of the file");
        self.seeking = Some(match to {
            SeekFrom::End(by) => Seeking::FromEnd(by, self.sftp.begin_fstat(self.handle()?)),
            SeekFrom::Start(to) => {
                self.position = to;
                Seeking::Done
            }
            SeekFrom::Current(by) => {
                self.position = self.position.checked_add_signed(by).ok_or_else(before)?;
                Seeking::Done
            }
        });
        self.forget_ahead();
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        if let Some(Seeking::FromEnd(by, size)) = &mut self.seeking {
            let (by, attributes) = (*by, ready!(size.poll_attributes(cx)));
            self.seeking = None;
            let end = attributes?.size.unwrap_or_default().checked_add_signed(by);
            self.position = end.ok_or(io::ErrorKind::InvalidInput)?;
        }
        self.seeking = None;
        Poll::Ready(Ok(self.position))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("handle", &self.handle)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Sftp {
    /// All that a file holds.
    ///
    /// # Errors
    /// What the server says, or that the connection is gone.
    pub async fn read_file(&self, path: impl RemotePath) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(self, path).await?.read_to_end(&mut content).await?;
        Ok(content)
    }

    /// Makes a file that holds this, or replaces what one holds. A reader may see a part of it meanwhile.
    ///
    /// # Errors
    /// What the server says, or that the connection is gone.
    pub async fn write_file(&self, path: impl RemotePath, content: impl AsRef<[u8]>) -> io::Result<()> {
        let mut file = File::create(self, path).await?;
        file.write_all(content.as_ref()).await?;
        file.shutdown().await
    }
}

impl From<SftpError> for io::Error {
    fn from(error: SftpError) -> Self {
        let kind = match error.code() {
            Some(StatusCode::NoSuchFile) => io::ErrorKind::NotFound,
            Some(StatusCode::PermissionDenied) => io::ErrorKind::PermissionDenied,
            Some(StatusCode::Unsupported) => io::ErrorKind::Unsupported,
            Some(_) => io::ErrorKind::Other,
            None if error.is_fatal() => io::ErrorKind::ConnectionAborted,
            None => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
