//! The lines of ssh_config that make `ssh NAME` work: a file of our own, and one `Include` of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use crate::files::{LockError, update_file, write_file};

/// The file of our own, beside the user's.
const OWN_FILE: &str = "irosh_config";

/// The line that is put on top of the user's file.
const INCLUDE: &str = "Include irosh_config";

/// The user's ssh_config could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum SshConfigError {
    /// Reading or writing failed.
    #[error("cannot change ssh's configuration: {0}")]
    Io(#[from] io::Error),
    /// Another process holds the file.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// What installing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The file of our own.
    pub own_file: PathBuf,
    /// The user's file.
    pub user_file: PathBuf,
    /// The copy of the user's file as it was, if it was changed.
    pub backup: Option<PathBuf>,
}

/// Our lines: for `*.irosh`, for tickets, invites and endpoint ids, and for the aliases.
///
/// `proxy` is the path of `irosh-proxy`.
#[must_use]
pub fn render(proxy: &Path, aliases: &BTreeMap<String, String>) -> String {
    // So much after the word is no name somebody chose; less may be a part that was cut off, which
    // irosh-proxy says, where ssh would tell the name service.
    let word = |word: &str| format!("{word}{}*", "?".repeat(24));
    let words = ["endpoint", "ENDPOINT", "invite", "INVITE"].map(word).join(" ");
    let id = "?".repeat(64);
    // ssh looks at case here: a name is found as it was given, and in lower and upper case.
    let lower = aliases.keys().map(|name| name.to_ascii_lowercase());
    let upper = aliases.keys().map(|name| name.to_ascii_uppercase());
    let names: BTreeSet<String> = aliases.keys().cloned().chain(lower).chain(upper).collect();
    let names: String = names.iter().map(|name| format!(" {name}")).collect();
    let proxy = quote(proxy);
    let lines = format!(
        "    ProxyCommand {proxy} %h\n    KnownHostsCommand {proxy} --known-hosts %h\n    CanonicalizeHostname no\n    CheckHostIP no\n"
    );
    // A name with a dot in it is a host's, however long.
    format!(
        "# Written by `irosh ssh-config install`, and again when hosts are added or removed.\n\
         Host *.irosh *.IROSH{names}\n{lines}Host {words} {id} !*.*\n{lines}"
    )
}

/// Puts our file beside the user's and includes it at the top. Doing so again changes nothing.
///
/// # Errors
///
/// [`SshConfigError`]; the user's file is then as it was.
pub fn install(ssh_folder: &Path, text: &str) -> Result<Installed, SshConfigError> {
    let own_file = ssh_folder.join(OWN_FILE);
    let user_file = ssh_folder.join("config");
    write_file(&own_file, text.as_bytes(), 0o600)?;
    let backup = update_file::<_, SshConfigError>(&user_file, 0o600, |old| {
        if old.lines().any(is_include) {
            return Ok((None, None));
        }
        let backup = backup(&user_file)?;
        Ok((Some(format!("{INCLUDE}\n{old}")), backup))
    })?;
    Ok(Installed { own_file, user_file, backup })
}

/// Writes our file again where it is installed, so that `ssh ALIAS` follows the aliases.
///
/// # Errors
///
/// [`SshConfigError`].
pub fn refresh(ssh_folder: &Path, text: &str) -> Result<bool, SshConfigError> {
    let own_file = ssh_folder.join(OWN_FILE);
    let installed = own_file.exists();
    if installed {
        write_file(&own_file, text.as_bytes(), 0o600)?;
    }
    Ok(installed)
}

/// Takes the `Include` line and our file away; every other byte of the user's file stays.
///
/// # Errors
///
/// [`SshConfigError`].
pub fn remove(ssh_folder: &Path) -> Result<bool, SshConfigError> {
    let user_file = ssh_folder.join("config");
    let removed = update_file::<_, SshConfigError>(&user_file, 0o600, |old| {
        if !old.lines().any(is_include) {
            return Ok((None, false));
        }
        let kept: String = old.split_inclusive('\n').filter(|line| !is_include(line)).collect();
        Ok((Some(kept), true))
    })?;
    match fs::remove_file(ssh_folder.join(OWN_FILE)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(removed),
        Err(error) => Err(error.into()),
    }
}

