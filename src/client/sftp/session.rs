//! The handle that programs hold, and how a session begins.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    answers::Expect,
    connection::Shared,
    drive,
    error::{Nonsense, SftpError},
    limits::{Limits, MAX_DATA, MAX_PACKET},
    packets::{Packets, next_packet},
    pending::{About, Pending},
    wire::{INIT, Reader, Request, Truncated, kind},
};

/// Bytes of one read or write that every server takes: draft-ietf-secsh-filexfer-02 section 3 asks for
/// packets of 34,000 bytes.
const SMALL_DATA: usize = 32 << 10;

/// What holds until the server has told its limits, and where it tells none.
const SMALL: Limits = Limits { read: SMALL_DATA, write: SMALL_DATA, handles: None };

/// A session with a file server. Clones are the same session, which ends with the last of them.
#[derive(Clone)]
pub struct Sftp {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    /// Once they are known.
    limits: OnceLock<Limits>,
    extensions: HashMap<Vec<u8>, Vec<u8>>,
}

impl Sftp {
    /// Begins a session over a stream in each direction, and asks for the server's limits.
    ///
    /// Two tasks are spawned that live as long as the session. When this is dropped before it is done,
    /// the streams are dropped.
    ///
    /// # Errors
    /// [`Nonsense::NotSftp`] when something printed before the server spoke; other [`SftpError`]s when the
    /// server speaks another version or the stream ends.
    pub async fn start<R, W>(reader: R, writer: W) -> Result<Self, SftpError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let sftp = Self::begin(reader, writer).await?;
        sftp.ask_limits().await?;
        Ok(sftp)
    }

    /// As [`Sftp::start`], without the limits: small ones hold until [`Sftp::ask_limits`].
    pub(crate) async fn begin<R, W>(mut reader: R, mut writer: W) -> Result<Self, SftpError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let lost = |error| SftpError::Gone { source: Some(Arc::new(error)) };
        // A server that has already left may have left a message behind.
        let sent = match writer.write_all(&INIT).await {
            Ok(()) => writer.flush().await,
            Err(error) => Err(error),
        };
        let mut packets = Packets::default();
        let version = match next_packet(&mut reader, &mut packets).await {
            Err(SftpError::Gone { source: None }) => {
                return Err(sent.err().map_or(SftpError::Gone { source: None }, lost));
            }
            other => other?,
        };
        let extensions = extensions(&version)?;
        sent.map_err(lost)?;

        let shared = Shared::new();
        tokio::spawn(drive::read(Arc::clone(&shared), reader, packets));
        tokio::spawn(drive::write(Arc::clone(&shared), writer));
        Ok(Self { owner: Arc::new(Owner { shared, limits: OnceLock::new(), extensions }) })
    }

    /// Asks for `limits@openssh.com`, with which 0 is no limit.
    pub(crate) async fn ask_limits(&self) -> Result<(), SftpError> {
        const NAME: &str = "limits@openssh.com";
        if self.extension(NAME).is_none() || self.owner.limits.get().is_some() {
            return Ok(());
        }
        let asked = self.ask(Request::extended(NAME), Expect::Extended, "ask for limits", b"").await;
        let body = match asked.extended().await {
            Ok(body) => body,
            // It announced them and does not tell: the small ones hold.
            Err(SftpError::Status { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut body = Reader(&body);
        let mut number = || body.uint64().map_err(|Truncated| Nonsense::Truncated(kind::EXTENDED_REPLY));
        let (packet, read, write, handles) = (number()?, number()?, number()?, number()?);
        // A packet holds a handle, an offset and more besides the content.
        let fits = size(packet).unwrap_or(MAX_PACKET).min(MAX_PACKET).saturating_sub(1024);
        let cut = |data| size(data).unwrap_or(fits).clamp(1, fits.clamp(1, MAX_DATA));
        let _ = self.owner.limits.set(Limits { read: cut(read), write: cut(write), handles: size(handles) });
        Ok(())
    }

    /// What the server takes at once.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.owner.limits.get().copied().unwrap_or(SMALL)
    }

    /// The version of an extension, if the server offers it.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&[u8]> {
        self.owner.extensions.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.shared().failed.is_cancelled()
    }

    /// Ends the session for all its clones, once what was asked for so far has been written. Dropping the
    /// last clone does the same without waiting.
    pub async fn finish(self) {
        self.shared().leave();
        self.shared().written.cancelled().await;
    }

    /// Takes back the writes that are not on their way yet and whose answers nobody waits for.
    pub(crate) fn take_back_writes(&self) {
        self.shared().take_back_writes();
    }

    /// Waits for the next answer to whatever was asked.
    pub(crate) async fn answered(&self) {
        self.shared().answered.notified().await;
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// Refuses what the server does not offer.
    pub(super) fn offered(&self, extension: &'static str) -> Result<(), SftpError> {
        match self.extension(extension) {
            Some(_) => Ok(()),
            None => Err(SftpError::Unsupported { extension }),
        }
    }

    pub(super) async fn ask(
        &self,
        request: Request,
        expect: Expect,
        operation: &'static str,
        path: &[u8],
    ) -> Pending {
        self.shared().ask(request, expect, About { operation, path: path.into() }).await
    }
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sftp").field("limits", &self.limits()).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

/// Names and versions in a `VERSION`.
fn extensions(packet: &[u8]) -> Result<HashMap<Vec<u8>, Vec<u8>>, Nonsense> {
    let truncated = |Truncated| Nonsense::Truncated(kind::VERSION);
    let mut body = Reader(packet);
    let kind = body.byte().map_err(truncated)?;
    if kind != kind::VERSION {
        return Err(Nonsense::WrongType(kind));
    }
    let version = body.uint32().map_err(truncated)?;
    if version != 3 {
        return Err(Nonsense::Version(version));
    }
    let mut extensions = HashMap::new();
    while !body.0.is_empty() {
        let name = body.string().map_err(truncated)?.to_vec();
        extensions.insert(name, body.string().map_err(truncated)?.to_vec());
    }
    Ok(extensions)
}

/// A limit; 0 is none.
fn size(limit: u64) -> Option<usize> {
    (limit != 0).then(|| usize::try_from(limit).unwrap_or(usize::MAX))
}
