//! A session's local end: ssh's, or the backend's. Anything that reads and writes: pipes, sockets, files.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// The smallest buffer to read into. It is on the stack: a session that waits holds none.
const SMALL: usize = 2 << 10;

/// The largest buffer to read into: what a bulk transfer is moved in.
const LARGE: usize = 256 << 10;

/// Chunks that are written at once: as many as one system call takes without an allocation.
pub(super) const SLICES: usize = 64;

/// Reads into large buffers, which are handed on without a copy.
///
/// The buffer grows while reads fill it and shrinks when they are small, so that a thousand idle sessions cost
/// little and a bulk transfer takes few system calls.
pub struct LocalReader {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    size: usize,
}

impl LocalReader {
    /// Reads what a local end sends.
    pub fn new(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self::from(Box::new(reader) as Box<_>)
    }

    /// Waits for bytes, `most` of them at the most and at least one; none at end of file. Cancel-safe.
    pub(super) async fn read(&mut self, most: u64) -> io::Result<Bytes> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (chunk, room) = if self.size == SMALL {
            self.buffer = BytesMut::new();
            (read_small(&mut self.reader, most.min(SMALL)).await?, SMALL)
        } else {
            let room = self.buffer.capacity();
            if room < self.size / 2 || room > self.size * 2 {
                self.buffer = BytesMut::with_capacity(self.size);
            }
            let room = self.buffer.capacity();
            self.reader.read_buf(&mut (&mut self.buffer).limit(most.min(room))).await?;
            (self.buffer.split().freeze(), room)
        };
        if chunk.len() == room {
            self.size = (self.size * 4).min(LARGE);
        } else if chunk.len() < self.size / 8 {
            self.size = (self.size / 2).max(SMALL);
        }
        Ok(chunk)
    }
}

impl From<Box<dyn AsyncRead + Send + Unpin>> for LocalReader {
    fn from(reader: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        Self { reader, buffer: BytesMut::new(), size: SMALL }
    }
}

/// Reads what is there, `most` bytes of it, into a buffer of its size. Cancel-safe.
async fn read_small(reader: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Bytes> {
    poll_fn(|context| {
        let mut room = [MaybeUninit::uninit(); SMALL];
        let mut buffer = ReadBuf::uninit(&mut room[..most]);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
    .await
}

/// Writes chunks with as few system calls as the writer allows.
pub struct LocalWriter {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    gone: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What has to be done before anything is written.
    first: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether the writer keeps to itself what it has taken, until it is flushed.
    keeps: bool,
    /// Whether it has something now.
    kept: bool,
}

impl LocalWriter {
    /// Writes what a local end reads.
    pub fn new(writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::from(Box::new(writer) as Box<_>)
    }

    /// Flushes the writer after each write: it is no socket and no pipe, which have nothing to flush.
    #[must_use]
    pub fn flushed(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Has something done before anything is written.
    #[must_use]
    pub fn after(mut self, first: impl Future<Output = ()> + Send + 'static) -> Self {
        self.first = Some(Box::pin(first));
        self
    }

    /// Says how it can be known, without writing, that nobody reads any more.
    #[must_use]
    pub fn with_gone(mut self, gone: impl Future<Output = ()> + Send + 'static) -> Self {
        self.gone = Some(Box::pin(gone));
        self
    }

    /// Whether there is something to do other than to wait for the reader to go.
    fn acts(&self, chunks: &[Bytes], ends: bool) -> bool {
        self.kept || ends || !chunks.is_empty()
    }

    /// Does the next of what is to be done: has go out what it keeps, writes the first of the chunks, or says that no
    /// byte follows. Cancel-safe.
    pub(super) async fn next(&mut self, chunks: &[Bytes], ends: bool) -> Took {
        let acts = self.acts(chunks, ends);
        let Self { writer, gone, first, keeps, kept } = self;
        let act = async {
            if let Some(doing) = first {
                doing.await;
                *first = None;
            }
            Ok(if *kept {
                writer.flush().await?;
                *kept = false;
                Took::Bytes(0)
            } else if chunks.is_empty() {
                Took::End(end(writer).await?)
            } else {
                let count = write(writer, chunks).await?;
                *kept = *keeps;
                Took::Bytes(count)
            })
        };
        let left = async {
            match gone {
                Some(gone) => gone.await,
                None => std::future::pending().await,
            }
        };
        let took = tokio::select! {
            biased;
            took = act, if acts => took.unwrap_or_else(Took::of_error),
            () = left => Took::Gone,
        };
        if matches!(took, Took::Gone) {
            self.gone = None;
        }
        took
    }
}

impl From<Box<dyn AsyncWrite + Send + Unpin>> for LocalWriter {
    fn from(writer: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Self { writer, gone: None, first: None, keeps: false, kept: false }
    }
}

/// What a local end has done.
#[derive(Debug)]
pub(super) enum Took {
    /// It has taken so many bytes.
    Bytes(usize),
    /// It was told that no byte follows.
    End(()),
    /// Nobody reads there any more.
    Gone,
    /// Something is wrong.
    Failed(io::Error),
}

impl Took {
    fn of_error(error: io::Error) -> Self {
        match error.kind() {
            // A reset is how TCP says that the other end closed with bytes of ours unread.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Failed(error),
        }
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), chunks: &[Bytes]) -> io::Result<usize> {
    // On the stack meanwhile: it is more than a session that waits is to hold.
    let writing = poll_fn(|context| {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
        }
        Pin::new(&mut *writer).poll_write_vectored(context, &slices[..chunks.len().min(SLICES)])
    });
    match writing.await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

async fn end(writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    match writer.shutdown().await {
        // The other end closed first: there is nothing left to say.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        other => other,
    }
}
