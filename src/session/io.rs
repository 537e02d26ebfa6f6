//! Sources and sinks over anything that reads and writes: pipes, sockets, files.

use std::{future::Future, io, pin::Pin};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    Batch,
    batch::SLICES,
    copy::{Sink, Source},
};

/// The smallest buffer to read into: what an idle session holds.
const SMALL: usize = 8 << 10;

/// The largest buffer to read into: what a bulk transfer is moved in.
const LARGE: usize = 256 << 10;

/// Reads into large buffers and hands them on without a copy.
///
/// The buffer grows while reads fill it and shrinks when they are small, so that a thousand idle
/// sessions cost little and a bulk transfer takes few system calls.
#[derive(Debug)]
pub struct ReadSource<R> {
    reader: R,
    buffer: BytesMut,
    size: usize,
}

impl<R> ReadSource<R> {
    /// A source over a reader.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::new(), size: SMALL }
    }
}

impl<R: AsyncRead + Unpin + Send> Source for ReadSource<R> {
    async fn read(&mut self, batch: &mut Batch) -> io::Result<()> {
        let room = self.buffer.capacity();
        if room < self.size / 2 || room > self.size * 2 {
            self.buffer = BytesMut::with_capacity(self.size);
        }
        let room = self.buffer.capacity();
        let count = self.reader.read_buf(&mut self.buffer).await?;
        if count == room {
            self.size = (self.size * 4).min(LARGE);
        } else if count < self.size / 8 {
            self.size = (self.size / 2).max(SMALL);
        }
        batch.push(self.buffer.split().freeze());
        Ok(())
    }
}

/// Writes batches with as few system calls as the writer allows.
pub struct WriteSink<W> {
    writer: W,
    gone: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<W> WriteSink<W> {
    /// A sink over a writer.
    pub fn new(writer: W) -> Self {
        Self { writer, gone: None }
    }

    /// Says how it can be known, without writing, that nobody reads any more.
    #[must_use]
    pub fn with_gone(mut self, gone: impl Future<Output = ()> + Send + 'static) -> Self {
        self.gone = Some(Box::pin(gone));
        self
    }
}

impl<W: AsyncWrite + Unpin + Send> Sink for WriteSink<W> {
    async fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        while !batch.is_empty() {
            let mut slices = [io::IoSlice::new(&[]); SLICES];
            let used = batch.slices(&mut slices);
            match self.writer.write_vectored(&slices[..used]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => batch.advance(count),
            }
        }
        self.writer.flush().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        match self.writer.shutdown().await {
            // The other end closed first: there is nothing left to say.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }

    async fn gone(&mut self) -> io::Result<()> {
        match &mut self.gone {
            Some(gone) => gone.await,
            None => std::future::pending().await,
        }
        // A future is not polled again after it has resolved.
        self.gone = Some(Box::pin(std::future::ready(())));
        Ok(())
    }
}
