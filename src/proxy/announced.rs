//! The SSH host keys that hosts announced, for ssh.
//!
//! They are kept in a file of known_hosts for each endpoint id before ssh has the server's first byte: ssh reads that
//! of an alias afterwards (`GlobalKnownHostsFile`), and asks in another process for others (`KnownHostsCommand`).

use std::{io, path::PathBuf};

use iroh::EndpointId;
use russh::keys::ssh_key::PublicKey;

use crate::files::{Paths, create_private_dir, read_trusted_file, write_file};

/// What a line of known_hosts begins with that holds for every name.
const ANY_NAME: &str = "* ";

/// Keeps what a host announced over its authenticated connection.
///
/// # Errors
///
/// What the system says.
pub fn save_host_keys(paths: &Paths, id: EndpointId, keys: &[Vec<u8>]) -> io::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    // For whatever name ssh looks: the file is asked for this host alone.
    let text: String = public_key_lines(keys).iter().map(|key| format!("{ANY_NAME}{key}\n")).collect();
    let path = file_of(paths, id);
    if read_trusted_file(&path).is_ok_and(|old| old.as_ref() == Some(&text)) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        create_private_dir(folder)?;
    }
    write_file(&path, text.as_bytes(), 0o600)
}

/// The keys that a host announced as lines of public key files, without those that make none.
#[must_use]
pub fn public_key_lines(keys: &[Vec<u8>]) -> Vec<String> {
    let lines = keys.iter().filter_map(|key| PublicKey::from_bytes(key).ok()?.to_openssh().ok());
    lines.filter(|line| is_one_line(line)).collect()
}

/// Whether a public key line is a type and a key: the type of a key that is not known here is whatever
/// the host says it is, and must not become a line of its own, or a marker.
fn is_one_line(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    words.len() == 2 && words.iter().all(is_word) && !line.starts_with('@')
}

/// The public key lines that a host announced last; none when it was never reached, or when others could
/// have written them.
#[must_use]
pub fn load_host_keys(paths: &Paths, id: EndpointId) -> Vec<String> {
    let text = read_trusted_file(&file_of(paths, id)).unwrap_or_else(|error| {
        tracing::warn!("the host keys that were announced are not believed: {error}");
        None
    });
    let keys = text.as_deref().unwrap_or_default().lines().filter_map(|line| line.strip_prefix(ANY_NAME));
    keys.map(str::to_owned).collect()
}

/// The keys as lines of a known_hosts file for the name that ssh was given, on any port, and for the name by
/// which it looks for them, which is another one with HostKeyAlias. Each name has lines of its own: Dropbear's client
/// knows no others.
#[must_use]
pub fn known_hosts_lines(name: &str, sought: Option<&str>, keys: &[String]) -> String {
    let name = name.to_ascii_lowercase();
    let sought = sought.filter(|sought| is_one_pattern(sought) && *sought != name);
    let names = [name.clone(), format!("[{name}]:*")].into_iter().chain(sought.map(ToOwned::to_owned));
    names.flat_map(|name| keys.iter().map(move |key| format!("{name} {key}\n"))).collect()
}

/// Whether a name stands for one host on a line of known_hosts: it may be whatever HostKeyAlias says.
fn is_one_pattern(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b",*?!|".contains(&byte))
}

fn file_of(paths: &Paths, id: EndpointId) -> PathBuf {
    paths.announced_keys(&id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh_wire::Writer;

    /// A key of a type that nobody has heard of.
    fn key_of_type(kind: &str) -> Vec<u8> {
        Vec::new().string(kind.as_bytes()).string(b"12345678")
    }

    #[test]
    fn a_key_type_does_not_become_a_line_of_known_hosts() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = Paths::under(folder.path());
        let id = iroh::SecretKey::from_bytes(&[1; 32]).public();
        let kinds = ["key@example.com", "a@b\nother ssh-ed25519", "a@\x1f\0b", "a@b c", "@revoked"];
        save_host_keys(&paths, id, &kinds.map(key_of_type)).expect("saved");
        let keys = load_host_keys(&paths, id);
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert!(keys[0].starts_with("key@example.com "), "{keys:?}");
        let kept = std::fs::read_to_string(file_of(&paths, id)).expect("read");
        assert_eq!(kept, format!("* {}\n", keys[0]));
    }

    #[test]
    fn keys_are_for_the_name_that_was_given_and_the_one_that_is_sought() {
        let keys = ["ssh-ed25519 AAAA".to_owned()];
        let lines = |sought| known_hosts_lines("Box", sought, &keys);
        let of_box = "box ssh-ed25519 AAAA\n[box]:* ssh-ed25519 AAAA\n";
        assert_eq!(lines(None), of_box);
        assert_eq!(lines(Some("box")), lines(None));
        assert_eq!(lines(Some("foo")), format!("{of_box}foo ssh-ed25519 AAAA\n"));
        for pattern in ["*", "a b", "a,b", "!a", "|1|", "", "a\nb"] {
            assert_eq!(lines(Some(pattern)), lines(None), "{pattern}");
        }
    }
}
