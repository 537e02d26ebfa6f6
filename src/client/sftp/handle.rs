//! An open file or folder.

use std::{fmt, sync::Arc};

use super::{
    answers::Expect,
    connection::Opened,
    error::SftpError,
    pending::{About, Pending},
    wire::{Request, Writer, kind},
};

/// An open file or folder on the server. Dropping it closes it without looking at the answer; where that
/// matters, as after writing, there is [`Handle::close`].
pub struct Handle(Opened);

impl Handle {
    /// The path by which it was opened.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.0.path
    }

    /// Closes it. Cancel safe: it is closed in any case.
    ///
    /// # Errors
    /// A file system may say only now that something was not written, as over a network with a quota.
    pub async fn close(self) -> Result<(), SftpError> {
        self.begin_close().done().await
    }

    pub(crate) fn begin_close(mut self) -> Pending {
        self.0.leave_open();
        let request = Request::new(kind::CLOSE).string(self.raw());
        self.0.shared.send(request, None, Expect::Status, self.about("close"), None)
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.0.raw
    }

    pub(super) fn about(&self, operation: &'static str) -> About {
        About { operation, path: Arc::clone(&self.0.path) }
    }
}

impl From<Opened> for Handle {
    fn from(opened: Opened) -> Self {
        Self(opened)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("path", &self.0.path).finish_non_exhaustive()
    }
}