fn is_include(line: &str) -> bool {
    line.split_ascii_whitespace().eq(INCLUDE.split_ascii_whitespace())
}

fn backup(user_file: &Path) -> io::Result<Option<PathBuf>> {
    let backup = user_file.with_file_name("config.before-irosh");
    match fs::copy(user_file, &backup) {
        Ok(_) => Ok(Some(backup)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// ssh hands a ProxyCommand to the shell, and splits a KnownHostsCommand by itself, with quotes.
fn quote(path: &Path) -> String {
    // In both, `%` is ssh's own.
    let path = path.display().to_string().replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if path.chars().all(plain) {
        path
    } else {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn aliases() -> BTreeMap<String, String> {
        BTreeMap::from([("box".to_owned(), String::new()), ("Den".to_owned(), String::new())])
    }

    fn proxy_of(folder: &Path, name: &str) -> String {
        let output = Command::new("ssh")
            .arg("-F")
            .arg(folder.join("config"))
            .args(["-G", name])
            .output()
            .expect("ssh");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("proxycommand "));
        line.unwrap_or_default().to_owned()
    }

    #[test]
    fn ssh_takes_our_names_to_our_proxy_and_no_others() {
        let folder = tempfile::tempdir().expect("a folder");
        // `Include` is relative to ~/.ssh, so that the test names the file in full.
        let text = render(Path::new("/opt/irosh proxy/irosh-proxy"), &aliases());
        fs::write(folder.path().join("config"), text).expect("write");
        let key = iroh::SecretKey::from_bytes(&[3; 32]).public();
        let ticket = iroh_tickets::endpoint::EndpointTicket::new(key.into()).to_string();
        let secret = crate::transport::InviteSecret([1; 16]);
        let invite = crate::transport::Invite { addr: key.into(), secret }.to_string();
        for name in
            ["box", "BOX", "Den", "den", "any.irosh", &ticket, &invite[..60], &invite, &key.to_string()]
        {
            let expected = "proxycommand \"/opt/irosh proxy/irosh-proxy\" %h";
            assert_eq!(proxy_of(folder.path(), name), expected, "{name}");
        }
        for name in [
            "example.com",
            "endpoint.example.com",
            "endpoint-of-many-words.corp.example.com",
            "invites",
            &format!("{}.example.com", "a".repeat(52)),
        ] {
            assert_eq!(proxy_of(folder.path(), name), "", "{name}");
        }
    }

    #[test]
    fn installing_twice_is_installing_once_and_removing_leaves_every_other_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let user_file = folder.path().join("config");
        let old = "# mine\r\nHost a\n\tUser b\n\nInclude other";
        fs::write(&user_file, old).expect("write");
        let installed = install(folder.path(), "x").expect("installed");
        assert_eq!(fs::read_to_string(installed.backup.expect("a backup")).expect("read"), old);
        assert_eq!(install(folder.path(), "y").expect("again").backup, None);
        assert_eq!(fs::read_to_string(&user_file).expect("read"), format!("{INCLUDE}\n{old}"));
        assert_eq!(fs::read_to_string(folder.path().join(OWN_FILE)).expect("read"), "y");
        assert!(remove(folder.path()).expect("removed"));
        assert_eq!(fs::read_to_string(&user_file).expect("read"), old);
        assert!(!remove(folder.path()).expect("nothing left"));
    }

    #[test]
    fn a_user_without_a_config_gets_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let ssh = folder.path().join(".ssh");
        assert_eq!(install(&ssh, "x").expect("installed").backup, None);
        assert_eq!(fs::read_to_string(ssh.join("config")).expect("read"), format!("{INCLUDE}\n"));
        assert!(!refresh(folder.path(), "x").expect("not installed there"));
    }
}
