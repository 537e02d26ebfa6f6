//! Folders on their way from the server.

use std::sync::{Arc, PoisonError};

use super::{
    super::{
        super::sftp::{Attributes, Entry, FileKind, SftpError},
        error::TransferError,
        names::{is_hostile, join},
        options::Links,
        report::WhySkipped,
        tree::Work,
    },
    Download, Held, Made,
    file::FileJob,
};

/// Links that are asked at once where they lead.
const LINKS: usize = 32;

/// A folder to make and to fill.
pub(in super::super) struct FolderJob {
    remote: Vec<u8>,
    /// The path without links, by which loops are told.
    real: Vec<u8>,
    attributes: Attributes,
    into: Into,
    above: Option<Arc<Above>>,
}

/// Where a folder goes.
pub(super) enum Into {
    /// Into a folder, under a name.
    Below(Arc<Held>, Vec<u8>),
    /// What is in it goes into a folder that is there.
    Itself(Arc<Held>),
}

/// The folders a folder is in.
struct Above {
    real: Vec<u8>,
    above: Option<Arc<Self>>,
}

impl FolderJob {
    pub(super) fn top(remote: Vec<u8>, real: Vec<u8>, attributes: Attributes, into: Into) -> Self {
        Self { remote, real, attributes, into, above: None }
    }
}

impl Download {
    pub(super) async fn list_folder(&self, job: FolderJob) -> Result<Work<Self>, TransferError> {
        let FolderJob { remote, real, attributes, into, above } = job;
        let (folder, entries) =
            tokio::join!(self.make_folder(into, &attributes), self.context.sftp.list(&remote));
        let folder = folder?;
        let entries = entries.map_err(|error| TransferError::remote(&remote, error))?;
        let above = Arc::new(Above { real, above });
        let mut work = Work::default();
        let mut links = Vec::new();
        for Entry { name, attributes } in entries {
            if is_hostile(&name) {
                let folder = remote.as_slice().into();
                self.context.failed(TransferError::HostileName { folder, name: name.into() });
                continue;
            }
            let path = join(&remote, &name);
            match attributes.kind() {
                FileKind::File => {
                    work.files.push(FileJob::new(path, attributes, Arc::clone(&folder), name));
                }
                FileKind::Directory => {
                    let real = join(&above.real, &name);
                    let into = Into::Below(Arc::clone(&folder), name);
                    let above = Some(Arc::clone(&above));
                    work.folders.push(FolderJob { remote: path, real, attributes, into, above });
                }
                FileKind::Special => self.context.report(|report| report.skip(&path, WhySkipped::Special)),
                FileKind::Link | FileKind::Unknown => links.push((path, name, attributes)),
            }
        }
        for some in links.chunks(LINKS) {
            self.add_links(&mut work, &folder, &above, some).await;
        }
        let bytes = work.files.iter().map(FileJob::size).sum();
        self.context.progress.found(work.files.len() as u64, bytes);
        Ok(work)
    }

    async fn make_folder(&self, into: Into, attributes: &Attributes) -> Result<Arc<Held>, TransferError> {
        let (above, name) = match into {
            Into::Itself(folder) => return Ok(folder),
            Into::Below(above, name) => (above, name),
        };
        let mode = attributes.permissions.unwrap_or(0o777) & 0o777;
        // Whoever makes it must be able to fill it.
        let made = self.context.disk.run(move || Ok(above.folder.make(&name, mode | 0o700))).await;
        let (folder, made) = made.map_err(|error| TransferError::local_bytes(b"", error))??;
        self.context.report(|report| report.folders += u64::from(made));
        if self.context.options.preserve {
            let finish = Made { path: folder.path.clone(), mode, times: attributes.times };
            self.made.lock().unwrap_or_else(PoisonError::into_inner).push(finish);
        }
        Ok(Held::new(folder, &self.held))
    }

    /// Adds links, and entries of which the server does not say what they are.
    async fn add_links(
        &self,
        work: &mut Work<Self>,
        folder: &Arc<Held>,
        above: &Arc<Above>,
        links: &[(Vec<u8>, Vec<u8>, Attributes)],
    ) {
        for (path, name, attributes) in links {
            let added = match self.context.options.links {
                Links::Skip if attributes.kind() == FileKind::Link => {
                    self.context.report(|report| report.skip(path, WhySkipped::Link));
                    Ok(())
                }
                Links::Keep if attributes.kind() == FileKind::Link => {
                    self.keep_link(folder, path, name).await
                }
                _ => self.follow(work, folder, above, path, name).await,
            };
            if let Err(error) = added {
                self.context.failed(error);
            }
        }
    }

    async fn keep_link(&self, folder: &Arc<Held>, path: &[u8], name: &[u8]) -> Result<(), TransferError> {
        let target = self.context.sftp.readlink(path).await;
        let target = target.map_err(|error| TransferError::remote(path, error))?;
        let (into, link) = (Arc::clone(&folder.folder), name.to_vec());
        let made = self.context.disk.run(move || into.link(&link, &target)).await;
        made.map_err(|error| TransferError::local_bytes(&join(&folder.folder.path, name), error))
    }

    async fn follow(
        &self,
        work: &mut Work<Self>,
        folder: &Arc<Held>,
        above: &Arc<Above>,
        path: &[u8],
        name: &[u8],
    ) -> Result<(), TransferError> {
        let failed = |error: SftpError| TransferError::remote(path, error);
        let attributes = self.context.sftp.stat(path).await.map_err(failed)?;
        match attributes.kind() {
            FileKind::Special => self.context.report(|report| report.skip(path, WhySkipped::Special)),
            FileKind::Directory => {
                let real = self.context.sftp.realpath(path).await.map_err(failed)?;
                if above.contains(&real) {
                    return Err(TransferError::Loop { path: path.into() });
                }
                let into = Into::Below(Arc::clone(folder), name.to_vec());
                let above = Some(Arc::clone(above));
                work.folders.push(FolderJob { remote: path.to_vec(), real, attributes, into, above });
            }
            FileKind::File | FileKind::Link | FileKind::Unknown => {
                work.files.push(FileJob::new(path.to_vec(), attributes, Arc::clone(folder), name.to_vec()));
            }
        }
        Ok(())
    }
}

impl Above {
    fn contains(&self, real: &[u8]) -> bool {
        let mut one = Some(self);
        while let Some(above) = one {
            if above.real == real {
                return true;
            }
            one = above.above.as_deref();
        }
        false
    }
}
