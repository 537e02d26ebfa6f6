//! Work on the local disk, a few jobs at a time.
//!
//! The runtime's blocking threads grow by one a job that finds none idle: a hundred small files at once
//! would be a hundred threads.

use std::{
    collections::VecDeque,
    io, panic,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Jobs at a time. Two cores are kept busy by two; more hide the time that a cold disk takes.
const JOBS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The jobs of a transfer. Those that wait are not begun any more once it is stopped or this is dropped.
#[derive(Debug)]
pub(super) struct Disk {
    queue: Arc<Queue>,
    workers: TaskTracker,
}

struct Queue {
    stop: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: usize,
}

impl Disk {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { queue: Arc::new(Queue { stop, state: Mutex::default() }), workers: TaskTracker::new() }
    }

    /// Runs a job, also when the future is dropped or never polled.
    ///
    /// # Errors
    /// Those of the job; one of its own when the transfer was stopped before its turn.
    pub(super) fn run<T, F>(&self, job: F) -> impl Future<Output = io::Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        // What nobody takes any more, such as a part, is gone before the job counts as done.
        self.push(Box::new(move || drop(sender.send(job()))));
        async { receiver.await.unwrap_or_else(|_| Err(io::Error::other("the transfer was stopped"))) }
    }

    /// Waits for the jobs that have begun, and for those that wait unless the transfer was stopped.
    pub(super) async fn settle(&self) {
        self.workers.close();
        self.workers.wait().await;
    }

    fn push(&self, job: Job) {
        let mut state = self.queue.state();
        state.jobs.push_back(job);
        if state.workers < JOBS {
            state.workers += 1;
            let queue = Arc::clone(&self.queue);
            self.workers.spawn_blocking(move || queue.work());
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.queue.stop.cancel();
    }
}

impl Queue {
    fn work(&self) {
        while let Some(job) = self.next() {
            // The one who waits for it is told of a panic by its channel.
            let _ = panic::catch_unwind(panic::AssertUnwindSafe(job));
        }
    }

    /// The next job; nothing when there is none, with which a worker ends.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        if self.stop.is_cancelled() {
            let dropped = std::mem::take(&mut state.jobs);
            state.workers -= 1;
            // They may hold parts, which take their time to go.
            drop(state);
            drop(dropped);
            return None;
        }
        let job = state.jobs.pop_front();
        state.workers -= usize::from(job.is_none());
        job
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn what_waits_is_not_begun_after_a_stop_and_what_has_begun_is_waited_for() {
        let stop = CancellationToken::new();
        let disk = Disk::new(stop.clone());
        let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (told, beginning) = mpsc::channel();
        let mut ends = Vec::new();
        for _ in 0..JOBS + 100 {
            let (end, ending) = mpsc::channel::<()>();
            ends.push(end);
            let (begun, done, told) = (Arc::clone(&begun), Arc::clone(&done), told.clone());
            drop(disk.run(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = told.send(());
                // Until the other end is dropped.
                let _ = ending.recv();
                done.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }));
        }
        let beginning = tokio::task::spawn_blocking(move || {
            for _ in 0..JOBS {
                beginning.recv_timeout(Duration::from_secs(60)).expect("a job begins");
            }
        });
        beginning.await.expect("as many as there are turns");
        stop.cancel();
        assert!(tokio::time::timeout(Duration::from_millis(50), disk.settle()).await.is_err(), "it waits");
        drop(ends);
        disk.settle().await;
        assert_eq!((begun.load(Ordering::SeqCst), done.load(Ordering::SeqCst)), (JOBS, JOBS));
        disk.run(|| Ok(())).await.expect_err("stopped");
    }
}
