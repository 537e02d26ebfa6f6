//! The tasks that read and write.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    connection::Shared,
    error::SftpError,
    outbox::Pieces,
    packets::{Packets, next_packet},
};

/// Pieces given to one write.
const PIECES: usize = 64;

/// How long what is still queued is written for after everyone has left.
const LINGER: Duration = Duration::from_secs(10);

/// Reads answers until the stream ends, the server says nonsense, or nobody asks any more.
pub(super) async fn read(shared: Arc<Shared>, mut reader: impl AsyncRead + Unpin, mut packets: Packets) {
    loop {
        let packet = tokio::select! {
            biased;
            // Nobody asks any more. Until then answers are read, or the server might never take the rest.
            () = shared.written.cancelled() => return shared.lost(None),
            () = shared.failed.cancelled() => return,
            packet = next_packet(&mut reader, &mut packets) => packet,
        };
        match packet {
            Ok(packet) => {
                if let Err(nonsense) = shared.receive(&packet) {
                    tracing::debug!(%nonsense, "the file server is not followed any further");
                    return shared.fail(nonsense.into());
                }
            }
            Err(error) => return shared.fail(error),
        }
    }
}

/// Writes requests until nobody asks any more, or the connection has failed.
pub(super) async fn write(shared: Arc<Shared>, mut writer: impl AsyncWrite + Unpin) {
    let outcome = tokio::select! {
        biased;
        () = shared.failed.cancelled() => Ok(()),
        () = lingered(&shared) => Ok(()),
        outcome = write_queued(&shared, &mut writer) => outcome,
    };
    if let Err(error) = outcome {
        // What the server said before it left is read first, and the reader finds the end of it.
        tracing::debug!(%error, "requests cannot be written any more");
        let _ = tokio::time::timeout(LINGER, shared.failed.cancelled()).await;
        shared.fail(SftpError::Gone { source: Some(Arc::new(error)) });
    }
    shared.written.cancel();
}

async fn write_queued(shared: &Shared, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    while let Some(mut pieces) = shared.next_pieces().await {
        while !pieces.is_empty() {
            let count = write_some(writer, &pieces).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            pieces.written(count);
        }
        if !shared.is_queued() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}

async fn write_some(writer: &mut (impl AsyncWrite + Unpin), pieces: &Pieces) -> io::Result<usize> {
    let mut places = [IoSlice::new(&[]); PIECES];
    let count = pieces.slices(&mut places);
    if writer.is_write_vectored() {
        writer.write_vectored(&places[..count]).await
    } else {
        writer.write(&places[0]).await
    }
}

async fn lingered(shared: &Shared) {
    shared.left.cancelled().await;
    tokio::time::sleep(LINGER).await;
}
