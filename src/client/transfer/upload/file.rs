//! A file on its way to the server.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    super::{
        super::sftp::{Attributes, FileKind, Handle, SftpError},
        checksum,
        context::Context,
        error::{Side, TransferError},
        names::{Version, is_part_of, is_part_of_version, join, new_part_name},
        part::{Granted, Mode, RemotePart},
        resume::resume_at,
    },
    jobs::{FileJob, Taken, Upload},
    local::{Loaded, Source},
};

impl Upload {
    pub(super) async fn copy_file(&self, job: FileJob) -> Result<(), TransferError> {
        let size = job.source.version.size;
        let outcome = self.copy_or_skip(&job).await;
        self.context.progress.file_done(if outcome.is_err() { size } else { 0 });
        outcome
    }

    async fn copy_or_skip(&self, job: &FileJob) -> Result<(), TransferError> {
        let target = join(&job.folder.path, &job.name);
        let taken = self.taken(job, &target).await?;
        if self.is_there(job, &target, &taken).await? {
            self.context.progress.skipped(&job.source.shown, job.source.version.size);
            self.context.report(|report| report.files_unchanged += 1);
            return Ok(());
        }
        self.remove_stale(job);
        let most = self.context.sftp.limits().write;
        // Room is reserved before the content is in memory.
        if job.source.version.size <= most as u64 {
            let permit = self.context.sftp.reserve_write(job.source.version.size as usize).await;
            let source = job.source.clone();
            match self.context.disk.run(move || source.load(most)).await {
                Ok(Loaded::Whole(content, source)) => {
                    return self.copy_short(job, &source, content, permit, &target, &taken).await;
                }
                Ok(Loaded::Changed) => return Err(job.source.changed()),
                Ok(Loaded::Long) => {}
                Err(error) => return Err(job.source.error(error)),
            }
        }
        // It is never closed.
        let _turn = self.context.streams.acquire().await;
        self.copy_long(job, &target, &taken).await
    }

    /// What is there already; a folder is an error before anything is sent.
    async fn taken(&self, job: &FileJob, target: &[u8]) -> Result<Taken, TransferError> {
        let attributes = match &job.folder.known {
            Some(known) => known.get(&job.name).copied(),
            None => match self.look_at(job, target).await {
                Ok(attributes) => Some(attributes),
                Err(error) if error.is_no_such_file() => None,
                Err(error) => return Err(TransferError::remote(target, error)),
            },
        };
        let (side, path) = (Side::Remote, || target.into());
        match attributes.map(|attributes| attributes.kind()) {
            Some(FileKind::Directory) => Err(TransferError::IsDirectory { side, path: path() }),
            Some(FileKind::Special) => Err(TransferError::Special { side, path: path() }),
            Some(FileKind::Link) if self.leads_to_special(target).await => {
                Err(TransferError::Special { side, path: path() })
            }
            _ => Ok(Taken { attributes }),
        }
    }

    async fn look_at(&self, job: &FileJob, target: &[u8]) -> Result<Attributes, SftpError> {
        match &job.taken {
            Some(taken) => taken.clone(),
            None => self.context.sftp.lstat(target).await,
        }
    }

    async fn leads_to_special(&self, target: &[u8]) -> bool {
        let end = self.context.sftp.stat(target).await;
        end.is_ok_and(|attributes| attributes.kind() == FileKind::Special)
    }

    /// Whether the file is there already, as far as the options let that be found out.
    async fn is_there(&self, job: &FileJob, target: &[u8], taken: &Taken) -> Result<bool, TransferError> {
        let Some(there) = taken.attributes.filter(|there| there.kind() == FileKind::File) else {
            return Ok(false);
        };
        let options = &self.context.options;
        if there.size != Some(job.source.version.size) || !(options.resume || options.checksum) {
            return Ok(false);
        }
        if options.checksum {
            let wanted = job.source.clone();
            let hash = self.context.disk.run(move || checksum::local(&wanted.open()?.0));
            let remote = self.context.verifier.remote(target, job.source.version.size);
            let (local, remote) = tokio::join!(hash, remote);
            let local = local.map_err(|error| job.source.error(error))?;
            return match remote {
                Ok(remote) => Ok(local == remote),
                Err(error) if error.is_fatal() => Err(TransferError::Remote(error)),
                // It may be replaced without being read.
                Err(_) => Ok(false),
            };
        }
        let changed = u32::try_from(job.source.version.changed).ok();
        Ok(there.times.is_some_and(|(_, time)| Some(time) == changed))
    }

