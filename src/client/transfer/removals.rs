//! Parts at the server that are to go.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;

use super::super::sftp::{Pending, Sftp};

/// How long any server is waited for.
const LONGEST: Duration = Duration::from_secs(60);

/// Removals that are remembered before those that were answered are forgotten.
const MANY: usize = 1000;

/// Parts that the server was asked to remove.
#[derive(Debug)]
pub(super) struct Removals {
    sftp: Sftp,
    asked: Mutex<Vec<(Arc<[u8]>, Pending)>>,
    /// Files that take the place of others in several steps.
    pub(super) replacing: TaskTracker,
}

impl Removals {
    pub(super) fn new(sftp: &Sftp) -> Arc<Self> {
        Arc::new(Self { sftp: sftp.clone(), asked: Mutex::default(), replacing: TaskTracker::new() })
    }

    /// Asks for a part to be removed, without waiting. What would still be written to it is not sent.
    pub(super) fn remove(&self, part: &Arc<[u8]>) {
        self.sftp.take_back_writes();
        let pending = self.sftp.begin_remove(part);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MANY {
            asked.retain(|(_, pending)| !pending.is_ready());
        }
        asked.push((Arc::clone(part), pending));
    }

    /// Waits until all is as it stays, for as long as the server answers: one that says nothing is waited for
    /// so long. Gives the parts that it may have left.
    pub(super) async fn settle(&self, idle: Duration) -> Vec<Arc<[u8]>> {
        self.sftp.take_back_writes();
        let mut time = Time { idle, deadline: Instant::now() + LONGEST };
        self.replacing.close();
        self.in_time(&mut time, self.replacing.wait()).await;
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let mut left = Vec::new();
        for (part, pending) in asked {
            match self.in_time(&mut time, pending.done()).await {
                Some(Ok(())) => {}
                Some(Err(error)) if error.is_no_such_file() => {}
                _ => left.push(part),
            }
        }
        if !self.sftp.is_gone() {
            // A server answers in order: what was asked for without waiting is done by then, too.
            self.in_time(&mut time, self.sftp.realpath(".")).await;
        }
        left
    }

    /// Nothing when it takes too long, and then no more time is given to anything.
    async fn in_time<T>(&self, time: &mut Time, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        let answered = async {
            loop {
                tokio::select! {
                    biased;
                    output = &mut future => return Some(output),
                    () = self.sftp.answered() => {}
                    () = sleep(time.idle) => return None,
                }
            }
        };
        let output = timeout_at(time.deadline, answered).await.ok().flatten();
        if output.is_none() {
            time.deadline = Instant::now();
        }
        output
    }
}

/// What is left for waiting.
struct Time {
    /// For one answer.
    idle: Duration,
    deadline: Instant,
}
