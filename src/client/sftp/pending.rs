//! Requests that were sent, and their answers.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    answers::{Expect, Names},
    attributes::Attributes,
    connection::{Opened, Reply, Shared},
    error::{Nonsense, SftpError, StatusCode},
    held::Held,
    wire::Request,
};

/// A request that was sent. Dropping it drops the answer; what it opens is closed.
#[derive(Debug)]
pub(crate) struct Pending {
    receiver: oneshot::Receiver<Result<Reply, SftpError>>,
    about: About,
}

impl Shared {
    /// Asks once few enough requests wait. Cancel safe: what is dropped before it was sent is not sent.
    pub(super) async fn ask(&self, request: Request, expect: Expect, about: About) -> Pending {
        // It is never closed, and without a permit the request is still a good one.
        let permit = Arc::clone(&self.requests).acquire_owned().await.ok();
        self.send(request, None, expect, about, permit)
    }

    /// As [`Shared::queue`].
    pub(super) fn send(
        &self,
        request: Request,
        payload: Option<Bytes>,
        expect: Expect,
        about: About,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Pending {
        let receiver = self.queue(request, payload, expect, &about.path, permit);
        Pending { receiver, about }
    }
}

impl Pending {
    /// As [`Self::done`], for those who are polled. Not to be called again once it is ready.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SftpError>> {
        self.poll_reply(cx).map_ok(drop)
    }

    /// As [`Self::data`].
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Held>, SftpError>> {
        self.poll_reply(cx).map(data_of)
    }

    /// As [`Self::names`].
    pub(super) fn poll_names(&mut self, cx: &mut Context<'_>) -> Poll<Result<Names, SftpError>> {
        self.poll_reply(cx).map(names_of)
    }

    /// As [`Self::attributes`].
    pub(super) fn poll_attributes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Attributes, SftpError>> {
        self.poll_reply(cx).map(attributes_of)
    }

    /// Whether the answer is here, so that waiting for it takes no time.
    pub(crate) fn is_ready(&self) -> bool {
        !self.receiver.is_empty()
    }

    pub(crate) async fn done(self) -> Result<(), SftpError> {
        self.reply().await.map(|_| ())
    }

    pub(super) async fn opened(self) -> Result<Opened, SftpError> {
        match self.reply().await? {
            Reply::Opened(opened) => Ok(opened),
            _ => Err(Nonsense::WrongType(0).into()),
        }
    }

    /// Nothing at the end of the file.
    pub(crate) async fn data(self) -> Result<Option<Held>, SftpError> {
        data_of(self.reply().await)
    }

    pub(super) async fn names(self) -> Result<Names, SftpError> {
        names_of(self.reply().await)
    }

    /// The only name of an answer.
    pub(crate) async fn name(self) -> Result<Vec<u8>, SftpError> {
        Ok(self.names().await?.one()?)
    }

    pub(crate) async fn attributes(self) -> Result<Attributes, SftpError> {
        attributes_of(self.reply().await)
    }

    pub(super) async fn extended(self) -> Result<Bytes, SftpError> {
        match self.reply().await? {
            Reply::Extended(body) => Ok(body),
            _ => Err(Nonsense::WrongType(0).into()),
        }
    }

    async fn reply(mut self) -> Result<Reply, SftpError> {
        poll_fn(|cx| self.poll_reply(cx)).await
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, SftpError>> {
        let reply = ready!(Pin::new(&mut self.receiver).poll(cx));
        let About { operation, path } = &self.about;
        Poll::Ready(match reply {
            Ok(Ok(Reply::Refused(code, message))) => {
                Err(SftpError::Status { operation, path: Arc::clone(path), code, message })
            }
            Ok(other) => other,
            // The connection was dropped with all its tasks.
            Err(_) => Err(SftpError::Gone { source: None }),
        })
    }
}

/// Nothing at the end of the file.
fn data_of(reply: Result<Reply, SftpError>) -> Result<Option<Held>, SftpError> {
    match reply {
        Ok(Reply::Data(held)) => Ok(Some(held)),
        Ok(_) => Err(Nonsense::WrongType(0).into()),
        Err(error) if error.code() == Some(StatusCode::EndOfFile) => Ok(None),
        Err(error) => Err(error),
    }
}

fn names_of(reply: Result<Reply, SftpError>) -> Result<Names, SftpError> {
    match reply? {
        Reply::Names(names) => Ok(names),
        _ => Err(Nonsense::WrongType(0).into()),
    }
}

fn attributes_of(reply: Result<Reply, SftpError>) -> Result<Attributes, SftpError> {
    match reply? {
        Reply::Attributes(attributes) => Ok(attributes),
        _ => Err(Nonsense::WrongType(0).into()),
    }
}

/// What a request is about, for its error.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) operation: &'static str,
    pub(super) path: Arc<[u8]>,
}
