//! A file of many requests on its way from the server.

use std::{io, sync::Arc};

use super::{
    super::{
        super::sftp::Handle,
        error::TransferError,
        local::{LocalPart, LocalState, write_at},
        names::{Version, new_part_name},
        resume::{COMPARED, resume_at},
        stream::{Next, ReadAhead},
    },
    file::{remove_all, version_of},
    jobs::{Download, FileJob},
};

/// Bytes that are written to the disk at once.
const BATCH: usize = 2 << 20;

impl Download {
    pub(super) async fn copy_long(
        &self,
        job: &FileJob,
        file: &Handle,
        there: Option<LocalState>,
    ) -> Result<(), TransferError> {
        let sftp = &self.context.sftp;
        let failed = |error| TransferError::remote(&job.remote, error);
        job.fits(job.size())?;
        let before = sftp.begin_fstat(file);
        // The first reads go right behind, unless it may begin elsewhere.
        let listed = version_of(&job.attributes);
        let mut early = None;
        if self.part_to_resume(job, listed).is_none() {
            let mut ahead = ReadAhead::new(sftp, file, 0, listed.size).with_attributes();
            ahead.ask().await;
            early = Some(ahead);
        }
        let before = before.attributes().await.map_err(failed)?;
        let version = version_of(&before);
        job.fits(version.size)?;
        // What was asked for wrongly must not be held while something else is waited for.
        let early = early.filter(|_| version == listed);
        let finish = self.finish(&before, there);
        let (mut part, granted, offset) = self.open_part(job, file, version, finish.source).await?;
        part.remove_on_drop(!self.context.options.resume);
        let fresh = || ReadAhead::new(sftp, file, offset, version.size).with_attributes();
        let mut ahead = early.unwrap_or_else(fresh);
        let outcome = async {
            self.stream(job, &part, &mut ahead).await?;
            let after = ahead.attributes().await.map_err(failed)?;
            if version_of(&after) == version { Ok(()) } else { Err(job.changed()) }
        };
        if let Err(error) = outcome.await {
            if error.spoils_part() {
                part.remove_on_drop(true);
            }
            return Err(error);
        }
        self.settle(job, part, version.size, granted, finish).await
    }

    /// A part to write to, the mode of a new file, and how much of the part is there.
    async fn open_part(
        &self,
        job: &FileJob,
        file: &Handle,
        version: Version,
        mode: u32,
    ) -> Result<(LocalPart, u32, u64), TransferError> {
        let stale = self.stale(job, version);
        let (part, granted) = self.new_part(job, version, mode, stale).await?;
        let Some(left) = self.part_to_resume(job, version) else { return Ok((part, granted, 0)) };
        match self.take_over(job, file, left, part, version.size).await? {
            Some((part, offset)) => {
                self.context.progress.skipped(&job.remote, offset);
                self.context.report(|report| report.bytes_resumed += offset);
                Ok((part, granted, offset))
            }
            None => {
                let (part, granted) = self.new_part(job, version, mode, Vec::new()).await?;
                Ok((part, granted, 0))
            }
        }
    }

    /// A new part and the mode of a new file. Those that are of no use go.
    async fn new_part(
        &self,
        job: &FileJob,
        version: Version,
        mode: u32,
        stale: Vec<Vec<u8>>,
    ) -> Result<(LocalPart, u32), TransferError> {
        let (folder, name) = (Arc::clone(&job.folder.folder), new_part_name(&job.name, version));
        let made = self.context.disk.run(move || {
            remove_all(&folder, stale);
            folder.create_part(&name, mode)
        });
        made.await.map_err(|error| job.local_error(error))
    }

    /// Opens a part that an earlier run left in the place of a new one, unless it does not hold what it
    /// should.
    async fn take_over(
        &self,
        job: &FileJob,
        file: &Handle,
        left: &[u8],
        mut part: LocalPart,
        size: u64,
    ) -> Result<Option<(LocalPart, u64)>, TransferError> {
        let folder = Arc::clone(&job.folder.folder);
        let left = left.to_vec();
        let opened = self.context.disk.run(move || {
            let arrived = folder.take_over(&left, &mut part)?;
            let Some(offset) = resume_at(arrived, size) else {
                return Ok(None);
            };
            let from = offset.saturating_sub(COMPARED);
            let mut ours = vec![0; usize::try_from(offset - from).unwrap_or_default()];
            std::os::unix::fs::FileExt::read_exact_at(part.file.as_ref(), &mut ours, from)?;
            Ok(Some((part, offset, from, ours)))
        });
        // What cannot be used is thrown away, and begun anew.
        let Ok(Some((mut part, offset, from, ours))) = opened.await else { return Ok(None) };
        match self.context.sftp.read(file, from, ours.len()).await {
            Ok(Some(theirs)) if ours.starts_with(&theirs) => {
                part.remove_on_drop(false);
                Ok(Some((part, offset)))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                part.remove_on_drop(false);
                Err(TransferError::remote(&job.remote, error))
            }
        }
    }

    /// Fetches the content and writes it in order, so that a part never has a gap.
    async fn stream(
        &self,
        job: &FileJob,
        part: &LocalPart,
        ahead: &mut ReadAhead<'_>,
    ) -> Result<(), TransferError> {
        let failed = |error| TransferError::remote(&job.remote, error);
        let mut writing = None;
        loop {
            let mut batch = Vec::new();
            let mut bytes = 0;
            let mut next = ahead.next().await;
            while let Ok(Next::Data(at, held)) = next {
                bytes += held.len();
                batch.push((at, held));
                if bytes >= BATCH || !ahead.is_ready() {
                    next = Ok(Next::End);
                    break;
                }
                next = ahead.next().await;
            }
            // The batch before is on the disk before this one: a part never has a gap.
            if let Some((job_before, moved)) = writing.take() {
                self.written(job, job_before, moved).await?;
            }
            let more = !batch.is_empty();
            if more {
                let into = Arc::clone(&part.file);
                let write = self
                    .context
                    .disk
                    .run(move || batch.into_iter().try_for_each(|(at, held)| write_at(&into, at, &held)));
                writing = Some((write, bytes as u64));
            }
            match next {
                Err(error) => {
                    // What came before it is kept.
                    if let Some((write, moved)) = writing.take() {
                        self.written(job, write, moved).await?;
                    }
                    return Err(failed(error));
                }
                Ok(Next::Short) => return Err(job.changed()),
                Ok(Next::End) if !more => return Ok(()),
                Ok(_) => {}
            }
        }
    }

    async fn written(
        &self,
        job: &FileJob,
        write: impl Future<Output = io::Result<()>>,
        bytes: u64,
    ) -> Result<(), TransferError> {
        write.await.map_err(|error| job.local_error(error))?;
        self.context.progress.moved(&job.remote, bytes);
        self.context.report(|report| report.bytes += bytes);
        Ok(())
    }
}
