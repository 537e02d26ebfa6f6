//! The receiving half of a session that the host has not answered yet.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::timeout,
};

use super::connection::SessionError;
use crate::session::{Batch, LegSource, Source};

/// How long an SSH server may take to say its first word, which no client has to wait for otherwise
/// (RFC 4253 section 4.2).
const FIRST_WORD: Duration = Duration::from_secs(60);

pub(super) type Opening = Pin<Box<dyn Future<Output = Result<LegSource, Arc<SessionError>>> + Send>>;

/// The receiving half of a session that the host has not answered yet.
///
/// The first read waits for the answer; a refusal is an error that holds a [`SessionError`].
pub struct PendingSession {
    opening: Option<Opening>,
    leg: Option<LegSource>,
    /// Whether the server has said anything yet.
    heard: bool,
}

impl PendingSession {
    pub(super) fn new(opening: Opening) -> Self {
        Self { opening: Some(opening), leg: None, heard: false }
    }

    /// Has something done before the first byte is read.
    #[must_use]
    pub fn after(mut self, first: impl Future<Output = ()> + Send + 'static) -> Self {
        self.opening = self
            .opening
            .map(|opening| -> Opening { Box::pin(async move { tokio::join!(opening, first).0 }) });
        self
    }

    /// Waits until the host has opened the session, which it says right before the server's first word.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn opened(&mut self) -> Result<(), Arc<SessionError>> {
        if let Some(opening) = &mut self.opening {
            let opened = opening.await;
            self.opening = None;
            self.leg = Some(opened?);
        }
        Ok(())
    }
}

/// For those who read by bytes, such as an SSH client. The first word has no deadline here.
impl AsyncRead for PendingSession {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(opening) = &mut this.opening {
            let opened = std::task::ready!(opening.as_mut().poll(cx));
            this.opening = None;
            this.leg = Some(opened.map_err(io::Error::other)?);
        }
        match &mut this.leg {
            Some(leg) => leg.poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Source for PendingSession {
    async fn read(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.opened().await.map_err(io::Error::other)?;
        let silent = |how| io::Error::other(Arc::new(SessionError::Silent(how)));
        match &mut self.leg {
            Some(leg) if self.heard => leg.read(batch).await,
            Some(leg) => {
                timeout(FIRST_WORD, leg.read(batch))
                    .await
                    .map_err(|_| silent("said nothing for a minute"))??;
                self.heard = true;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
