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
    Download,
    file::{FileJob, remove_all, version_of},
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
        let failed = |error| TransferError::remote(&job.remote, error);
        let before = self.context.sftp.fstat(file).await.map_err(failed)?;
        let version = version_of(&before);
        let finish = self.finish(&before, there);
        let (mut part, granted, offset) = self.open_part(job, file, version, finish.source).await?;
        part.remove_on_drop(!self.context.options.resume);
        let outcome = async {
            self.stream(job, file, &part, offset, version.size).await?;
            let after = self.context.sftp.fstat(file).await.map_err(failed)?;
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
        let (folder, name) = (Arc::clone(&job.folder.folder), new_part_name(&job.name, version));
        let stale = self.stale(job, version);
        if !stale.is_empty() {
            let folder = Arc::clone(&folder);
            let removing = self.context.disk.run(move || {
                remove_all(&folder, stale);
                Ok(())
            });
            removing.await.map_err(|error| job.local_error(error))?;
        }
        if let Some(left) = self.part_to_resume(job, version)
            && let Some((part, offset)) = self.take_over(job, file, (left, &name), version.size).await?
        {
            self.context.progress.skipped(&job.remote, offset);
            self.context.report(|report| report.bytes_resumed += offset);
            let known = match self.context.umask.of(mode) {
                Some(known) => known,
                None => self.learn_mode(job, mode).await?,
            };
            return Ok((part, known, offset));
        }
        let made = self.context.disk.run(move || folder.create_part(&name, mode)).await;
        let (part, granted) = made.map_err(|error| job.local_error(error))?;
        self.context.umask.learn(mode, granted);
        Ok((part, granted, 0))
    }

    /// Opens a part that an earlier run left, unless it does not hold what it should.
    async fn take_over(
        &self,
        job: &FileJob,
        file: &Handle,
        (left, name): (&[u8], &[u8]),
        size: u64,
    ) -> Result<Option<(LocalPart, u64)>, TransferError> {
        let folder = Arc::clone(&job.folder.folder);
        let (left, name) = (left.to_vec(), name.to_vec());
        let opened = self.context.disk.run(move || {
            let (part, arrived) = folder.take_over(&left, &name)?;
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

    /// The mode of a new file, when the first that is written was begun by an earlier run: an empty one
    /// tells.
    async fn learn_mode(&self, job: &FileJob, mode: u32) -> Result<u32, TransferError> {
        let name = new_part_name(&[&job.name[..], b".mode"].concat(), version_of(&job.attributes));
        let folder = Arc::clone(&job.folder.folder);
        let granted = self.context.disk.run(move || Ok(folder.create_part(&name, mode)?.1)).await;
        let granted = granted.map_err(|error| job.local_error(error))?;
        self.context.umask.learn(mode, granted);
        Ok(granted)
    }

    /// Fetches the content and writes it in order, so that a part never has a gap.
    async fn stream(
        &self,
        job: &FileJob,
        file: &Handle,
        part: &LocalPart,
        offset: u64,
        size: u64,
    ) -> Result<(), TransferError> {
        let failed = |error| TransferError::remote(&job.remote, error);
        let mut ahead = ReadAhead::new(&self.context.sftp, file, offset, size);
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
