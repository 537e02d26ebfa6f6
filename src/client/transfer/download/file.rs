//! A file on its way from the server.

use std::sync::Arc;

use super::{
    super::{
        super::sftp::{Attributes, Handle, Held, OpenFlags},
        checksum,
        error::{Side, TransferError},
        local::{Last, LocalFolder, LocalKind, LocalPart, LocalState, write_at},
        names::{Version, is_part_of, is_part_of_version, new_part_name},
        resume::resume_at,
    },
    jobs::{Download, FileJob},
};

/// Bytes that a file which says it is empty may have.
const MOST_UNSAID: usize = 4 << 20;

/// Reads after which such a file has no end, either: a kernel gives a page at once, or a few lines.
const MOST_READS: usize = 4 << 10;

/// Bytes of the first read of such a file.
const FIRST: usize = 4 << 10;

impl Download {
    pub(super) async fn copy_file(&self, job: FileJob) -> Result<(), TransferError> {
        let outcome = self.copy_or_skip(&job).await;
        self.context.progress.file_done(if outcome.is_err() { job.size() } else { 0 });
        self.release(job.folder).await;
        outcome
    }

    async fn copy_or_skip(&self, job: &FileJob) -> Result<(), TransferError> {
        let there = self.there(job).await?;
        if self.is_there(job, there).await? {
            self.context.progress.skipped(&job.remote, job.size());
            self.context.report(|report| report.files_unchanged += 1);
            return Ok(());
        }
        let sftp = &self.context.sftp;
        let failed = |error| TransferError::remote(&job.remote, error);
        let any = Attributes::default();
        let open = || sftp.open(&job.remote, OpenFlags::READ, &any);
        let is_short = |size: u64| size < sftp.limits().read as u64;
        let mut fresh = None;
        if is_short(job.size()) {
            let file = open().await.map_err(failed)?;
            if let Some(content) = self.read_short(job, file).await? {
                return self.copy_short(job, content, there).await;
            }
            // It has another size by now, or never had the one that it says, as some files of a kernel; or
            // the server gives less at once.
            let file = open().await.map_err(failed)?;
            let attributes = sftp.fstat(&file).await.map_err(failed)?;
            let now = fresh.insert(FileJob { attributes, ..job.clone() });
            if is_short(now.size()) {
                let content = self.read_to_end(now, &file).await?;
                let after = sftp.fstat(&file).await.map_err(failed)?;
                if version_of(&after) != version_of(&now.attributes) {
                    return Err(job.changed());
                }
                return self.copy_short(now, content, there).await;
            }
        }
        // It is never closed.
        let _turn = self.context.streams.acquire().await;
        let file = open().await.map_err(failed)?;
        self.copy_long(fresh.as_ref().unwrap_or(job), &file, there).await
    }

    /// What is there already; a folder is an error before anything is asked for.
    async fn there(&self, job: &FileJob) -> Result<Option<LocalState>, TransferError> {
        let (folder, name) = (Arc::clone(&job.folder.folder), job.name.clone());
        let look = move || {
            let there = folder.known(&name)?;
            let link = there.is_some_and(|there| there.kind == LocalKind::Link);
            Ok((there, link && folder.leads_to_special(&name)))
        };
        // Mostly nothing of that name was there when the folder was made or listed.
        let looked = match job.folder.folder.has_none(&job.name) {
            true => Ok((None, false)),
            false => self.context.disk.run(look).await,
        };
        let (there, leads_to_special) = looked.map_err(|error| job.local_error(error))?;
        let (side, path) = (Side::Local, || job.target().into());
        match there.map(|there| there.kind) {
            Some(LocalKind::Folder) => Err(TransferError::IsDirectory { side, path: path() }),
            Some(LocalKind::Other) => Err(TransferError::Special { side, path: path() }),
            Some(LocalKind::Link) if leads_to_special => Err(TransferError::Special { side, path: path() }),
            Some(LocalKind::File | LocalKind::Link) | None => Ok(there),
        }
    }

