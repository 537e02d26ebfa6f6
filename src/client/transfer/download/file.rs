//! A file on its way from the server.

use std::{io, sync::Arc};

use super::{
    super::{
        super::sftp::{Attributes, Handle, Held, OpenFlags},
        checksum,
        context::SharedPath,
        error::{Side, TransferError},
        local::{LocalFolder, LocalKind, LocalPart, LocalState, write_at},
        names::{Version, is_part_of, join, part_name},
    },
    Download, Held as HeldFolder,
};

/// Bytes that a file which says it is empty may have.
const MOST_UNSAID: u64 = 4 << 20;

/// A file to copy.
pub(in super::super) struct FileJob {
    pub(super) remote: SharedPath,
    pub(super) attributes: Attributes,
    pub(super) folder: Arc<HeldFolder>,
    /// The name to take.
    pub(super) name: Vec<u8>,
}

impl FileJob {
    pub(super) fn new(
        remote: Vec<u8>,
        attributes: Attributes,
        folder: Arc<HeldFolder>,
        name: Vec<u8>,
    ) -> Self {
        Self { remote: remote.into(), attributes, folder, name }
    }

    pub(super) fn size(&self) -> u64 {
        self.attributes.size.unwrap_or(0)
    }

    fn target(&self) -> Vec<u8> {
        join(&self.folder.folder.path, &self.name)
    }

    pub(super) fn local_error(&self, error: io::Error) -> TransferError {
        TransferError::local_bytes(&self.target(), error)
    }

    pub(super) fn changed(&self) -> TransferError {
        TransferError::SourceChanged { side: Side::Remote, path: Arc::clone(&self.remote) }
    }
}

impl Download {
    pub(super) async fn copy_file(&self, job: FileJob) -> Result<(), TransferError> {
        let outcome = self.copy_or_skip(&job).await;
        self.context.progress.file_done(if outcome.is_err() { job.size() } else { 0 });
        outcome
    }

    async fn copy_or_skip(&self, job: &FileJob) -> Result<(), TransferError> {
        let there = job.folder.folder.known(&job.name).map_err(|error| job.local_error(error))?;
        if there.is_some_and(|there| there.kind == LocalKind::Folder) {
            return Err(TransferError::IsDirectory { side: Side::Local, path: job.target().into() });
        }
        if self.is_there(job, there).await? {
            self.context.progress.skipped(&job.remote, job.size());
            self.context.report(|report| report.files_unchanged += 1);
            return Ok(());
        }
        let sftp = &self.context.sftp;
        let failed = |error| TransferError::remote(&job.remote, error);
        let short = job.size() < sftp.limits().read as u64;
        if short {
            let file =
                sftp.open(&job.remote, OpenFlags::READ, &Attributes::default()).await.map_err(failed)?;
            return self.copy_short(job, file, there).await;
        }
        // It is never closed.
        let _turn = self.context.streams.acquire().await;
        let file = sftp.open(&job.remote, OpenFlags::READ, &Attributes::default()).await.map_err(failed)?;
        self.copy_long(job, &file, there).await
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

    /// A file that comes with one request: two round trips.
    async fn copy_short(
        &self,
        job: &FileJob,
        file: Handle,
        there: Option<LocalState>,
    ) -> Result<(), TransferError> {
        let content = match job.size() {
            0 => self.read_to_end(job, file).await?,
            size => self.read_whole(job, file, size as usize).await?,
        };
        let size = content.iter().map(|held| held.len() as u64).sum();

        let version = version_of(&job.attributes);
        let (folder, name) = (Arc::clone(&job.folder.folder), job.name.clone());
        let finish = self.finish(&job.attributes, there);
        let source = finish.source;
        let stale = self.stale(job, version);
        let verify = self.context.options.checksum;
        let part = self.context.disk.run(move || {
            remove_all(&folder, stale);
            let (part, granted) = folder.create_part(&part_name(&name, version), source)?;
            let mut offset = 0;
            for held in content {
                write_at(&part.file, offset, &held)?;
                offset += held.len() as u64;
            }
            if verify {
                return Ok(Some((part, granted)));
            }
            part.finish(&name, finish.mode.unwrap_or(granted), finish.times)?;
            Ok(None)
        });
        let part = part.await.map_err(|error| job.local_error(error))?;
        self.context.progress.moved(&job.remote, size);
        self.context.report(|report| report.bytes += size);
        if let Some((part, granted)) = part {
            return self.settle(job, part, size, granted, finish).await;
        }
        self.context.report(|report| report.files += 1);
        Ok(())
    }

    async fn read_whole(&self, job: &FileJob, file: Handle, size: usize) -> Result<Vec<Held>, TransferError> {
        // A byte more, to see that the end is there.
        let permit = self.context.sftp.reserve_read(size + 1).await;
        let read = self.context.sftp.begin_read(&file, 0, size + 1, permit);
        // Closed behind the read, without waiting.
        drop(file);
        let content = read.data().await.map_err(|error| TransferError::remote(&job.remote, error))?;
        let whole = content.filter(|content| content.len() == size);
        whole.map(|content| vec![content]).ok_or_else(|| job.changed())
    }

    /// Reads a file that says it is empty: those of a kernel are not.
    async fn read_to_end(&self, job: &FileJob, file: Handle) -> Result<Vec<Held>, TransferError> {
        let sftp = &self.context.sftp;
        let length = sftp.limits().read;
        let (mut content, mut offset) = (Vec::new(), 0);
        loop {
            // What is held is not counted, or this could wait for itself.
            let read = sftp.begin_read(&file, offset, length, None);
            match read.data().await.map_err(|error| TransferError::remote(&job.remote, error))? {
                None => return Ok(content),
                Some(_) if offset > MOST_UNSAID => return Err(job.changed()),
                Some(held) => {
                    offset += held.len() as u64;
                    content.push(held);
                }
            }
        }
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
        let name = job.name.clone();
        let mode = finish.mode.unwrap_or(granted);
        let finished = self.context.disk.run(move || part.finish(&name, mode, finish.times)).await;
        finished.map_err(|error| job.local_error(error))?;
        self.context.report(|report| report.files += 1);
        Ok(())
    }

    /// Mode and times of the finished file.
    pub(super) fn finish(&self, source: &Attributes, there: Option<LocalState>) -> Finish {
        let options = &self.context.options;
        let wanted = source.permissions.unwrap_or(0o666) & 0o777;
        let replaced = there.filter(|there| there.kind == LocalKind::File).map(|there| there.mode & 0o777);
        let mode = if options.preserve { Some(wanted) } else { replaced };
        let times = source.times.filter(|_| options.preserve || options.resume);
        Finish { source: wanted, mode, times }
    }

    /// The parts of other versions of the source.
    pub(super) fn stale(&self, job: &FileJob, version: Version) -> Vec<Vec<u8>> {
        if !self.context.options.resume {
            return Vec::new();
        }
        let part = part_name(&job.name, version);
        let parts = job.folder.folder.parts.iter();
        parts.filter(|stale| **stale != part && is_part_of(stale, &job.name)).cloned().collect()
    }
}

/// Mode and times of the finished file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    /// The mode of the source.
    pub(super) source: u32,
    /// The mode to set; none is that of a new file.
    mode: Option<u32>,
    times: Option<(u32, u32)>,
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
