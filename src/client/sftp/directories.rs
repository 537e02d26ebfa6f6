//! Folders: draft-ietf-secsh-filexfer-02 section 6.7.

use super::{
    answers::Expect,
    attributes::Attributes,
    error::{Nonsense, SftpError, StatusCode},
    handle::Handle,
    pending::Pending,
    session::Sftp,
    wire::{Request, kind},
};

/// Entries after which a folder is taken to have no end.
const MOST: usize = 4_000_000;

/// Bytes of all names, after which it is, too.
const MOST_BYTES: usize = 256 << 20;

/// Requests for entries that are under way at once. All but the last few of them are answered with
/// entries, OpenSSH has 100 in each.
const AHEAD: usize = 4;

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as the server has it. It may be hostile: empty, `..`, or a path.
    pub name: Vec<u8>,
    /// The attributes of the entry itself, not those of what it links to.
    pub attributes: Attributes,
}

impl Sftp {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`SftpError`]. Cancel safe: what was opened is closed.
    pub async fn opendir(&self, path: impl AsRef<[u8]>) -> Result<Handle, SftpError> {
        let path = path.as_ref();
        let request = Request::new(kind::OPENDIR).string(path);
        self.ask(request, Expect::Handle, "open the folder", path).await.handle().await
    }

    /// The next entries of a folder; nothing at its end.
    ///
    /// # Errors
    /// [`SftpError`]. When this is dropped the entries it would have given are lost.
    pub async fn readdir(&self, folder: &Handle) -> Result<Option<Vec<Entry>>, SftpError> {
        end_is_nothing(self.begin_readdir(folder).names().await)
    }

    /// All entries of a folder but `.` and `..`, in the server's order. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`].
    pub async fn list(&self, path: impl AsRef<[u8]>) -> Result<Vec<Entry>, SftpError> {
        self.list_while(path, |_| true).await
    }

    /// Entries of a folder, for as long as they are wanted.
    pub(super) async fn list_while(
        &self,
        path: impl AsRef<[u8]>,
        mut wanted: impl FnMut(&[Entry]) -> bool,
    ) -> Result<Vec<Entry>, SftpError> {
        let folder = self.opendir(path).await?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        // A small folder costs two requests and one round trip; a large one is read ahead.
        let mut ahead = 2;
        loop {
            let batch: Vec<_> = (0..ahead).map(|_| self.begin_readdir(&folder)).collect();
            ahead = AHEAD;
            for pending in batch {
                let Some(mut some) = end_is_nothing(pending.names().await)? else { return Ok(entries) };
                some.retain(|entry| entry.name != b"." && entry.name != b"..");
                bytes += some.iter().map(|entry| entry.name.len()).sum::<usize>();
                entries.append(&mut some);
                if entries.len() > MOST || bytes > MOST_BYTES {
                    return Err(Nonsense::EndlessFolder(MOST).into());
                }
                if !wanted(&entries) {
                    return Ok(entries);
                }
            }
        }
    }

    fn begin_readdir(&self, folder: &Handle) -> Pending {
        let request = Request::new(kind::READDIR).string(folder.raw());
        self.shared().send(request, None, Expect::Names, folder.about("list"), None)
    }
}

fn end_is_nothing(entries: Result<Vec<Entry>, SftpError>) -> Result<Option<Vec<Entry>>, SftpError> {
    match entries {
        // Without an entry there is no progress: other servers say so at the end.
        Ok(entries) if entries.is_empty() => Ok(None),
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.code() == Some(StatusCode::EndOfFile) => Ok(None),
        Err(error) => Err(error),
    }
}
