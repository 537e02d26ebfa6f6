//! Key files: private keys, public keys and certificates.

use std::{
    fmt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use russh::keys::{self, Certificate, HashAlg, PrivateKey, PublicKey, ssh_key::private::KeypairData};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{
    attempt::Key,
    prompt::{Answer, Prompt, Question, Topic},
    signer::{KeySigner, LocalKey, SignError},
};
use crate::{private_key, questions::BoxFuture};

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It cannot be read.
    #[error("{}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Others may read it.
    #[error("{}: others can read it (mode {mode:04o}), so it is not used\nchmod 600 {}", .path.display(), .path.display())]
    Unprotected {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no key, or of a kind that this client does not have.
    #[error("{}: {error}", .path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
}

/// Who is asked for passphrases, and how often.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) prompt: Arc<Mutex<Box<dyn Prompt>>>,
    pub(super) times: u32,
    /// Whether whoever was asked does not want to log in any more.
    pub(super) cancelled: Arc<AtomicBool>,
}

/// A private key in a file, which is read when it is needed.
struct FileKey {
    path: PathBuf,
    asking: Asking,
    loaded: Mutex<Option<Arc<PrivateKey>>>,
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileKey").field(&self.path).finish()
    }
}

/// The keys of an identity file: itself, and its certificate where there is one beside it; one that cannot
/// be read is noted. No keys when the file is not there.
///
/// # Errors
///
/// [`IdentityError`].
pub(super) fn keys_of(
    path: &Path,
    asking: &Asking,
    notes: &mut Vec<String>,
) -> Result<Vec<Key>, IdentityError> {
    let Some(public) = public_key(path)? else { return Ok(Vec::new()) };
    let signer: Arc<dyn KeySigner> =
        Arc::new(FileKey { path: path.to_owned(), asking: asking.clone(), loaded: Mutex::default() });
    let mut keys = vec![Key { public: public.clone(), certificate: None, signer: Arc::clone(&signer) }];
    match certificate(&with_suffix(path, "-cert.pub")) {
        Ok(Some(certificate)) => keys.push(Key { public, certificate: Some(certificate), signer }),
        Ok(None) => {}
        // The key is good without it.
        Err(error) => notes.push(error.to_string()),
    }
    Ok(keys)
}

/// The private key in a file.
///
/// # Errors
///
/// [`IdentityError`].
pub(super) fn private_key(path: &Path, passphrase: Option<&str>) -> Result<PrivateKey, IdentityError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| IdentityError::Read { path: path.to_owned(), error })?;
    private_key::decode(&text, passphrase).map_err(|error| not_a_key(path, error))
}

/// A certificate file; `None` when it is not there.
///
/// # Errors
///
/// [`IdentityError`].
pub(super) fn certificate(path: &Path) -> Result<Option<Certificate>, IdentityError> {
    let Some(text) = read(path)? else { return Ok(None) };
    Certificate::from_openssh(text.trim()).map(Some).map_err(|error| not_a_key(path, error))
}

/// The public key of an identity file, without its passphrase.
fn public_key(path: &Path) -> Result<Option<PublicKey>, IdentityError> {
    let private = read(path)?;
    if private.is_some() {
        check_protection(path)?;
    }
    // A public key beside it is for keys that are in the agent alone, and for old formats.
    if let Some(text) = read(&with_suffix(path, ".pub"))?
        && let Ok(key) = PublicKey::from_openssh(text.trim())
    {
        return Ok(Some(key));
    }
    let Some(text) = private else { return Ok(None) };
    if let Ok(key) = private_key::from_openssh(text.trim().as_bytes()) {
        return Ok(Some(key.public_key().clone()));
    }
    if let Ok(key) = PublicKey::from_openssh(text.trim()) {
        return Ok(Some(key));
    }
    match private_key::decode(&text, None) {
        Ok(key) => Ok(Some(key.public_key().clone())),
        Err(keys::Error::KeyIsEncrypted) => {
            let name = with_suffix(path, ".pub");
            Err(not_a_key(
                path,
                format!("an encrypted key of an old format needs {} beside it", name.display()),
            ))
        }
        Err(error) => Err(not_a_key(path, error)),
    }
}

fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(not_a_key(path, "it is no text")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(IdentityError::Read { path: path.to_owned(), error }),
    }
}

fn check_protection(path: &Path) -> Result<(), IdentityError> {
    let read = |error| IdentityError::Read { path: path.to_owned(), error };
    let found = std::fs::metadata(path).map_err(read)?;
    let mode = found.mode() & 0o777;
    // ssh looks at files of its own user only.
    if found.uid() == rustix::process::getuid().as_raw() && mode & 0o077 != 0 && !is_public(path) {
        return Err(IdentityError::Unprotected { path: path.to_owned(), mode });
    }
    Ok(())
}

/// IdentityFile may name a public key, whose private half the agent has.
fn is_public(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| PublicKey::from_openssh(text.trim()).is_ok())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn not_a_key(path: &Path, error: impl fmt::Display) -> IdentityError {
    IdentityError::NotAKey { path: path.to_owned(), error: error.to_string() }
}

impl FileKey {
    fn text(&self) -> std::io::Result<Zeroizing<String>> {
        std::fs::read_to_string(&self.path).map(Zeroizing::new)
    }

    /// Reads the key, asking for its passphrase if it has one.
    async fn load(&self) -> Result<Arc<PrivateKey>, SignError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(key) = &*loaded {
            return Ok(Arc::clone(key));
        }
        let name = self.path.display();
        let text = self.text().map_err(|error| SignError(format!("{name}: {error}")))?;
        let key = match private_key::decode(&text, None) {
            Ok(key) => key,
            Err(keys::Error::KeyIsEncrypted) => self.unlock(&text).await?,
            Err(error) => return Err(SignError(format!("{name}: {error}"))),
        };
        let key = Arc::new(key);
        *loaded = Some(Arc::clone(&key));
        Ok(key)
    }

    async fn unlock(&self, text: &str) -> Result<PrivateKey, SignError> {
        let name = self.path.display().to_string();
        let mut prompt = self.asking.prompt.lock().await;
        if !prompt.can_answer() {
            return Err(SignError(format!(
                "{name} is encrypted, and nobody can be asked for its passphrase"
            )));
        }
        let mut why = String::new();
        for _ in 0..self.asking.times {
            let text_of_question = format!("Enter passphrase for key '{name}': ");
            let question =
                Question { topic: Topic::Passphrase(&self.path), text: &text_of_question, echo: false };
            let passphrase = match prompt.ask(question).await {
                Answer::Given(passphrase) => passphrase,
                Answer::None => break,
                Answer::Cancelled => {
                    self.asking.cancelled.store(true, Ordering::Relaxed);
                    break;
                }
            };
            // As ssh does: an empty passphrase is for somebody who has none.
            if passphrase.is_empty() {
                break;
            }
            match private_key::decode(text, Some(&passphrase)) {
                Ok(key) => return Ok(key),
                Err(error) => why = format!(" ({error})"),
            }
        }
        Err(SignError(format!("{name} is encrypted, and no passphrase fits{why}")))
    }
}

impl KeySigner for FileKey {
    fn sign<'a>(
        &'a self,
        data: &'a [u8],
        hash: Option<HashAlg>,
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(async move { LocalKey::sign_now(self.load().await?.as_ref(), data, hash) })
    }

    fn signs_at_once(&self) -> bool {
        let Ok(mut loaded) = self.loaded.try_lock() else { return false };
        if loaded.is_none() {
            *loaded = self.text().ok().and_then(|text| private_key::decode(&text, None).ok()).map(Arc::new);
        }
        // One that stands for a security key signs nothing here.
        let on_token = |data: &KeypairData| {
            matches!(data, KeypairData::SkEcdsaSha2NistP256(_) | KeypairData::SkEd25519(_))
        };
        loaded.as_ref().is_some_and(|key| !on_token(key.key_data()))
    }
}
