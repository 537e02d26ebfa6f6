//! Folders: draft-ietf-secsh-filexfer-02 section 6.7.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, ready},
};

use super::{
    answers::{Entry, Expect, Names},
    error::{Nonsense, SftpError, StatusCode},
    handle::Handle,
    path::RemotePath,
    pending::Pending,
    session::Sftp,
    wire::{Request, Writer, kind},
};

/// Entries after which a folder is taken to have no end.
const MOST: usize = 1_000_000;

/// Bytes of memory of a list, after which it is taken to have none, too.
const MOST_BYTES: usize = 64 << 20;

/// Requests for entries that are under way at once. All but the last few of them are answered with
/// entries, OpenSSH has 100 in each.
const AHEAD: usize = 4;

/// Entries that are given at once: a server may put twenty thousand into an answer.
const GIVEN: usize = 256;

/// A folder that is being read. However long it is, it takes the memory of a few answers.
pub(crate) struct Listing {
    sftp: Sftp,
    folder: Handle,
    asked: VecDeque<Pending>,
    /// A small folder costs two requests and one round trip; a large one is read ahead.
    ahead: usize,
    names: Names,
    entries: usize,
}

impl Sftp {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`SftpError`]. Cancel safe: what was opened is closed.
    pub async fn opendir(&self, path: impl RemotePath) -> Result<Handle, SftpError> {
        let path = path.as_remote();
        let request = Request::new(kind::OPENDIR).string(path);
        Ok(self.ask(request, Expect::Handle, "open the folder", path).await.opened().await?.into())
    }

    /// The next entries of a folder; nothing at its end.
    ///
    /// # Errors
    /// [`SftpError`]. When this is dropped the entries it would have given are lost.
    pub async fn readdir(&self, folder: &Handle) -> Result<Option<Vec<Entry>>, SftpError> {
        Ok(end_is_nothing(self.begin_readdir(folder).names().await)?.map(Iterator::collect))
    }

    /// All entries of a folder but `.` and `..`, in the server's order. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`]; a folder of more than a million entries has no end.
    pub async fn list(&self, path: impl RemotePath) -> Result<Vec<Entry>, SftpError> {
        let mut listing = self.listing(path).await?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(mut some) = listing.next().await? {
            bytes += some.iter().map(|entry| size_of::<Entry>() + entry.name.len()).sum::<usize>();
            if bytes > MOST_BYTES {
                return Err(Nonsense::EndlessFolder(entries.len()).into());
            }
            entries.append(&mut some);
        }
        Ok(entries)
    }

    /// Begins to read a folder.
    pub(crate) async fn listing(&self, path: impl RemotePath) -> Result<Listing, SftpError> {
        let folder = self.opendir(path).await?;
        let (asked, names) = (VecDeque::new(), Names::default());
        Ok(Listing { sftp: self.clone(), folder, asked, ahead: 2, names, entries: 0 })
    }

    fn begin_readdir(&self, folder: &Handle) -> Pending {
        let request = Request::new(kind::READDIR).string(folder.raw());
        self.shared().send(request, None, Expect::Names, folder.about("list"), None)
    }
}

impl Listing {
    /// Some of the entries but `.` and `..`, in the server's order; nothing at the end. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`], as of [`Sftp::list`].
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>, SftpError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<Entry>>, SftpError>> {
        loop {
            let mut some: Vec<_> = self.names.by_ref().take(GIVEN).collect();
            self.entries += some.len();
            if self.entries > MOST {
                return Poll::Ready(Err(Nonsense::EndlessFolder(MOST).into()));
            }
            some.retain(|entry| entry.name != b"." && entry.name != b"..");
            if !some.is_empty() {
                return Poll::Ready(Ok(Some(some)));
            }
            if self.names.is_empty() {
                match ready!(self.poll_answer(cx))? {
                    Some(names) => self.names = names,
                    None => return Poll::Ready(Ok(None)),
                }
            }
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Names>, SftpError>> {
        if self.asked.is_empty() {
            self.asked.extend((0..self.ahead).map(|_| self.sftp.begin_readdir(&self.folder)));
            self.ahead = AHEAD;
        }
        let Some(pending) = self.asked.front_mut() else { return Poll::Ready(Ok(None)) };
        let names = ready!(pending.poll_names(cx));
        self.asked.pop_front();
        Poll::Ready(end_is_nothing(names))
    }
}

fn end_is_nothing(entries: Result<Names, SftpError>) -> Result<Option<Names>, SftpError> {
    match entries {
        // Without an entry there is no progress: other servers say so at the end.
        Ok(entries) if entries.is_empty() => Ok(None),
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.code() == Some(StatusCode::EndOfFile) => Ok(None),
        Err(error) => Err(error),
    }
}
