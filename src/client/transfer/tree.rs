//! Folders are listed and files are copied, many of each at once.

use std::{collections::VecDeque, sync::Arc};

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

use super::{context::Context, error::TransferError};

/// Folders within folders that are followed. What goes on below is taken to have no end.
pub(super) const DEEPEST: usize = 1024;

/// Folders that are listed at once.
const LISTING: usize = 64;

/// Files that wait to be copied, after which listing rests.
const WAITING: usize = 4096;

/// A direction of transfer.
pub(super) trait Direction: Send + Sync + 'static {
    /// A file to copy.
    type File: Send + 'static;
    /// A folder to make and to list.
    type Folder: Send + 'static;

    /// Local folders that are held open, after which listing rests while anything else goes on.
    const OPEN: usize;

    fn context(&self) -> &Context;

    /// Makes a folder at the destination and tells what is in it at the source.
    fn list(
        &self,
        folder: Self::Folder,
        finds: &Finds<Self>,
    ) -> impl Future<Output = Result<(), TransferError>> + Send;

    /// Copies one file.
    fn copy(&self, file: Self::File) -> impl Future<Output = Result<(), TransferError>> + Send;

    /// Local folders that are open.
    fn open(&self) -> usize;
}

/// What is to be done.
pub(super) struct Work<D: Direction + ?Sized> {
    pub(super) files: Vec<D::File>,
    pub(super) folders: Vec<D::Folder>,
}

impl<D: Direction + ?Sized> Default for Work<D> {
    fn default() -> Self {
        Self { files: Vec::new(), folders: Vec::new() }
    }
}

/// Where a listing tells what it finds, some at a time: it waits while many files do.
pub(super) struct Finds<D: Direction + ?Sized>(mpsc::Sender<Work<D>>);

impl<D: Direction + ?Sized> Finds<D> {
    pub(super) async fn give(&self, work: Work<D>) {
        // The receiver outlives all who list.
        let _ = self.0.send(work).await;
    }
}

enum Done {
    File,
    Folder,
}

/// Does it all. Errors are noted in the context. When this is dropped, all that it began is dropped.
pub(super) async fn run<D: Direction>(direction: &Arc<D>, work: Work<D>) {
    let context = direction.context();
    let most = context.files_at_once();
    let (sender, mut found) = mpsc::channel(1);
    let finds = Arc::new(Finds(sender));
    let (mut copying, mut listing) = (0, 0);
    let mut files = VecDeque::from(work.files);
    // The last found is listed first, so that few are open at a time.
    let mut folders = work.folders;
    let mut tasks: JoinSet<Done> = JoinSet::new();
    let mut all_listed = false;
    loop {
        if context.stop.is_cancelled() {
            files.clear();
            folders.clear();
        }
        while copying < most
            && let Some(file) = files.pop_front()
        {
            copying += 1;
            let direction = Arc::clone(direction);
            tasks.spawn(async move { copy(direction.as_ref(), file).await });
        }
        while listing < LISTING
            && files.len() < WAITING
            && (direction.open() < D::OPEN || tasks.is_empty())
            && let Some(folder) = folders.pop()
        {
            listing += 1;
            let (direction, finds) = (Arc::clone(direction), Arc::clone(&finds));
            tasks.spawn(async move { list(direction.as_ref(), folder, &finds).await });
        }
        if listing == 0 && folders.is_empty() && found.is_empty() && !all_listed {
            all_listed = true;
            context.progress.listed();
        }
        tokio::select! {
            biased;
            Some(work) = found.recv(), if files.len() < WAITING => {
                files.extend(work.files);
                folders.extend(work.folders);
            }
            done = tasks.join_next() => match done.and_then(completed) {
                Some(Done::File) => copying -= 1,
                Some(Done::Folder) => listing -= 1,
                None => break,
            }
        }
    }
    if context.options.cancel.is_cancelled() {
        context.failed(TransferError::Cancelled);
    }
}

/// Nothing of a task that was aborted, which only [`run`] could have done.
fn completed(done: Result<Done, JoinError>) -> Option<Done> {
    match done {
        Ok(done) => Some(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}

async fn copy<D: Direction>(direction: &D, file: D::File) -> Done {
    let context = direction.context();
    if let Some(Err(error)) = context.unless_stopped(direction.copy(file)).await {
        context.failed(error);
    }
    Done::File
}

async fn list<D: Direction>(direction: &D, folder: D::Folder, finds: &Finds<D>) -> Done {
    let context = direction.context();
    if let Some(Err(error)) = context.unless_stopped(direction.list(folder, finds)).await {
        context.failed(error);
    }
    Done::Folder
}
