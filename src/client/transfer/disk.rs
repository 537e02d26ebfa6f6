//! A few threads of our own for the local disk.
//!
//! The runtime's blocking threads grow by one a job that finds none idle: a hundred small files at once
//! would be a hundred threads.

use std::{
    collections::VecDeque,
    io, panic,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use tokio::sync::oneshot;

/// Threads. Two cores are kept busy by two; more hide the time that a cold disk takes.
const THREADS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when it is dropped and the jobs before are done.
#[derive(Debug)]
pub(super) struct Disk(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Runs a job. When the future is dropped the job is done all the same, and so it is when it is never
    /// polled.
    ///
    /// # Errors
    /// Those of the job; an error of its own when no thread can be had.
    pub(super) fn run<T, F>(&self, job: F) -> impl Future<Output = io::Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.push(Box::new(move || drop(sender.send(job()))));
        async { receiver.await.unwrap_or_else(|_| Err(io::Error::other("a disk thread was lost"))) }
    }

    fn push(&self, job: Job) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(job);
        if state.idle > 0 {
            self.0.changed.notify_one();
        } else if state.threads < THREADS {
            let queue = Arc::clone(&self.0);
            let spawned = thread::Builder::new().name("disk".to_owned()).spawn(move || queue.work());
            match spawned {
                Ok(_) => state.threads += 1,
                // Without any thread the job is dropped, and whoever waits for it is told.
                Err(_) if state.threads == 0 => state.jobs.clear(),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.changed.notify_all();
    }
}

impl Queue {
    fn work(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The one who waits for it is told by its channel.
                let _ = panic::catch_unwind(panic::AssertUnwindSafe(job));
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
