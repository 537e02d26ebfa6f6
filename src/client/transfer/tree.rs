//! Folders are listed and files are copied, many of each at once.

use std::{collections::VecDeque, sync::Arc};

use tokio::task::JoinSet;

use super::{context::Context, error::TransferError};

/// Folders that are listed at once.
const LISTING: usize = 64;

/// Files that wait to be copied, after which listing rests.
const WAITING: usize = 4096;

/// Folders that are held open, after which listing rests while anything else goes on.
const HELD: usize = 200;

/// A direction of transfer.
pub(super) trait Direction: Send + Sync + 'static {
    /// A file to copy.
    type File: Send + 'static;
    /// A folder to make and to list.
    type Folder: Send + 'static;

    fn context(&self) -> &Context;

    /// Makes a folder at the destination and tells what is in it at the source.
    fn list(&self, folder: Self::Folder) -> impl Future<Output = Result<Work<Self>, TransferError>> + Send;

    /// Copies one file.
    fn copy(&self, file: Self::File) -> impl Future<Output = Result<(), TransferError>> + Send;

    /// Local folders that are open.
    fn held(&self) -> usize {
        0
    }
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

enum Done<D: Direction> {
    File,
    Folder(Work<D>),
}

/// Does it all. Errors are noted in the context. When this is dropped, all that it began is dropped.
pub(super) async fn run<D: Direction>(direction: &Arc<D>, work: Work<D>) {
    let context = direction.context();
    let most = context.files_at_once();
    let (mut copying, mut listing) = (0, 0);
    let mut files = VecDeque::from(work.files);
    // The last found is listed first, so that few are open at a time.
    let mut folders = work.folders;
    let mut tasks: JoinSet<Done<D>> = JoinSet::new();
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
            && (direction.held() < HELD || tasks.is_empty())
            && let Some(folder) = folders.pop()
        {
            listing += 1;
            let direction = Arc::clone(direction);
            tasks.spawn(async move { list(direction.as_ref(), folder).await });
        }
        if listing == 0 && folders.is_empty() && !all_listed {
            all_listed = true;
            context.progress.listed();
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok(Done::File)) => copying -= 1,
            Some(Ok(Done::Folder(work))) => {
                listing -= 1;
                files.extend(work.files);
                folders.extend(work.folders);
            }
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only this function could have aborted it.
                Err(_) => break,
            },
        }
    }
    if context.options.cancel.is_cancelled() {
        context.failed(TransferError::Cancelled);
    }
}

async fn copy<D: Direction>(direction: &D, file: D::File) -> Done<D> {
    let context = direction.context();
    let outcome = tokio::select! {
        biased;
        () = context.stop.cancelled() => Ok(()),
        outcome = direction.copy(file) => outcome,
    };
    if let Err(error) = outcome {
        context.failed(error);
    }
    Done::File
}

async fn list<D: Direction>(direction: &D, folder: D::Folder) -> Done<D> {
    let context = direction.context();
    let outcome = tokio::select! {
        biased;
        () = context.stop.cancelled() => Ok(Work::default()),
        outcome = direction.list(folder) => outcome,
    };
    Done::Folder(outcome.unwrap_or_else(|error| {
        context.failed(error);
        Work::default()
    }))
}
