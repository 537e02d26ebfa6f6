//! `irosh sftp-server`: SFTP on stdin and stdout.

use std::path::PathBuf;

use irosh::server::sftp;
use nix::sys::{
    resource::{Resource, getrlimit},
    stat::{Mode, umask},
};

/// Descriptors that OpenSSH takes as open before a client opens any.
const TAKEN: u64 = 5;

pub(super) fn run(arguments: Vec<String>) -> anyhow::Result<()> {
    let mut options = sftp::Options::parse(arguments)?;
    if let Some(mask) = options.umask.take() {
        umask(Mode::from_bits_truncate(mask as libc::mode_t));
    }
    // The process serves one client, and what it has is that client's.
    options.max_handles = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft.saturating_sub(TAKEN));
    // As OpenSSH's, which takes the directory it starts in for the home.
    options.home = std::fs::canonicalize(&options.start).unwrap_or_else(|_| PathBuf::from("/"));
    Ok(sftp::serve_fds(sftp::Server::new(options), std::io::stdin(), std::io::stdout())?)
}
