//! Log lines, and which of them are told.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::stderr::STDERR;

/// Sends log lines to stderr, at `level` and above unless `IROSH_LOG` says otherwise
/// (`IROSH_LOG=debug`, or any filter of the tracing crate).
pub fn start(level: &str) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(|| &*STDERR)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal has the time already.
    if journal { lines.without_time().init() } else { lines.init() }
}

/// Sends log lines to a file, in the same way.
pub fn start_in(level: &str, file: std::fs::File) {
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(std::sync::Mutex::new(file));
    lines.with_target(false).with_ansi(false).init();
}

fn filter(level: &str) -> EnvFilter {
    // What iroh logs is about its inner life; the programs say what a person needs.
    // What sftp logs of its sessions is as much as its own -l says.
    let default = format!("irosh={level},irosh::server::sftp::log=debug");
    let filter = std::env::var("IROSH_LOG").ok().filter(|filter| !filter.is_empty());
    EnvFilter::new(filter.unwrap_or(default))
}
