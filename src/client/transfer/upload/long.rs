//! A file of many requests on its way to the server.

use std::{collections::VecDeque, fs::File, sync::Arc};

use super::{
    super::{
        super::sftp::{Handle, Pending, SftpError},
        error::TransferError,
        names::{join, new_part_name},
        part::{Granted, Mode, RemotePart},
        resume::COMPARED,
    },
    jobs::{FileJob, Taken, Upload},
    local::{Source, read_at, version_now},
};

/// Pieces that are read from the disk ahead of being sent.
const READ_AHEAD: usize = 4;

/// What was sent: everything before the offset has arrived.
struct Sent {
    offset: u64,
    waiting: VecDeque<(u64, Pending)>,
}

/// Why a file was not sent in full.
enum Stopped {
    /// A write was refused: those behind it may have been done.
    Write(SftpError),
    Other(TransferError),
}

impl From<TransferError> for Stopped {
    fn from(error: TransferError) -> Self {
        Self::Other(error)
    }
}

impl Upload {
    pub(super) async fn copy_long(
        &self,
        job: &FileJob,
        target: &[u8],
        taken: &Taken,
    ) -> Result<(), TransferError> {
        let listed = job.source.clone();
        let opened = self.context.disk.run(move || listed.open()).await;
        let (local, source) = opened.map_err(|error| job.source.error(error))?;
        let local = Arc::new(local);
        let (mut part, file, granted, offset) = self.open_part(job, &source, &local, target, taken).await?;
        part.remove_on_drop(!self.context.options.resume);
        let mut sent = Sent { offset, waiting: VecDeque::new() };
        let outcome = async {
            self.send(&source, &local, &file, &mut sent).await?;
            self.unchanged(&source, &local).await?;
            // Behind the last write, whose answer is still to come: so is the new name.
            let completing = self.complete(&source, file, granted.known(), taken);
            while !sent.waiting.is_empty() {
                self.arrived(&source, &mut sent).await?;
            }
            Ok(self.completed(completing, target).await?)
        };
        match outcome.await {
            Ok(()) => self.settle(&source, part, granted, target, taken).await,
            Err(stopped) => Err(self.stopped(part, sent, stopped, target).await),
        }
    }

    /// Leaves of a part only what is without a gap, if it is to be kept.
    async fn stopped(
        &self,
        mut part: RemotePart,
        sent: Sent,
        stopped: Stopped,
        target: &[u8],
    ) -> TransferError {
        let (fatal, spoils) = match &stopped {
            Stopped::Write(error) => (error.is_fatal(), false),
            Stopped::Other(error) => (error.is_fatal(), error.spoils_part()),
        };
        let Sent { offset, waiting } = sent;
        // What is not on its way yet is taken back, and the cut comes before anything else is asked.
        drop(waiting);
        self.context.sftp.take_back_writes();
        let keep = self.context.options.resume && !spoils;
        part.remove_on_drop(!keep || !fatal);
        let cut = if keep && !fatal { Some(part.begin_cut(offset).await) } else { None };
        let error = match stopped {
            Stopped::Write(error) => self.context.write_error(target, error).await,
            Stopped::Other(error) => error,
        };
        if let Some(cut) = cut
            && cut.done().await.is_ok()
        {
            part.remove_on_drop(false);
        }
        error
    }

    /// A part to write to, and how much of it is there.
    async fn open_part(
        &self,
        job: &FileJob,
        source: &Source,
        local: &Arc<File>,
        target: &[u8],
        taken: &Taken,
    ) -> Result<(RemotePart, Handle, Granted, u64), TransferError> {
        if let Some((left, offset)) = self.part_to_resume(job, source.version)
            && let Some((part, file)) = self.take_over(job, left, local, offset).await?
        {
            self.context.progress.skipped(&source.shown, offset);
            self.context.report(|report| report.bytes_resumed += offset);
            // The mode of a new file, when the first that is written was begun by an earlier run, is told by
            // an empty part that goes at once.
            let granted = match self.mode(source, taken) {
                Mode::Exactly(mode) => Granted::Known(mode),
                Mode::New(mode) => match self.context.umask.of(mode) {
                    Some(mode) => Granted::Known(mode),
                    None => self.create_part(job, source, target, taken).await?.2,
                },
            };
            return Ok((part, file, granted, offset));
        }
        let (part, file, granted) = self.create_part(job, source, target, taken).await?;
        Ok((part, file, granted, 0))
    }

