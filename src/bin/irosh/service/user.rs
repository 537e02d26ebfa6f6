//! The user of the system's service.

use anyhow::Context;
use nix::unistd::User;

/// What it is called. macOS marks those of services so.
pub(super) const NAME: &str = if cfg!(target_os = "macos") { "_irosh" } else { "irosh" };

/// The user, who has to be there.
pub(super) fn user() -> anyhow::Result<User> {
    User::from_name(NAME).context("the list of users")?.with_context(|| format!("there is no user {NAME}"))
}
