//! The SSH host keys that hosts announced, for `KnownHostsCommand`.
//!
//! ssh asks for them right after `irosh-proxy` has connected, in another process, so they are kept
//! in a file for each endpoint id.

use std::{io, path::PathBuf};

use iroh::EndpointId;
use russh::keys::ssh_key::PublicKey;

use crate::files::{Paths, create_private_dir, write_file};

/// Keeps what a host announced over its authenticated connection.
///
/// # Errors
///
/// What the system says.
pub fn save_host_keys(paths: &Paths, id: EndpointId, keys: &[Vec<u8>]) -> io::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let text: String = keys
        .iter()
        .filter_map(|key| PublicKey::from_bytes(key).ok()?.to_openssh().ok())
        .map(|line| line + "\n")
        .collect();
    let path = file_of(paths, id);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    create_private_dir(&paths.announced_keys())?;
    write_file(&path, text.as_bytes(), 0o600)
}

/// The public key lines that a host announced last; none when it was never reached.
#[must_use]
pub fn load_host_keys(paths: &Paths, id: EndpointId) -> Vec<String> {
    let text = std::fs::read_to_string(file_of(paths, id)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The keys as lines of a known_hosts file for the name that ssh was given, on any port.
#[must_use]
pub fn known_hosts_lines(name: &str, keys: &[String]) -> String {
    keys.iter().map(|key| format!("{name},[{name}]:* {key}\n")).collect()
}

fn file_of(paths: &Paths, id: EndpointId) -> PathBuf {
    paths.announced_keys().join(id.to_string())
}
