//! What all files of a transfer share.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    super::sftp::{Sftp, SftpError, StatusCode},
    checksum::Verifier,
    disk::Disk,
    error::{Side, TransferError, TransferFailure},
    names::parent,
    options::TransferOptions,
    progress::Progress,
    report::TransferReport,
    umask::Umask,
};

/// Files of more than one request that are under way at once: one fills the window.
const STREAMS: usize = 8;

/// Files under way at once, unless the options say.
const FILES: usize = 128;

/// Files under way at once over the longest way.
const FILES_FAR: usize = 768;

/// Files more for each millisecond of a round trip: each takes three of them, and that is ten thousand
/// files a second.
const FILES_A_MILLISECOND: u128 = 30;

/// How long a server that answers nothing is waited for.
const IDLE: Duration = Duration::from_secs(10);

/// The same of a transfer that was stopped, at least: some round trips.
const IDLE_STOPPED: Duration = Duration::from_secs(1);

/// Errors that are kept; more are only counted.
const ERRORS: usize = 1000;

/// What all files of a transfer share.
pub(super) struct Context {
    pub(super) sftp: Sftp,
    pub(super) options: TransferOptions,
    pub(super) disk: Disk,
    pub(super) progress: Progress,
    pub(super) verifier: Verifier,
    /// Of the destination.
    pub(super) umask: Umask,
    pub(super) streams: Semaphore,
    round_trip: OnceLock<Duration>,
    /// Nothing more is to be done: the transfer was cancelled, or cannot go on.
    pub(super) stop: CancellationToken,
    outcome: Arc<Mutex<Outcome>>,
}

#[derive(Default)]
struct Outcome {
    report: TransferReport,
    errors: Vec<TransferError>,
    errors_total: u64,
    fatal: Option<TransferError>,
    /// The destinations that are taken by sources of this transfer.
    taken: HashSet<Vec<u8>>,
}

impl Outcome {
    fn is_whole(&self) -> bool {
        self.errors_total == 0 && self.fatal.is_none()
    }
}

impl Context {
    pub(super) fn new(sftp: &Sftp, options: TransferOptions) -> Self {
        let stop = options.cancel.child_token();
        Self {
            sftp: sftp.clone(),
            disk: Disk::new(stop.clone()),
            progress: Progress::new(options.progress.clone()),
            verifier: Verifier::new(sftp.clone(), options.remote_sha256.clone()),
            umask: Umask::default(),
            streams: Semaphore::new(STREAMS),
            round_trip: OnceLock::new(),
            stop,
            outcome: Arc::default(),
            options,
        }
    }

    /// Files to have under way at once, by how long a round trip takes. Each has one remote handle at most,
    /// and folders need some too. Of a server that does not say how many it has, 256 are taken.
    pub(super) fn files_at_once(&self) -> usize {
        let round_trip = self.round_trip.get().copied().unwrap_or_default();
        let more = usize::try_from(round_trip.as_millis() * FILES_A_MILLISECOND).unwrap_or(FILES);
        let wanted = self.options.files_at_once.unwrap_or_else(|| FILES.saturating_add(more).min(FILES_FAR));
        let allowed = self.sftp.limits().handles.map_or(256, |handles| handles / 4 * 3);
        wanted.min(allowed).max(1)
    }

    /// Asks for the server's limits, and for something that takes it no time, and takes the time.
    pub(super) async fn measure(&self) {
        let begun = Instant::now();
        // What is wrong with the connection is found by what comes next.
        let _ = tokio::join!(self.sftp.lstat("/"), self.sftp.ask_limits());
        let _ = self.round_trip.set(begun.elapsed());
    }

    /// How long a server that answers nothing is waited for once all is over. Whoever has stopped it waits too.
    pub(super) fn patience(&self) -> Duration {
        if !self.options.cancel.is_cancelled() {
            return IDLE;
        }
        let round_trip = self.round_trip.get().copied().unwrap_or_default();
        (round_trip * 4).clamp(IDLE_STOPPED, IDLE)
    }

    /// What the work comes to; nothing once the transfer is stopped, also when that is why the work failed.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, TransferError>>,
    ) -> Option<Result<T, TransferError>> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            outcome = work => (outcome.is_ok() || !self.stop.is_cancelled()).then_some(outcome),
        }
    }

    /// Notes that something failed. What no other file can survive ends the transfer.
    pub(super) fn failed(&self, error: TransferError) {
        let fatal = error.is_fatal();
        let mut outcome = self.outcome();
        if fatal {
            outcome.fatal.get_or_insert(error);
            self.stop.cancel();
            return;
        }
        outcome.errors_total += 1;
        if outcome.errors.len() < ERRORS {
            outcome.errors.push(error);
        }
    }

    pub(super) fn report(&self, change: impl FnOnce(&mut TransferReport)) {
        change(&mut self.outcome().report);
    }

    /// Counts a file from where it gets its name: whoever waits for that may be stopped before it hears.
    pub(super) fn count_file(&self) -> impl FnOnce() + Send + use<> {
        let outcome = Arc::clone(&self.outcome);
        move || outcome.lock().unwrap_or_else(PoisonError::into_inner).report.files += 1
    }

    /// Takes a destination for a source.
    ///
    /// # Errors
    /// Another source has it: the two would write to one part.
    pub(super) fn take_name(&self, path: &[u8]) -> Result<(), TransferError> {
        if self.outcome().taken.insert(path.to_vec()) {
            Ok(())
        } else {
            Err(TransferError::SameName { path: path.into() })
        }
    }

    /// What an error of a write to a remote file means.
    pub(super) async fn write_error(&self, path: &[u8], error: SftpError) -> TransferError {
        if error.code() == Some(StatusCode::Failure) && self.is_remote_full(path).await {
            return TransferError::DiskFull { side: Side::Remote, path: path.into() };
        }
        TransferError::remote(path, error)
    }

    /// The end: what was done, or why not all of it.
    pub(super) async fn finish(&self) -> Result<TransferReport, TransferFailure> {
        self.disk.settle().await;
        let mut outcome = std::mem::take(&mut *self.outcome());
        if outcome.is_whole() {
            return Ok(outcome.report);
        }
        outcome.errors_total += u64::from(outcome.fatal.is_some());
        let errors = outcome.fatal.into_iter().chain(outcome.errors).collect();
        Err(TransferFailure { errors, errors_total: outcome.errors_total, report: outcome.report })
    }

    /// Whether nothing has failed so far.
    pub(super) fn is_whole(&self) -> bool {
        self.outcome().is_whole()
    }

    async fn is_remote_full(&self, path: &[u8]) -> bool {
        let disk = self.sftp.statvfs(parent(path)).await;
        disk.is_ok_and(|disk| {
            let free = disk.blocks_available.saturating_mul(disk.fragment_size.max(1));
            disk.is_full() || free < self.sftp.limits().write as u64
        })
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path that many may hold.
pub(super) type SharedPath = Arc<[u8]>;
