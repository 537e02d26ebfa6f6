//! From this machine to the server.

mod file;
mod finish;
mod folder;
mod jobs;
mod local;
mod long;

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    super::sftp::{Attributes, RemotePath, Sftp, SftpError},
    context::Context,
    error::{Side, TransferError, TransferFailure},
    names::{base_name, join, parent, without_slashes},
    options::TransferOptions,
    placement::{Goal, Placement, There},
    removals::Removals,
    report::TransferReport,
    tree::{self, Direction, Finds, Work},
};
use jobs::{FileJob, FolderJob, RemoteFolder, Upload};
use local::Found;

/// Copies files and trees to the server.
///
/// Several sources go into a folder; a single one goes into a folder, or takes the destination's name. A
/// source that ends in `.` or `..` means what is in it.
///
/// # Errors
/// [`TransferFailure`] with all that went wrong. One file that fails does not stop the others.
///
/// When this is dropped, files that were not complete do not appear, and their parts are removed unless
/// they are to be kept; nothing is waited for then, see [`TransferOptions::cancel`].
pub async fn upload(
    sftp: &Sftp,
    sources: impl IntoIterator<Item = impl AsRef<Path>>,
    destination: impl RemotePath,
    options: TransferOptions,
) -> Result<TransferReport, TransferFailure> {
    let sources: Vec<_> = sources.into_iter().map(|source| source.as_ref().to_owned()).collect();
    upload_all(sftp, &sources, destination.as_remote(), options).await
}

/// As [`upload`], which is small since it is compiled for each kind of path.
async fn upload_all(
    sftp: &Sftp,
    sources: &[PathBuf],
    destination: &[u8],
    options: TransferOptions,
) -> Result<TransferReport, TransferFailure> {
    let upload = Arc::new(Upload {
        context: Context::new(sftp, options),
        removals: Removals::new(sftp),
        made: Mutex::default(),
        opened: Arc::default(),
    });
    let planning = async { tokio::join!(upload.plan(sources, destination), upload.context.measure()).0 };
    match upload.context.unless_stopped(planning).await.unwrap_or(Err(TransferError::Cancelled)) {
        Ok(work) => tree::run(&upload, work).await,
        Err(error) => upload.context.failed(error),
    }
    if !upload.context.stop.is_cancelled() {
        upload.finish_folders().await;
    }
    upload.remove_parts().await;
    upload.context.finish().await
}

impl Direction for Upload {
    type File = FileJob;
    type Folder = FolderJob;

    // Their files are open for a moment only.
    const OPEN: usize = 600;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn list(&self, folder: FolderJob, finds: &Finds<Self>) -> Result<(), TransferError> {
        self.list_folder(folder, finds).await
    }

    fn open(&self) -> usize {
        Arc::strong_count(&self.opened) - 1
    }

    async fn copy(&self, file: FileJob) -> Result<(), TransferError> {
        self.copy_file(file).await
    }
}