    /// Whether the file is there already, as far as the options let that be found out.
    async fn is_there(&self, job: &FileJob, there: Option<LocalState>) -> Result<bool, TransferError> {
        let options = &self.context.options;
        let same_size =
            there.filter(|there| there.kind == LocalKind::File && Some(there.size) == job.attributes.size);
        let Some(there) = same_size else { return Ok(false) };
        if options.checksum {
            let (folder, name) = (Arc::clone(&job.folder.folder), job.name.clone());
            let hash = self.context.disk.run(move || checksum::local(&folder.read(&name)?));
            let remote = self.context.verifier.remote(&job.remote, there.size);
            let (local, remote) = tokio::join!(hash, remote);
            let remote = remote.map_err(|error| TransferError::remote(&job.remote, error))?;
            // One that cannot be read may be replaced all the same.
            return Ok(local.is_ok_and(|local| local == remote));
        }
        let changed = job.attributes.times.map(|(_, changed)| i64::from(changed));
        Ok(options.resume && changed == Some(there.changed))
    }

    /// Reads a file with one request; nothing when it is not as it was listed.
    async fn read_short(&self, job: &FileJob, file: Handle) -> Result<Option<Held>, TransferError> {
        match job.size() {
            0 => self.read_to_end(job, &file).await.map(Some),
            size => self.read_whole(job, file, size as usize).await,
        }
    }

    /// Writes a file that came with one request: two round trips.
    async fn copy_short(
        &self,
        job: &FileJob,
        content: Held,
        there: Option<LocalState>,
    ) -> Result<(), TransferError> {
        let size = content.len() as u64;
        let version = version_of(&job.attributes);
        let (folder, name) = (Arc::clone(&job.folder.folder), job.name.clone());
        let finish = self.finish(&job.attributes, there);
        let source = finish.source;
        let stale = self.stale(job, version);
        let verify = self.context.options.checksum;
        let count = self.context.count_file();
        let part = self.context.disk.run(move || {
            remove_all(&folder, stale);
            let (part, granted) = folder.create_part(&new_part_name(&name, version), source)?;
            write_at(&part.file, 0, &content)?;
            drop(content);
            if verify {
                return Ok(Some((part, granted)));
            }
            part.finish(&name, granted, finish.last)?;
            count();
            Ok(None)
        });
        let part = part.await.map_err(|error| job.finish_error(error))?;
        self.context.progress.moved(&job.remote, size);
        self.context.report(|report| report.bytes += size);
        if let Some((part, granted)) = part {
            return self.settle(job, part, size, granted, finish).await;
        }
        Ok(())
    }

    async fn read_whole(
        &self,
        job: &FileJob,
        file: Handle,
        size: usize,
    ) -> Result<Option<Held>, TransferError> {
        // A byte more, to see that the end is there.
        let permit = self.context.sftp.reserve_read(size + 1).await;
        let read = self.context.sftp.begin_read(&file, 0, size + 1, permit);
        let after = self.context.sftp.begin_fstat(&file);
        // Closed behind the read, without waiting.
        drop(file);
        let failed = |error| TransferError::remote(&job.remote, error);
        let content = read.data().await.map_err(failed)?;
        let after = version_of(&after.attributes().await.map_err(failed)?);
        let as_listed = after == version_of(&job.attributes);
        Ok(content.filter(|content| content.len() == size && as_listed))
    }

