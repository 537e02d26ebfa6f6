//! Key files: ordinary OpenSSH ed25519 private keys.

use std::{
    io,
    path::{Path, PathBuf},
};

use iroh::SecretKey;
use russh::keys::ssh_key::{
    self, LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
};
use zeroize::Zeroizing;

use super::public_identity::Identity;
use crate::{
    files::{PrivateFileError, create_private_file, read_file, read_private_file, write_file},
    private_key,
};

/// A key and the file it came from.
#[derive(Clone)]
pub struct KeyFile {
    path: PathBuf,
    secret: SecretKey,
}

/// A key file could not be used. Each message says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Missing, open to others, or unreadable.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Nothing in it.
    #[error("{0} is empty\nremove it and a new key is made, or put back the old one from a backup")]
    Empty(PathBuf),
    /// Not an OpenSSH private key.
    #[error("{0} is not an OpenSSH private key\nmake one with: ssh-keygen -t ed25519 -N '' -f FILE")]
    NotAKey(PathBuf),
    /// Under a passphrase, which a background process cannot ask for.
    #[error("{0} has a passphrase\nremove it with: ssh-keygen -p -N '' -f FILE")]
    Encrypted(PathBuf),
    /// Another kind of key.
    #[error("{path} is a key of type {kind}, and only ed25519 will do\nmake one with: ssh-keygen -t ed25519 -N '' -f FILE", path = .path.display())]
    NotEd25519 {
        /// The file.
        path: PathBuf,
        /// What it holds.
        kind: String,
    },
    /// A new key could not be kept.
    #[error("cannot write a new key to {path}: {source}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyFile {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// Any [`KeyError`] but [`KeyError::Write`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::of(path, &read_key(path)?)
    }

    fn of(path: &Path, key: &PrivateKey) -> Result<Self, KeyError> {
        match key.key_data() {
            KeypairData::Ed25519(pair) => {
                let seed = Zeroizing::new(pair.private.to_bytes());
                Ok(Self { path: path.to_owned(), secret: SecretKey::from_bytes(&seed) })
            }
            KeypairData::Encrypted(_) => Err(KeyError::Encrypted(path.to_owned())),
            _ => Err(KeyError::NotEd25519 { path: path.to_owned(), kind: key.algorithm().to_string() }),
        }
    }

    /// Reads a key, or makes one where there is none.
    ///
    /// Several processes may do so at once: all end up with the same key.
    ///
    /// # Errors
    ///
    /// Any [`KeyError`].
    pub fn load_or_create(path: &Path, comment: &str) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::File(PrivateFileError::Missing(_))) => {}
            other => return other,
        }
        let write = |source| KeyError::Write { path: path.to_owned(), source };
        let text = new_key(comment).map_err(|error| write(io::Error::other(error)))?;
        match create_private_file(path, text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(write(error)),
            _ => {}
        }
        let key = Self::load(path)?;
        // As ssh-keygen does, for `irosh peers allow`; who cannot have it can ask ssh-keygen -y.
        let mut public = key.public();
        public.set_comment(comment);
        let text = public.to_openssh().unwrap_or_default() + "\n";
        if let Err(error) = write_file(&path.with_added_extension("pub"), text.as_bytes(), 0o644) {
            tracing::debug!("no public key file: {error}");
        }
        Ok(key)
    }

    /// Where the key was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key itself.
    #[must_use]
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The public half, as OpenSSH writes it.
    #[must_use]
    pub fn public(&self) -> ssh_key::PublicKey {
        Identity::ed25519(*self.secret.public().as_bytes()).public_key()
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn read_key(path: &Path) -> Result<PrivateKey, KeyError> {
    let text = read_private_file(path)?;
    if text.trim_ascii().is_empty() {
        return Err(KeyError::Empty(path.to_owned()));
    }
    private_key::from_openssh(&text).map_err(|_| KeyError::NotAKey(path.to_owned()))
}

/// What is known of an identity by the file that names it.
pub(crate) enum FoundKey {
    /// All.
    Private(KeyFile),
    /// Its public half: the other one is to be had elsewhere, or is under a passphrase, or on a FIDO key.
    Public(Identity),
}

/// Reads a file with a private or a public key; where it is not there, the one with `.pub` behind its name.
///
/// # Errors
///
/// Any [`KeyError`] but [`KeyError::Write`].
pub(crate) fn find_key(path: &Path) -> Result<FoundKey, KeyError> {
    let read = |path: &Path| {
        let io = |source| KeyError::File(PrivateFileError::Io { path: path.to_owned(), source });
        Ok::<_, KeyError>(read_file(path).map_err(io)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    let beside = path.with_added_extension("pub");
    let public = match read(path)? {
        Some(text) => ssh_key::PublicKey::from_openssh(text.trim()).ok().map(|key| (path, key)),
        None if path.exists() => None,
        None => {
            let text = read(&beside)?.ok_or_else(|| PrivateFileError::Missing(path.to_owned()))?;
            let key = ssh_key::PublicKey::from_openssh(text.trim());
            Some((&*beside, key.map_err(|_| KeyError::NotAKey(beside.clone()))?))
        }
    };
    let other = |path: &Path, kind: ssh_key::Algorithm| KeyError::NotEd25519 {
        path: path.to_owned(),
        kind: kind.to_string(),
    };
    if let Some((path, key)) = public {
        let identity = Identity::of_key(key.key_data()).ok_or_else(|| other(path, key.algorithm()))?;
        return Ok(FoundKey::Public(identity));
    }
    let key = read_key(path)?;
    match key.key_data() {
        KeypairData::Encrypted(_) | KeypairData::SkEd25519(_) => {
            let public = key.public_key();
            let identity = Identity::of_key(public.key_data());
            Ok(FoundKey::Public(identity.ok_or_else(|| other(path, public.algorithm()))?))
        }
        _ => KeyFile::of(path, &key).map(FoundKey::Private),
    }
}

fn new_key(comment: &str) -> Result<Zeroizing<String>, ssh_key::Error> {
    let seed = Zeroizing::new(SecretKey::generate().to_bytes());
    let pair = Ed25519Keypair::from_seed(&seed);
    let key = PrivateKey::new(KeypairData::Ed25519(pair), comment)?;
    key.to_openssh(LineEnding::LF)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn put(path: &Path, text: &str) {
        fs::write(path, text).expect("write");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
    }

    #[test]
    fn a_new_key_is_kept_and_read_again() {
        let folder = folder();
        let path = folder.path().join("identity");
        let made = KeyFile::load_or_create(&path, "me@here").expect("made");
        let read = KeyFile::load(&path).expect("read");
        assert_eq!(made.secret().to_bytes(), read.secret().to_bytes());
        let mode = fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn many_at_once_make_one_key() {
        let folder = folder();
        let path = folder.path().join("identity");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| KeyFile::load_or_create(&path, "x").expect("a key")))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(keys.iter().all(|key| key.secret().to_bytes() == keys[0].secret().to_bytes()));
    }

    #[test]
    fn bad_key_files_are_told_apart() {
        let folder = folder();
        let path = folder.path().join("key");
        assert!(matches!(KeyFile::load(&path), Err(KeyError::File(PrivateFileError::Missing(_)))));
        put(&path, " \n");
        assert!(matches!(KeyFile::load(&path), Err(KeyError::Empty(_))));
        put(&path, "not a key");
        assert!(matches!(KeyFile::load(&path), Err(KeyError::NotAKey(_))));
        put(&path, &new_key("x").expect("a key"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(KeyFile::load(&path), Err(KeyError::File(PrivateFileError::Open { .. }))));
    }

    #[test]
    fn ssh_keygen_agrees_about_keys() {
        let folder = folder();
        let path = folder.path().join("key");
        let generate = |arguments: &[&str]| {
            let _ = fs::remove_file(&path);
            let status = std::process::Command::new("ssh-keygen")
                .args(["-q", "-f"])
                .arg(&path)
                .args(arguments)
                .status()
                .expect("ssh-keygen");
            assert!(status.success());
        };
        generate(&["-t", "ed25519", "-N", ""]);
        let ours = KeyFile::load(&path).expect("read").public();
        let theirs = fs::read_to_string(path.with_extension("pub")).expect("read");
        assert_eq!(ours.key_data(), ssh_key::PublicKey::from_openssh(&theirs).expect("parse").key_data());
        generate(&["-t", "ed25519", "-N", "secret"]);
        assert!(matches!(KeyFile::load(&path), Err(KeyError::Encrypted(_))));
        generate(&["-t", "ecdsa", "-N", ""]);
        assert!(matches!(KeyFile::load(&path), Err(KeyError::NotEd25519 { .. })));
    }

    #[test]
    fn a_file_names_a_key_that_it_does_not_have() {
        let folder = folder();
        let path = folder.path().join("key");
        let public = path.with_extension("pub");
        let generate = |arguments: &[&str]| {
            let _ = fs::remove_file(&path);
            let mut command = std::process::Command::new("ssh-keygen");
            assert!(
                command.args(["-q", "-f"]).arg(&path).args(arguments).status().expect("ssh-keygen").success()
            );
        };
        generate(&["-t", "ed25519", "-N", ""]);
        assert!(matches!(find_key(&path), Ok(FoundKey::Private(_))));
        assert!(matches!(find_key(&public), Ok(FoundKey::Public(_))));
        generate(&["-t", "ed25519", "-N", "secret"]);
        let text = fs::read_to_string(&public).expect("read");
        let expected = Identity::from_openssh(&text).expect("a key");
        assert!(matches!(find_key(&path), Ok(FoundKey::Public(identity)) if identity == expected));
        fs::remove_file(&path).expect("removed");
        assert!(matches!(find_key(&path), Ok(FoundKey::Public(identity)) if identity == expected));
        fs::remove_file(&public).expect("removed");
        assert!(matches!(find_key(&path), Err(KeyError::File(PrivateFileError::Missing(_)))));
        generate(&["-t", "ecdsa", "-N", "secret"]);
        for path in [&path, &public] {
            assert!(matches!(find_key(path), Err(KeyError::NotEd25519 { .. })), "{path:?}");
        }
        put(&path, "nonsense");
        assert!(matches!(find_key(&path), Err(KeyError::NotAKey(_))));
    }
}