impl Upload {
    /// What the sources and the destination mean.
    async fn plan(&self, sources: &[PathBuf], destination: &[u8]) -> Result<Work<Self>, TransferError> {
        let context = &self.context;
        let failed = |error| TransferError::remote(destination, error);
        let expanded = context.sftp.expand_tilde(destination).await.map_err(failed)?;
        let slash = expanded.ends_with(b"/");
        let target = if expanded.is_empty() { b".".to_vec() } else { without_slashes(&expanded).to_vec() };
        let mut found = Vec::with_capacity(sources.len());
        for path in sources {
            found.push(local::look(&context.disk, path).await);
        }
        let above = parent(&target);
        // The one of the folder is of use where there is nothing; and of a single file what it replaces is
        // looked at along with it.
        let (there, above, taken) = tokio::join!(
            context.sftp.stat(&target),
            context.sftp.stat(&above),
            self.look_ahead(sources, &found, &target)
        );
        let there = match there {
            Ok(attributes) if attributes.is_directory() => There::Folder,
            Ok(_) => There::Other,
            Err(error) if error.is_no_such_file() => There::Nothing,
            Err(error) => return Err(failed(error)),
        };
        if there == There::Nothing {
            let missing = || TransferError::NoParent { side: Side::Remote, path: target.as_slice().into() };
            match above {
                Ok(attributes) if attributes.is_directory() => {}
                Ok(_) => return Err(missing()),
                Err(error) if error.is_no_such_file() => return Err(missing()),
                Err(error) => return Err(TransferError::remote(&parent(&target), error)),
            }
        }
        let folder = match there {
            There::Folder => target.clone(),
            _ => parent(&target),
        };
        let named = sources.iter().map(|source| source.as_os_str().as_bytes());
        let names = named.chain([&target[..]]).filter_map(base_name).collect();
        let folder = Arc::new(self.known_folder(folder, &names).await?);
        let goal = Goal { side: Side::Remote, shown: destination, there, slash, sources: sources.len() };
        let mut work = Work::default();
        for (path, source) in sources.iter().zip(found) {
            let planned = source.and_then(|source| match source {
                Found::Special => Err(TransferError::SpecialSource {
                    side: Side::Local,
                    path: path.as_os_str().as_bytes().into(),
                }),
                Found::Folder(_) if !context.options.recursive => {
                    Err(TransferError::NeedsRecursive { path: path.as_os_str().as_bytes().into() })
                }
                found => {
                    let placement = goal.place(matches!(found, Found::Folder(_)))?;
                    self.add(&mut work, path, found, placement, &folder, &target, &taken)
                }
            });
            if let Err(error) = planned {
                context.failed(error);
            }
        }
        Ok(work)
    }

    /// What has the names that a single file could get.
    async fn look_ahead(
        &self,
        sources: &[PathBuf],
        found: &[Result<Found, TransferError>],
        target: &[u8],
    ) -> Vec<(Vec<u8>, Result<Attributes, SftpError>)> {
        let ([source], [Ok(Found::File(_))]) = (sources, found) else { return Vec::new() };
        let inside = base_name(source.as_os_str().as_bytes()).map(|name| join(target, name));
        let mut asked = Vec::new();
        for path in [Some(target.to_vec()), inside].into_iter().flatten() {
            asked.push((self.context.sftp.begin_lstat(&path).await, path));
        }
        let mut taken = Vec::new();
        for (pending, path) in asked {
            taken.push((path, pending.attributes().await));
        }
        taken
    }

    #[allow(clippy::too_many_arguments, reason = "what is known of one source and of the destination")]
    fn add(
        &self,
        work: &mut Work<Self>,
        path: &Path,
        found: Found,
        placement: Placement,
        folder: &Arc<RemoteFolder>,
        target: &[u8],
        taken: &[(Vec<u8>, Result<Attributes, SftpError>)],
    ) -> Result<(), TransferError> {
        let own = base_name(path.as_os_str().as_bytes());
        let remote = match (placement, own) {
            (Placement::Inside, Some(name)) => join(target, name),
            _ => target.to_vec(),
        };
        // The contents of several folders may go into one.
        if own.is_some() || placement != Placement::Inside {
            self.context.take_name(&remote)?;
        }
        match found {
            Found::Folder(source) => work.folders.push(FolderJob::top(source, remote)),
            Found::File(source) => {
                let name = base_name(&remote).unwrap_or_default().to_vec();
                self.context.progress.found(1, source.version.size);
                let taken = taken.iter().find(|(path, _)| *path == remote).map(|(_, taken)| taken.clone());
                work.files.push(FileJob { source, folder: Arc::clone(folder), name, taken });
            }
            Found::Special | Found::Link(_) => {}
        }
        Ok(())
    }

    /// Sets modes and times of folders, the deepest first.
    async fn finish_folders(&self) {
        let mut made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        made.sort_by(|(one, _), (other, _)| other.cmp(one));
        let mut waiting = Vec::with_capacity(made.len());
        for (path, attributes) in made {
            waiting.push((self.context.sftp.begin_setstat(&path, &attributes).await, path));
        }
        for (pending, path) in waiting {
            if let Err(error) = pending.done().await {
                self.context.failed(TransferError::remote(&path, error));
            }
        }
    }

    /// Waits until the parts of what failed are gone.
    async fn remove_parts(&self) {
        if self.context.is_whole() {
            return;
        }
        for path in self.removals.settle(self.context.patience()).await {
            self.context.failed(TransferError::PartLeft { path });
        }
    }
}
