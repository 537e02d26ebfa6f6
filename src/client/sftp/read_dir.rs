//! The entries of a folder, one after the other.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use futures_util::Stream;

use super::{answers::Entry, directories::Listing, error::SftpError, path::RemotePath, session::Sftp};

/// The entries of a folder but `.` and `..`, in the server's order, as they come. However long the folder is, a few answers
/// of the server are held. It is a [`Stream`] too, which ends after an error.
pub struct ReadDir {
    /// `None` once there is no more to ask for.
    listing: Option<Listing>,
    here: vec::IntoIter<Entry>,
}

impl Sftp {
    /// Reads a folder entry by entry. [`Sftp::list`] gives all of them at once.
    ///
    /// ```no_run
    /// # async fn run() -> irosh::Result<()> {
    /// let host = irosh::connect("alice@box").await?;
    /// let mut entries = host.sftp().await?.read_dir("/var/log").await?;
    /// while let Some(entry) = entries.next_entry().await? {
    ///     println!("{:>12} {}", entry.attributes.size.unwrap_or(0), entry.name_lossy());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SftpError`]. Cancel safe: what was opened is closed.
    pub async fn read_dir(&self, path: impl RemotePath) -> Result<ReadDir, SftpError> {
        let listing = self.listing(path).await?;
        Ok(ReadDir { listing: Some(listing), here: Vec::new().into_iter() })
    }
}

impl ReadDir {
    /// The next entry; nothing at the end of the folder. Cancel safe.
    ///
    /// # Errors
    /// [`SftpError`]; a folder of more than a million entries has no end.
    pub async fn next_entry(&mut self) -> Result<Option<Entry>, SftpError> {
        poll_fn(|cx| self.poll_entry(cx)).await
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Entry>, SftpError>> {
        loop {
            if let Some(entry) = self.here.next() {
                return Poll::Ready(Ok(Some(entry)));
            }
            let Some(listing) = &mut self.listing else { return Poll::Ready(Ok(None)) };
            match ready!(listing.poll_next(cx)) {
                Ok(Some(more)) => self.here = more.into_iter(),
                end => {
                    self.listing = None;
                    return Poll::Ready(end.map(|_| None));
                }
            }
        }
    }
}

impl Stream for ReadDir {
    type Item = Result<Entry, SftpError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx).map(Result::transpose)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("is_over", &self.listing.is_none()).finish_non_exhaustive()
    }
}
