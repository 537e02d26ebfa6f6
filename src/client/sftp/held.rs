//! Content that counts as on its way.

use std::ops::Deref;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// What was read. It counts as in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    pub(crate) fn new(bytes: Bytes, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { bytes, _permit: permit }
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
