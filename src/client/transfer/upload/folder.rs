//! Folders on their way to the server.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use super::{
    super::{
        super::sftp::{Attributes, SftpError},
        error::{Side, TransferError},
        names::{is_part, join},
        options::Links,
        report::WhySkipped,
        tree::Work,
    },
    Upload,
    file::FileJob,
    local::{self, Found, Source},
};

/// A folder to make and to fill.
pub(in super::super) struct FolderJob {
    source: Source,
    remote: Vec<u8>,
    above: Option<Arc<Above>>,
}

/// The folders a folder is in, by device and number.
struct Above {
    identity: (u64, u64),
    above: Option<Arc<Self>>,
}

/// A remote folder.
pub(super) struct RemoteFolder {
    pub(super) path: Vec<u8>,
    /// What is in it; none when that was not asked for.
    pub(super) known: Option<HashMap<Vec<u8>, Attributes>>,
    /// The names of parts in it.
    pub(super) parts: Vec<Vec<u8>>,
}

impl FolderJob {
    pub(super) fn top(source: Source, remote: Vec<u8>) -> Self {
        Self { source, remote, above: None }
    }
}

impl Upload {
    /// A folder that exists, with what is in it if that matters.
    pub(super) async fn known_folder(&self, path: Vec<u8>) -> Result<RemoteFolder, TransferError> {
        if !self.context.options.resume {
            return Ok(RemoteFolder { path, known: None, parts: Vec::new() });
        }
        match self.listed_folder(path.clone()).await {
            // A folder that may be written to and not be read: nothing can be resumed in it.
            Err(SftpError::Status { .. }) => Ok(RemoteFolder { path, known: None, parts: Vec::new() }),
            other => other.map_err(TransferError::Remote),
        }
    }

    pub(super) async fn list_folder(&self, job: FolderJob) -> Result<Work<Self>, TransferError> {
        let links = self.context.options.links;
        let path = job.source.path.clone();
        let listing = self.context.disk.run(move || local::list(&path, links));
        let (folder, entries) = tokio::join!(self.make_folder(&job), listing);
        let (folder, made) = folder?;
        let entries = entries.map_err(|error| job.source.error(error))?;
        self.context.report(|report| report.folders += u64::from(made));
        if self.context.options.preserve {
            let attributes = job.source.attributes(Some(job.source.mode), true);
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.push((job.remote.clone(), attributes));
        }
        let folder = Arc::new(folder);
        let above = Arc::new(Above { identity: job.source.identity, above: job.above });
        let mut work = Work::default();
        let mut bytes = 0;
        for entry in entries {
            match entry.found {
                Ok(Found::File(source)) => {
                    bytes += source.version.size;
                    let folder = Arc::clone(&folder);
                    work.files.push(FileJob { source, folder, name: entry.name, taken: None });
                }
                Ok(Found::Folder(source)) if above.contains(source.identity) => {
                    self.context.failed(TransferError::Loop { path: source.shown });
                }
                Ok(Found::Folder(source)) => {
                    let remote = join(&folder.path, &entry.name);
                    work.folders.push(FolderJob { source, remote, above: Some(Arc::clone(&above)) });
                }
                Ok(Found::Link(target)) if links == Links::Keep => {
                    self.make_link(&folder, &entry.name, &target).await;
                }
                Ok(Found::Link(_)) => self.skip(&entry.path, WhySkipped::Link),
                Ok(Found::Special) => self.skip(&entry.path, WhySkipped::Special),
                Err(error) => self.context.failed(TransferError::local(&entry.path, error)),
            }
        }
        self.context.progress.found(work.files.len() as u64, bytes);
        Ok(work)
    }

    /// Makes a folder, or takes the one that is there. Whether it was made is told, too.
    async fn make_folder(&self, job: &FolderJob) -> Result<(RemoteFolder, bool), TransferError> {
        let path = job.remote.clone();
        // Whoever makes it must be able to fill it.
        let refused = match self.context.sftp.mkdir(&path, &Attributes::mode(job.source.mode | 0o700)).await {
            Ok(()) => {
                return Ok((RemoteFolder { path, known: Some(HashMap::new()), parts: Vec::new() }, true));
            }
            Err(error) if error.is_fatal() => return Err(TransferError::Remote(error)),
            Err(error) => error,
        };
        match self.context.sftp.stat(&path).await {
            Ok(attributes) if attributes.is_directory() => {}
            Ok(_) => return Err(TransferError::NotDirectory { side: Side::Remote, path: path.into() }),
            Err(_) => return Err(self.context.write_error(&path, refused).await),
        }
        match self.listed_folder(path.clone()).await {
            Err(SftpError::Status { .. }) => {
                Ok((RemoteFolder { path, known: None, parts: Vec::new() }, false))
            }
            Err(error) => Err(TransferError::Remote(error)),
            Ok(folder) => Ok((folder, false)),
        }
    }

    async fn listed_folder(&self, path: Vec<u8>) -> Result<RemoteFolder, SftpError> {
        let entries = self.context.sftp.list(&path).await?;
        let parts =
            entries.iter().filter(|entry| is_part(&entry.name)).map(|entry| entry.name.clone()).collect();
        let known = entries.into_iter().map(|entry| (entry.name, entry.attributes)).collect();
        Ok(RemoteFolder { path, known: Some(known), parts })
    }

    /// Copies a link as a link. One that is there already with another target is replaced.
    async fn make_link(&self, folder: &RemoteFolder, name: &[u8], target: &[u8]) {
        let (sftp, path) = (&self.context.sftp, join(&folder.path, name));
        let there = folder.known.as_ref().is_none_or(|known| known.contains_key(name));
        if there {
            match sftp.readlink(&path).await {
                Ok(same) if same == target => return,
                Ok(_) => drop(sftp.remove(&path).await),
                Err(_) => {}
            }
        }
        if let Err(error) = sftp.symlink(target, &path).await {
            self.context.failed(TransferError::remote(&path, error));
        }
    }

    fn skip(&self, path: &std::path::Path, why: WhySkipped) {
        use std::os::unix::ffi::OsStrExt;
        self.context.report(|report| report.skip(path.as_os_str().as_bytes(), why));
    }
}

impl Above {
    fn contains(&self, identity: (u64, u64)) -> bool {
        let mut one = Some(self);
        while let Some(above) = one {
            if above.identity == identity {
                return true;
            }
            one = above.above.as_deref();
        }
        false
    }
}
