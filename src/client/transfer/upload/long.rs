//! A file of many requests on its way to the server.

use std::{collections::VecDeque, fs::File, sync::Arc};

use super::{
    super::{
        super::sftp::{Handle, Pending},
        error::TransferError,
        names::{join, new_part_name},
        part::{Mode, RemotePart},
        resume::COMPARED,
    },
    Upload,
    file::{FileJob, Taken},
    local::{Source, read_at, version_of},
};

/// Pieces that are read from the disk ahead of being sent.
const READ_AHEAD: usize = 4;

/// What was sent: everything before the offset has arrived.
struct Sent {
    offset: u64,
    waiting: VecDeque<(u64, Pending)>,
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
        let (mut part, file, mode, offset) = self.open_part(job, &source, &local, target, taken).await?;
        part.remove_on_drop(!self.context.options.resume);
        let mut sent = Sent { offset, waiting: VecDeque::new() };
        let outcome = self.stream(&source, &local, &file, target, &mut sent).await;
        if let Err(error) = outcome {
            if error.spoils_part() {
                part.remove_on_drop(true);
            } else if self.context.options.resume && !error.is_fatal() {
                // Writes behind the one that failed may have been done: only what is without a gap stays.
                if part.cut(sent.offset).await.is_err() {
                    part.remove_on_drop(true);
                }
            }
            return Err(error);
        }
        let (set, close) = self.complete(&source, file, mode, taken);
        self.completed(set, close, target).await?;
        self.settle(&source, part, target, taken).await
    }

    /// A part to write to, and how much of it is there.
    async fn open_part(
        &self,
        job: &FileJob,
        source: &Source,
        local: &Arc<File>,
        target: &[u8],
        taken: &Taken,
    ) -> Result<(RemotePart, Handle, u32, u64), TransferError> {
        if let Some((left, offset)) = self.part_to_resume(job, source.version)
            && let Some((part, file)) = self.take_over(job, left, local, offset).await?
        {
            self.context.progress.skipped(&source.shown, offset);
            self.context.report(|report| report.bytes_resumed += offset);
            let mode = match self.mode(source, taken) {
                Mode::Exactly(mode) => mode,
                Mode::New(mode) => match self.context.umask.of(mode) {
                    Some(mode) => mode,
                    None => self.learn_mode(job, source, mode, target).await?,
                },
            };
            return Ok((part, file, mode, offset));
        }
        let (part, file, mode) = self.create_part(job, source, target, taken).await?;
        Ok((part, file, mode, 0))
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
        let (mut part, file) = match RemotePart::take_over(sftp, &join(folder, left), path).await {
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

    /// The mode of a new file, when the first that is written was begun by an earlier run: an empty one
    /// tells.
    async fn learn_mode(
        &self,
        job: &FileJob,
        source: &Source,
        mode: u32,
        target: &[u8],
    ) -> Result<u32, TransferError> {
        let name = new_part_name(&[&job.name[..], b".mode"].concat(), source.version);
        let path = join(&job.folder.path, &name).into();
        let (sftp, umask) = (&self.context.sftp, &self.context.umask);
        match RemotePart::create(sftp, path, Mode::New(mode), umask).await {
            Ok((_empty, _file, mode)) => Ok(mode),
            Err(error) => Err(self.context.write_error(target, error).await),
        }
    }

    /// Sends the content from where `sent` stands.
    async fn stream(
        &self,
        source: &Source,
        local: &Arc<File>,
        file: &Handle,
        target: &[u8],
        sent: &mut Sent,
    ) -> Result<(), TransferError> {
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
                return Err(source.changed());
            }
            let permit = sftp.reserve_write(length).await;
            sent.waiting.push_back((length as u64, sftp.begin_write(file, next_write, content, permit)));
            next_write += length as u64;
            while sent.waiting.front().is_some_and(|(_, pending)| pending.is_ready()) {
                self.arrived(source, target, sent).await?;
            }
        }
        while !sent.waiting.is_empty() {
            self.arrived(source, target, sent).await?;
        }
        let local = Arc::clone(local);
        let now = self.context.disk.run(move || Ok(version_of(&local.metadata()?))).await;
        if now.map_err(|error| source.error(error))? != source.version {
            return Err(source.changed());
        }
        Ok(())
    }

    /// Takes in the answer to the first write that waits for one.
    async fn arrived(&self, source: &Source, target: &[u8], sent: &mut Sent) -> Result<(), TransferError> {
        let Some((length, pending)) = sent.waiting.pop_front() else { return Ok(()) };
        if let Err(error) = pending.done().await {
            return Err(self.context.write_error(target, error).await);
        }
        sent.offset += length;
        self.context.progress.moved(&source.shown, length);
        self.context.report(|report| report.bytes += length);
        Ok(())
    }
}
