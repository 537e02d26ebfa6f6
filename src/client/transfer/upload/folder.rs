//! Folders on their way to the server.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use super::{
    super::{
        super::sftp::{Attributes, SftpError},
        error::{Side, TransferError},
        names::{is_part, join},
        options::Links,
        report::WhySkipped,
        tree::{DEEPEST, Finds, Work},
    },
    jobs::{Above, FileJob, FolderJob, RemoteFolder, Upload},
    local::{self, Entry, Found, Listed},
};

/// Parts that are remembered of a folder.
const MOST_PARTS: usize = 10_000;

impl Upload {
    /// A folder that exists, with what of these names is in it if that matters.
    pub(super) async fn known_folder(
        &self,
        path: Vec<u8>,
        names: &HashSet<&[u8]>,
    ) -> Result<RemoteFolder, TransferError> {
        if !self.context.options.resume {
            return Ok(RemoteFolder::unknown(path));
        }
        self.listed_folder(path, names).await
    }

    pub(super) async fn list_folder(&self, job: FolderJob, finds: &Finds<Self>) -> Result<(), TransferError> {
        let links = self.context.options.links;
        let (source, opened) = (job.source.clone(), Arc::clone(&self.opened));
        let listing = self.context.disk.run(move || local::list(&source, links, opened));
        let (made, listed) = tokio::join!(self.make_folder(&job), listing);
        let made = made?;
        let listed = listed.map_err(|error| job.source.error(error))?;
        let folder = match made {
            true => RemoteFolder { known: Some(HashMap::new()), ..RemoteFolder::unknown(job.remote) },
            false => self.listed_folder(job.remote, &listed.names()).await?,
        };
        self.context.report(|report| report.folders += u64::from(made));
        if self.context.options.preserve {
            let attributes = job.source.attributes(Some(job.source.mode), true);
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.push((folder.path.clone(), attributes));
        }
        let Listed { identity, entries } = listed;
        let above = Arc::new(Above::new(identity, job.above));
        finds.give(self.sorted(Arc::new(folder), &above, entries).await).await;
        Ok(())
    }

    /// What is to be done with the entries of a folder. Errors are noted.
    async fn sorted(&self, folder: Arc<RemoteFolder>, above: &Arc<Above>, entries: Vec<Entry>) -> Work<Self> {
        let mut work = Work::default();
        let mut bytes = 0_u64;
        for Entry { name, path, found } in entries {
            match found {
                Ok(Found::File(source)) => {
                    bytes = bytes.saturating_add(source.version.size);
                    work.files.push(FileJob { source, folder: Arc::clone(&folder), name, taken: None });
                }
                Ok(Found::Folder(source)) if above.contains(source.identity) => {
                    self.context.failed(TransferError::Loop { path: source.shown });
                }
                Ok(Found::Folder(source)) if above.depth >= DEEPEST => {
                    self.context.failed(TransferError::TooDeep { side: Side::Local, path: source.shown });
                }
                Ok(Found::Folder(source)) => {
                    let remote = join(&folder.path, &name);
                    work.folders.push(FolderJob { source, remote, above: Some(Arc::clone(above)) });
                }
                Ok(Found::Link(target)) if self.context.options.links == Links::Keep => {
                    self.make_link(&folder, &name, &target).await;
                }
                Ok(Found::Link(_)) => self.context.report(|report| report.skip(&path, WhySkipped::Link)),
                Ok(Found::Special) => self.context.report(|report| report.skip(&path, WhySkipped::Special)),
                Err(error) => self.context.failed(TransferError::local_bytes(&path, error)),
            }
        }
        self.context.progress.found(work.files.len() as u64, bytes);
        work
    }

    /// Makes a folder, or sees to it that there is one. Tells whether it was made.
    async fn make_folder(&self, job: &FolderJob) -> Result<bool, TransferError> {
        let path = &job.remote;
        // Whoever makes it must be able to fill it.
        let refused = match self.context.sftp.mkdir(path, &Attributes::mode(job.source.mode | 0o700)).await {
            Ok(()) => return Ok(true),
            Err(error) if error.is_fatal() => return Err(TransferError::Remote(error)),
            Err(error) => error,
        };
        match self.context.sftp.stat(path).await {
            Ok(attributes) if attributes.is_directory() => Ok(false),
            Ok(_) => Err(TransferError::NotDirectory { side: Side::Remote, path: path.as_slice().into() }),
            Err(_) => Err(self.context.write_error(path, refused).await),
        }
    }

    /// A folder with what of these names is in it, and with parts: a server may list what it wants.
    async fn listed_folder(
        &self,
        path: Vec<u8>,
        names: &HashSet<&[u8]>,
    ) -> Result<RemoteFolder, TransferError> {
        let (mut known, mut parts) = (HashMap::new(), Vec::new());
        let listed = async {
            let mut listing = self.context.sftp.listing(&path).await?;
            while let Some(entries) = listing.next().await? {
                for entry in entries {
                    let part = is_part(&entry.name) && parts.len() < MOST_PARTS;
                    if part {
                        parts.push(entry.name.clone());
                    }
                    if part || names.contains(&entry.name[..]) {
                        known.insert(entry.name, entry.attributes);
                    }
                }
            }
            Ok(())
        };
        match listed.await {
            Ok(()) => Ok(RemoteFolder { path, known: Some(known), parts }),
            // A folder that may be written to and not be read: nothing can be resumed in it.
            Err(SftpError::Status { .. }) => Ok(RemoteFolder::unknown(path)),
            Err(error) => Err(TransferError::Remote(error)),
        }
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
}
