//! What is to be looked at.

use std::path::PathBuf;

use crate::{files::Paths, transport::Network};

/// What is to be looked at.
#[derive(Debug)]
pub struct Case {
    /// Whose files.
    pub paths: Paths,
    /// How to reach the network.
    pub network: Network,
    /// The file that the settings name as the key that says who we are.
    pub identity: Option<PathBuf>,
    /// A host, as the user names it.
    pub target: Option<String>,
    /// The file that ssh is to read instead of the user's.
    pub ssh_config: Option<PathBuf>,
}
