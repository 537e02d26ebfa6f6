//! Settings that a running host reads again.

use std::path::PathBuf;

use super::{access::Access, limit_settings::LimitSettings};

/// Settings that can be changed while a host runs.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// Who reaches SSH.
    pub access: Access,
    /// The list of keys and certificates that are kept out, where it is not the usual one.
    pub revoked_keys: Option<PathBuf>,
    /// What it allows.
    pub limits: LimitSettings,
    /// Settings that others read, who begin to use them by themselves, where they have changed: as they are called in
    /// the file.
    pub taken: Vec<String>,
    /// Settings that are others by now than those in use, until the host is started anew.
    pub waiting: Vec<String>,
}

/// Reads the settings again; blocks. What is wrong with them is said in a sentence, and they stay as they were.
pub type Reread = Box<dyn Fn() -> Result<LiveSettings, String> + Send + Sync>;
