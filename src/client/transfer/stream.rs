//! A remote file read in order, with many requests under way.

use std::collections::VecDeque;

use super::super::sftp::{Attributes, Handle, Held, Pending, Sftp, SftpError};

/// Requests of one file that are under way: the window in requests of 255 KiB.
const AHEAD: usize = 66;

/// A remote file that is read in order.
pub(super) struct ReadAhead<'a> {
    sftp: &'a Sftp,
    file: &'a Handle,
    next: u64,
    end: u64,
    asked: VecDeque<Asked>,
    /// Asked for behind the last read, if that is wanted.
    attributes: Option<Pending>,
    with_attributes: bool,
}

struct Asked {
    offset: u64,
    length: usize,
    pending: Pending,
}

/// What comes next.
pub(super) enum Next {
    /// Content at an offset.
    Data(u64, Held),
    /// All of it has been read.
    End,
    /// The file is shorter.
    Short,
}

impl<'a> ReadAhead<'a> {
    pub(super) fn new(sftp: &'a Sftp, file: &'a Handle, offset: u64, end: u64) -> Self {
        let asked = VecDeque::new();
        Self { sftp, file, next: offset, end, asked, attributes: None, with_attributes: false }
    }

    /// Asks for the attributes, too, as they are after all has been read.
    pub(super) fn with_attributes(self) -> Self {
        Self { with_attributes: true, ..self }
    }

    /// The attributes after all has been read.
    pub(super) async fn attributes(&mut self) -> Result<Attributes, SftpError> {
        let asked = self.attributes.take().unwrap_or_else(|| self.sftp.begin_fstat(self.file));
        asked.attributes().await
    }

    /// Whether [`Self::next`] takes no time.
    pub(super) fn is_ready(&self) -> bool {
        self.asked.front().is_some_and(|asked| asked.pending.is_ready())
    }

    /// The next content. Whoever holds content that was read before may wait here without end, unless
    /// [`Self::is_ready`]: it counts as in flight.
    pub(super) async fn next(&mut self) -> Result<Next, SftpError> {
        self.ask().await;
        let Some(Asked { offset, length, pending }) = self.asked.pop_front() else { return Ok(Next::End) };
        let Some(held) = pending.data().await? else { return Ok(Next::Short) };
        if held.len() < length {
            // Servers may give less than there is.
            let (offset, length) = (offset + held.len() as u64, length - held.len());
            let permit = self.sftp.try_reserve_read(length);
            let pending = self.sftp.begin_read(self.file, offset, length, permit);
            self.asked.push_front(Asked { offset, length, pending });
            self.attributes = self.with_attributes.then(|| self.sftp.begin_fstat(self.file));
        }
        Ok(Next::Data(offset, held))
    }

    /// Asks for as much as may be under way.
    pub(super) async fn ask(&mut self) {
        while self.next < self.end && self.asked.len() < AHEAD {
            let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
            let length = left.min(self.sftp.limits().read);
            let permit = match self.sftp.try_reserve_read(length) {
                None if self.asked.is_empty() => self.sftp.reserve_read(length).await,
                None => return,
                permit => permit,
            };
            let pending = self.sftp.begin_read(self.file, self.next, length, permit);
            self.asked.push_back(Asked { offset: self.next, length, pending });
            self.next += length as u64;
            if self.with_attributes && self.next >= self.end {
                self.attributes = Some(self.sftp.begin_fstat(self.file));
            }
        }
    }
}