    /// The part to go on with and from where, if there is one: the one that holds most.
    pub(super) fn part_to_resume<'a>(&self, job: &'a FileJob, version: Version) -> Option<(&'a [u8], u64)> {
        let known = job.folder.known.as_ref().filter(|_| self.context.options.resume)?;
        let parts = job.folder.parts.iter().filter(|part| is_part_of_version(part, &job.name, version));
        let resumable =
            parts.filter_map(|part| Some((&part[..], resumable(known.get(part)?, version.size)?)));
        resumable.max_by_key(|(_, offset)| *offset)
    }

    /// Asks for parts of the file that are of no use to be removed.
    fn remove_stale(&self, job: &FileJob) {
        if !self.context.options.resume || job.folder.parts.is_empty() {
            return;
        }
        let kept = self.part_to_resume(job, job.source.version).map(|(part, _)| part);
        let parts = job.folder.parts.iter().filter(|part| is_part_of(part, &job.name));
        for stale in parts.filter(|part| Some(&part[..]) != kept) {
            drop(self.context.sftp.begin_remove(&join(&job.folder.path, stale)));
        }
    }

    /// A file that fits in one request: three round trips.
    async fn copy_short(
        &self,
        job: &FileJob,
        source: &Source,
        content: Bytes,
        permit: Option<OwnedSemaphorePermit>,
        target: &[u8],
        taken: &Taken,
    ) -> Result<(), TransferError> {
        let sftp = &self.context.sftp;
        let (part, file, granted) = self.create_part(job, source, target, taken).await?;
        let size = content.len() as u64;
        let write = match size {
            0 => None,
            _ => Some(sftp.begin_write(&file, 0, content, permit)),
        };
        // All of it is on its way at once, but not the new name: what is not whole must not take it.
        let completing = self.complete(source, file, granted.known(), taken);
        if let Some(write) = write
            && let Err(error) = write.done().await
        {
            return Err(self.context.write_error(target, error).await);
        }
        self.completed(completing, target).await?;
        self.context.progress.moved(&source.shown, size);
        self.context.report(|report| report.bytes += size);
        self.settle(source, part, granted, target, taken).await
    }

    pub(super) async fn create_part(
        &self,
        job: &FileJob,
        source: &Source,
        target: &[u8],
        taken: &Taken,
    ) -> Result<(RemotePart, Handle, Granted), TransferError> {
        let name = new_part_name(&job.name, source.version);
        let path = join(&job.folder.path, &name).into();
        let mode = self.mode(source, taken);
        let Context { sftp, umask, .. } = &self.context;
        match RemotePart::create(sftp, &self.removals, path, mode, umask).await {
            Ok(made) => Ok(made),
            Err(error) => Err(self.context.write_error(target, error).await),
        }
    }

    /// That of the source if it is to be kept; that of the file that is replaced; or that of a new file.
    pub(super) fn mode(&self, source: &Source, taken: &Taken) -> Mode {
        let replaced = taken.attributes.filter(|there| there.kind() == FileKind::File);
        match replaced.and_then(|there| there.permissions) {
            _ if self.context.options.preserve => Mode::Exactly(source.mode),
            Some(mode) => Mode::Exactly(mode & 0o777),
            None => Mode::New(source.mode),
        }
    }
}

/// From where a part can be gone on with, if it can.
fn resumable(part: &Attributes, size: u64) -> Option<u64> {
    let arrived = part.size?;
    // One that others can write to is not ours.
    let ours = part.kind() == FileKind::File && part.permissions.is_some_and(|mode| mode & 0o022 == 0);
    resume_at(arrived, size).filter(|_| ours)
}
