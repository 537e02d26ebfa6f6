//! A half of a socket that closes nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

/// The half of a socket that is written to. When it is dropped it tells the other end nothing: that is for when the
/// socket is closed, which another process may not have done yet.
pub(super) struct Quiet<W> {
    half: Option<W>,
    forget: fn(W),
}

impl<W> Quiet<W> {
    pub(super) fn new(half: W, forget: fn(W)) -> Self {
        Self { half: Some(half), forget }
    }
}

impl<W: AsyncWrite + Unpin> Quiet<W> {
    fn with<T>(
        self: Pin<&mut Self>,
        act: impl FnOnce(Pin<&mut W>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.get_mut().half {
            Some(half) => act(Pin::new(half)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Quiet<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|half| half.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|half| half.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|half| half.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|half| half.poll_shutdown(cx))
    }
}

impl<W> Drop for Quiet<W> {
    fn drop(&mut self) {
        self.half.take().into_iter().for_each(self.forget);
    }
}
