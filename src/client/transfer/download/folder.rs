//! Folders on their way from the server.

use std::sync::Arc;

use super::{
    super::{
        super::sftp::{Attributes, Entry, FileKind, SftpError},
        error::{Side, TransferError},
        names::{is_hostile, join, shortened},
        options::Links,
        report::WhySkipped,
        tree::{DEEPEST, Finds, Work},
    },
    above::{Above, Filling, Real},
    held::Held,
    jobs::{Download, FileJob, FolderJob, Origin},
};

/// Bytes of a remote path, twice what Linux takes.
const LONGEST_PATH: usize = 8 << 10;

/// Bytes of memory of a folder that waits, besides its name.
const WAITING: usize = 256;

impl Download {
    pub(super) async fn list_folder(&self, job: FolderJob, finds: &Finds<Self>) -> Result<(), TransferError> {
        let FolderJob { attributes, from } = job;
        let (path, real, above) = from.remote();
        let (local, listing) =
            tokio::join!(self.make_folder(from, &attributes), self.context.sftp.listing(&path));
        let above = Arc::new(Above::new(&real, above));
        let filling = Arc::new(Filling { path, real, local: local?, above });
        let failed = |error| TransferError::remote(&filling.path, error);
        let outcome = async {
            let mut listing = listing.map_err(failed)?;
            while let Some(entries) = listing.next().await.map_err(failed)? {
                finds.give(self.sorted(&filling, entries).await).await;
            }
            Ok(())
        };
        let outcome = outcome.await;
        self.filled(filling).await;
        outcome
    }

    async fn make_folder(&self, from: Origin, attributes: &Attributes) -> Result<Arc<Held>, TransferError> {
        match from {
            Origin::Source { into, name: None, .. } => Ok(into),
            Origin::Source { into, name: Some(name), .. } => self.make_in(&into, name, attributes).await,
            Origin::Folder { into, name, .. } => {
                let made = self.make_in(&into.local, name, attributes).await;
                self.filled(into).await;
                made
            }
        }
    }

    async fn make_in(
        &self,
        into: &Held,
        name: Vec<u8>,
        attributes: &Attributes,
    ) -> Result<Arc<Held>, TransferError> {
        let mode = attributes.permissions.unwrap_or(0o777) & 0o777;
        let folder = Arc::clone(&into.folder);
        // Whoever makes it must be able to fill it.
        let made = self.context.disk.run(move || Ok(folder.make(&name, mode | 0o700))).await;
        let (folder, made) = made.map_err(|error| TransferError::local_bytes(&into.folder.path, error))??;
        self.context.report(|report| report.folders += u64::from(made));
        let last = self.context.options.preserve.then_some((mode, attributes.times));
        Ok(Held::new(folder, last, &self.held))
    }

    /// Nothing more of a folder waits here. Where nothing else does either, it gets its mode and times.
    async fn filled(&self, filling: Arc<Filling>) {
        if let Some(filling) = Arc::into_inner(filling) {
            self.release(filling.local).await;
        }
    }

    /// What is to be done with some entries. Errors are noted.
    async fn sorted(&self, into: &Arc<Filling>, entries: Vec<Entry>) -> Work<Self> {
        let mut work = Work::default();
        for Entry { name, attributes } in entries {
            let added = if is_hostile(&name) {
                let folder = into.path.as_slice().into();
                Err(TransferError::HostileName { folder, name: shortened(&name).into() })
            } else {
                self.add_entry(&mut work, into, name, attributes).await
            };
            if let Err(error) = added {
                self.context.failed(error);
            }
        }
        let bytes = work.files.iter().map(FileJob::size).fold(0, u64::saturating_add);
        self.context.progress.found(work.files.len() as u64, bytes);
        work
    }

    async fn add_entry(
        &self,
        work: &mut Work<Self>,
        into: &Arc<Filling>,
        name: Vec<u8>,
        attributes: Attributes,
    ) -> Result<(), TransferError> {
        let path = join(&into.path, &name);
        match attributes.kind() {
            FileKind::File => {
                work.files.push(FileJob::new(path, attributes, Arc::clone(&into.local), name));
                Ok(())
            }
            FileKind::Directory => self.add_folder(work, into, name, attributes, None),
            FileKind::Special => {
                self.context.report(|report| report.skip(&path, WhySkipped::Special));
                Ok(())
            }
            FileKind::Link => match self.context.options.links {
                Links::Skip => {
                    self.context.report(|report| report.skip(&path, WhySkipped::Link));
                    Ok(())
                }
                Links::Keep => self.keep_link(into, &path, name).await,
                Links::Follow => self.follow(work, into, path, name).await,
            },
            // The server does not say what it is.
            FileKind::Unknown => self.follow(work, into, path, name).await,
        }
    }

    fn add_folder(
        &self,
        work: &mut Work<Self>,
        into: &Arc<Filling>,
        name: Vec<u8>,
        attributes: Attributes,
        real: Option<Box<Real>>,
    ) -> Result<(), TransferError> {
        let path = || join(&into.path, &name).into();
        if into.above.depth >= DEEPEST || into.path.len() + name.len() >= LONGEST_PATH {
            return Err(TransferError::TooDeep { side: Side::Remote, path: path() });
        }
        let bytes = u32::try_from(WAITING + name.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            return Err(TransferError::TooManyFolders { path: path() });
        };
        let from = Origin::Folder { into: Arc::clone(into), name, real, _room: room };
        work.folders.push(FolderJob { attributes, from });
        Ok(())
    }

    async fn keep_link(&self, into: &Filling, path: &[u8], name: Vec<u8>) -> Result<(), TransferError> {
        let target = self.context.sftp.readlink(path).await;
        let target = target.map_err(|error| TransferError::remote(path, error))?;
        let (folder, link) = (Arc::clone(&into.local.folder), name.clone());
        let made = self.context.disk.run(move || folder.link(&link, &target)).await;
        made.map_err(|error| TransferError::local_bytes(&join(&into.local.folder.path, &name), error))
    }

    async fn follow(
        &self,
        work: &mut Work<Self>,
        into: &Arc<Filling>,
        path: Vec<u8>,
        name: Vec<u8>,
    ) -> Result<(), TransferError> {
        let failed = |error: SftpError| TransferError::remote(&path, error);
        let attributes = self.context.sftp.stat(&path).await.map_err(failed)?;
        match attributes.kind() {
            FileKind::Special => self.context.report(|report| report.skip(&path, WhySkipped::Special)),
            FileKind::Directory => {
                let real = Real::new(&self.context.sftp.realpath(&path).await.map_err(failed)?);
                if into.above.contains(&real) {
                    return Err(TransferError::Loop { path: path.into() });
                }
                return self.add_folder(work, into, name, attributes, Some(Box::new(real)));
            }
            FileKind::File | FileKind::Link | FileKind::Unknown => {
                work.files.push(FileJob::new(path, attributes, Arc::clone(&into.local), name));
            }
        }
        Ok(())
    }
}