    /// Reads a file that says it is empty, or that is not as long as it says, as some of a kernel.
    async fn read_to_end(&self, job: &FileJob, file: &Handle) -> Result<Held, TransferError> {
        let failed = |error| TransferError::remote(&job.remote, error);
        let sftp = &self.context.sftp;
        // Most that say so are empty, which takes no turn to see.
        let (mut content, mut length) = (Vec::new(), FIRST.min(sftp.limits().read));
        let mut turn = None;
        for _ in 0..MOST_READS {
            // What is held is not counted in the window, or this could wait for itself.
            let read = sftp.begin_read(file, content.len() as u64, length, None);
            let Some(held) = read.data().await.map_err(failed)? else {
                return Ok(Held::new(content.into(), turn));
            };
            content.extend_from_slice(&held);
            if content.len() > MOST_UNSAID {
                break;
            }
            if turn.is_none() {
                // It is never closed.
                turn = Arc::clone(&self.unsaid).acquire_owned().await.ok();
                length = sftp.limits().read;
            }
        }
        Err(TransferError::Endless { path: Arc::clone(&job.remote) })
    }

    /// Compares the part if that is asked for, and gives it its name.
    pub(super) async fn settle(
        &self,
        job: &FileJob,
        mut part: LocalPart,
        size: u64,
        granted: u32,
        finish: Finish,
    ) -> Result<(), TransferError> {
        if self.context.options.checksum {
            let file = Arc::clone(&part.file);
            let hash = self.context.disk.run(move || checksum::local(&file));
            let (local, remote) = tokio::join!(hash, self.context.verifier.remote(&job.remote, size));
            let local = local.map_err(|error| job.local_error(error))?;
            if local != remote.map_err(|error| TransferError::remote(&job.remote, error))? {
                part.remove_on_drop(true);
                return Err(TransferError::Checksum { path: job.target().into() });
            }
        }
        let (name, count) = (job.name.clone(), self.context.count_file());
        let finished =
            self.context.disk.run(move || part.finish(&name, granted, finish.last).map(|()| count()));
        finished.await.map_err(|error| job.finish_error(error))
    }

    /// How the file is finished.
    pub(super) fn finish(&self, source: &Attributes, there: Option<LocalState>) -> Finish {
        let options = &self.context.options;
        let wanted = source.permissions.unwrap_or(0o666) & 0o777;
        let replaced = there.filter(|there| there.kind == LocalKind::File);
        let mode = if options.preserve { Some(wanted) } else { replaced.map(|there| there.mode & 0o777) };
        let times = source.times.filter(|_| options.preserve || options.resume);
        Finish {
            source: wanted,
            last: Last { mode, times, owner: replaced.map(|there| there.owner), strict: options.preserve },
        }
    }

    /// The part to go on with, if there is one: the one that holds most.
    pub(super) fn part_to_resume<'a>(&self, job: &'a FileJob, version: Version) -> Option<&'a [u8]> {
        if !self.context.options.resume {
            return None;
        }
        let folder = &job.folder.folder;
        let parts = folder.parts.iter().filter(|part| is_part_of_version(part, &job.name, version));
        let resumable = parts.filter_map(|part| {
            let arrived = folder.known(part).ok()??.size;
            Some((&part[..], resume_at(arrived, version.size)?))
        });
        resumable.max_by_key(|(_, offset)| *offset).map(|(part, _)| part)
    }

    /// The parts of the file that are of no use.
    pub(super) fn stale(&self, job: &FileJob, version: Version) -> Vec<Vec<u8>> {
        if !self.context.options.resume {
            return Vec::new();
        }
        let kept = self.part_to_resume(job, version);
        let parts = job.folder.folder.parts.iter();
        parts.filter(|part| Some(&part[..]) != kept && is_part_of(part, &job.name)).cloned().collect()
    }
}

/// How a file is finished.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    /// The mode of the source.
    pub(super) source: u32,
    last: Last,
}

pub(super) fn version_of(attributes: &Attributes) -> Version {
    let changed = attributes.times.map_or(0, |(_, changed)| changed.into());
    Version { size: attributes.size.unwrap_or(0), changed, nanoseconds: 0 }
}

/// Removes what is of no use any more. What cannot be removed does no harm.
pub(super) fn remove_all(folder: &LocalFolder, names: Vec<Vec<u8>>) {
    for name in names {
        let _ = folder.remove(&name);
    }
}
