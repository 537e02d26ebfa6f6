//! From the server to this machine.

mod above;
mod file;
mod folder;
mod held;
mod jobs;
mod long;

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::Semaphore;

use super::{
    super::sftp::{Attributes, FileKind, RemotePath, Sftp},
    context::Context,
    error::{Side, TransferError, TransferFailure},
    glob,
    local::{LocalFolder, LocalKind, look},
    names::{base_name, join, parent, without_slashes},
    options::TransferOptions,
    placement::{Goal, Placement, There},
    report::TransferReport,
    tree::{self, Direction, Finds, Work},
};
use held::Held;
use jobs::{Download, FileJob, FolderJob};

/// Bytes of memory for folders that wait to be listed: some 200,000 of them.
const ROOM: usize = 64 << 20;

/// Files at a time that do not say how long they are.
const UNSAID: usize = 4;

/// Copies files and trees from the server.
///
/// Sources may be patterns. Several go into a folder; a single one goes into a folder, or takes the
/// destination's name. A source that ends in `.` or `..` means what is in it.
///
/// # Errors
/// [`TransferFailure`] with all that went wrong. One file that fails does not stop the others.
///
/// When this is dropped, files that were not complete do not appear, and their parts are removed unless
/// they are to be kept.
pub async fn download(
    sftp: &Sftp,
    sources: impl IntoIterator<Item = impl RemotePath>,
    destination: impl AsRef<Path>,
    options: TransferOptions,
) -> Result<TransferReport, TransferFailure> {
    let sources: Vec<_> = sources.into_iter().map(|source| source.as_remote().to_vec()).collect();
    download_all(sftp, &sources, destination.as_ref(), options).await
}

/// As [`download`], which is small since it is compiled for each kind of path.
async fn download_all(
    sftp: &Sftp,
    sources: &[Vec<u8>],
    destination: &Path,
    options: TransferOptions,
) -> Result<TransferReport, TransferFailure> {
    let download = Arc::new(Download {
        context: Context::new(sftp, options),
        held: Arc::default(),
        room: Arc::new(Semaphore::new(ROOM)),
        unsaid: Arc::new(Semaphore::new(UNSAID)),
    });
    let planning = async { tokio::join!(download.plan(sources, destination), download.context.measure()).0 };
    match download.context.unless_stopped(planning).await.unwrap_or(Err(TransferError::Cancelled)) {
        Ok(work) => tree::run(&download, work).await,
        Err(error) => download.context.failed(error),
    }
    download.context.finish().await
}

/// What a destination means.
struct Destination {
    there: There,
    /// Whether it was written as a folder.
    slash: bool,
    /// The folder, or the one that it would be in.
    folder: Arc<Held>,
    target: Vec<u8>,
    sources: usize,
}

impl Direction for Download {
    type File = FileJob;
    type Folder = FolderJob;

    const OPEN: usize = 200;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn list(&self, folder: FolderJob, finds: &Finds<Self>) -> Result<(), TransferError> {
        self.list_folder(folder, finds).await
    }

    async fn copy(&self, file: FileJob) -> Result<(), TransferError> {
        self.copy_file(file).await
    }

    fn open(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Download {
    /// What the sources and the destination mean.
    async fn plan(&self, sources: &[Vec<u8>], destination: &Path) -> Result<Work<Self>, TransferError> {
        let context = &self.context;
        let given = destination.as_os_str().as_bytes();
        let slash = given.ends_with(b"/");
        let target = if given.is_empty() { b".".to_vec() } else { without_slashes(given).to_vec() };
        let resume = context.options.resume;
        let at = target.clone();
        let opened = context.disk.run(move || {
            let there = match look(&at)? {
                Some(state) if state.kind == LocalKind::Folder => There::Folder,
                Some(_) => There::Other,
                None => There::Nothing,
            };
            let folder = if there == There::Folder { at } else { parent(&at) };
            // It need not be readable to be written to, but it must be to be opened: as for any tool that
            // does not follow links.
            let folder = match look(&folder)? {
                Some(state) if state.kind == LocalKind::Folder => {
                    Some(LocalFolder::open(Path::new(OsStr::from_bytes(&folder)), resume)?)
                }
                _ => None,
            };
            Ok((there, folder))
        });
        let (there, folder) = opened.await.map_err(|error| TransferError::local(destination, error))?;
        let missing = || TransferError::NoParent { side: Side::Local, path: given.into() };
        let folder = Held::new(folder.ok_or_else(missing)?, None, &self.held);

        let mut found = Vec::new();
        for source in sources {
            match glob::expand(&context.sftp, source).await {
                Ok(some) => found.extend(some),
                Err(error) => context.failed(error),
            }
        }
        let mut work = Work::default();
        let into = Destination { there, slash, folder, target, sources: found.len() };
        for found in found {
            let path = found.path.clone();
            let added = match found.looked_at().await {
                Ok((attributes, real)) => self.add(&mut work, &path, attributes, real, &into),
                Err(error) => Err(TransferError::remote(&path, error)),
            };
            if let Err(error) = added {
                context.failed(error);
            }
        }
        Ok(work)
    }

    fn add(
        &self,
        work: &mut Work<Self>,
        path: &[u8],
        attributes: Attributes,
        real: Option<Vec<u8>>,
        into: &Destination,
    ) -> Result<(), TransferError> {
        let Destination { there, slash, folder, target, sources } = into;
        let is_folder = attributes.is_directory();
        if attributes.kind() == FileKind::Special {
            return Err(TransferError::SpecialSource { side: Side::Remote, path: path.into() });
        }
        if is_folder && !self.context.options.recursive {
            return Err(TransferError::NeedsRecursive { path: path.into() });
        }
        let goal = Goal { side: Side::Local, shown: target, there: *there, slash: *slash, sources: *sources };
        let placement = goal.place(is_folder)?;
        let own = base_name(path);
        let name = match (placement, own) {
            (Placement::Inside, name) => name.map(<[u8]>::to_vec),
            _ => base_name(target).map(<[u8]>::to_vec),
        };
        if let Some(name) = &name {
            self.context.take_name(&join(&folder.folder.path, name))?;
        }
        if let Some(real) = real {
            let job = FolderJob::of_source(path.to_vec(), &real, attributes, Arc::clone(folder), name);
            work.folders.push(job);
        } else if let Some(name) = name {
            self.context.progress.found(1, attributes.size.unwrap_or(0));
            work.files.push(FileJob::new(path.to_vec(), attributes, Arc::clone(folder), name));
        }
        Ok(())
    }
}
