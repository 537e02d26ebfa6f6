//! The sending half of a session that a busy host may have to be asked for again.

use std::io;

use bytes::BytesMut;
use tokio::sync::mpsc;

use crate::session::{Batch, LegSink, Sink};

/// Bytes that are kept until the host has taken the session. ssh says its identification and one message before it
/// hears anything (RFC 4253 sections 4.2 and 7.1), which are some 2 KiB.
const KEPT: usize = 64 << 10;

/// A leg's sink, which says its first bytes again on another leg when the host has refused this one.
pub(crate) struct PatientSink {
    leg: LegSink,
    /// Whatever was written so far, while the host may still refuse.
    kept: BytesMut,
    /// How much of that the leg has taken.
    taken: usize,
    /// Legs instead of this one; ends with the host's last word.
    others: Option<mpsc::Receiver<LegSink>>,
}

impl PatientSink {
    pub(super) fn new(leg: LegSink, others: mpsc::Receiver<LegSink>) -> Self {
        Self { leg, kept: BytesMut::new(), taken: 0, others: Some(others) }
    }

    /// Waits for another leg, or for there being none. Cancel-safe.
    async fn settle(&mut self) {
        let Some(others) = &mut self.others else { return };
        match others.recv().await {
            Some(leg) => (self.leg, self.taken) = (leg, 0),
            None => self.others = None,
        }
    }

    /// Has the leg take all that is kept. Cancel-safe.
    async fn catch_up(&mut self) -> io::Result<()> {
        while self.taken < self.kept.len() {
            match self.leg.write_some(&self.kept[self.taken..]).await {
                Ok(count) => self.taken += count,
                // Whether another leg follows is said elsewhere.
                Err(_) if self.others.is_some() => self.settle().await,
                Err(error) => return Err(error),
            }
        }
        if self.others.is_none() {
            self.kept = BytesMut::new();
            self.taken = 0;
        }
        Ok(())
    }
}

impl Sink for PatientSink {
    async fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        while self.others.is_some() && self.kept.len() + batch.len() > KEPT {
            self.catch_up().await?;
            self.settle().await;
        }
        if self.others.is_none() {
            self.catch_up().await?;
            return self.leg.write(batch).await;
        }
        batch.chunks().iter().for_each(|chunk| self.kept.extend_from_slice(chunk));
        batch.clear();
        self.catch_up().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        loop {
            self.catch_up().await?;
            let finished = self.leg.finish().await;
            if self.others.is_none() {
                return finished;
            }
            self.settle().await;
        }
    }

    async fn gone(&mut self) -> io::Result<()> {
        while self.others.is_some() {
            self.catch_up().await?;
            self.settle().await;
        }
        self.catch_up().await?;
        self.leg.gone().await
    }
}