    /// Opens a part that an earlier run left, unless it does not hold what it should.
    async fn take_over(
        &self,
        job: &FileJob,
        left: &[u8],
        local: &Arc<File>,
        offset: u64,
    ) -> Result<Option<(RemotePart, Handle)>, TransferError> {
        let (sftp, folder) = (&self.context.sftp, &job.folder.path);
        let path = join(folder, &new_part_name(&job.name, job.source.version)).into();
        let (mut part, file) =
            match RemotePart::take_over(sftp, &self.removals, &join(folder, left), path).await {
                Ok(opened) => opened,
                Err(error) if error.is_fatal() => return Err(TransferError::Remote(error)),
                Err(_) => return Ok(None),
            };
        part.remove_on_drop(false);
        let from = offset.saturating_sub(COMPARED);
        let length = usize::try_from(offset - from).unwrap_or_default();
        let local = Arc::clone(local);
        let ours = self.context.disk.run(move || read_at(&local, from, length));
        let (ours, theirs) = tokio::join!(ours, sftp.read(&file, from, length));
        let same = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                // A server may give less; what it gives must be right.
                let theirs = theirs.unwrap_or_default();
                (!theirs.is_empty() || length == 0) && ours.starts_with(&theirs)
            }
            (_, Err(error)) if error.is_fatal() => return Err(TransferError::Remote(error)),
            _ => false,
        };
        part.remove_on_drop(!same);
        Ok(same.then_some((part, file)))
    }

    /// Sends the content from where `sent` stands.
    async fn send(
        &self,
        source: &Source,
        local: &Arc<File>,
        file: &Handle,
        sent: &mut Sent,
    ) -> Result<(), Stopped> {
        let sftp = &self.context.sftp;
        let (size, piece) = (source.version.size, sftp.limits().write);
        let (mut next_read, mut next_write) = (sent.offset, sent.offset);
        let mut reads = VecDeque::new();
        while next_write < size {
            while reads.len() < READ_AHEAD && next_read < size {
                let length = usize::try_from(size - next_read).map_or(piece, |left| left.min(piece));
                let (local, at) = (Arc::clone(local), next_read);
                reads.push_back(self.context.disk.run(move || read_at(&local, at, length)));
                next_read += length as u64;
            }
            let Some(read) = reads.pop_front() else { break };
            let content = read.await.map_err(|error| source.error(error))?;
            let length = content.len();
            if length < piece && next_write + length as u64 != size {
                return Err(source.changed().into());
            }
            let permit = sftp.reserve_write(length).await;
            sent.waiting.push_back((length as u64, sftp.begin_write(file, next_write, content, permit)));
            next_write += length as u64;
            while sent.waiting.front().is_some_and(|(_, pending)| pending.is_ready()) {
                self.arrived(source, sent).await?;
            }
        }
        Ok(())
    }

    /// Whether the source is still what was sent.
    async fn unchanged(&self, source: &Source, local: &Arc<File>) -> Result<(), TransferError> {
        let local = Arc::clone(local);
        let now = self.context.disk.run(move || version_now(&local)).await;
        if now.map_err(|error| source.error(error))? != source.version {
            return Err(source.changed());
        }
        Ok(())
    }

    /// Takes in the answer to the first write that waits for one.
    async fn arrived(&self, source: &Source, sent: &mut Sent) -> Result<(), Stopped> {
        let Some((length, pending)) = sent.waiting.pop_front() else { return Ok(()) };
        pending.done().await.map_err(Stopped::Write)?;
        sent.offset += length;
        self.context.progress.moved(&source.shown, length);
        self.context.report(|report| report.bytes += length);
        Ok(())
    }
}
