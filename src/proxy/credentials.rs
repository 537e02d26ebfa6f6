//! Who a client is to hosts, by what it proves that, and the certificate that it shows.

use std::path::{Path, PathBuf};

use iroh::SecretKey;
use jiff::Timestamp;
use russh::keys::Certificate;
use tokio::sync::OwnedMutexGuard;

use super::ssh_agent::{CannotProve, Signed, SshAgent};
use crate::{
    files::{Paths, home, read_file},
    log::who,
    protocol::{EXPORTER_LENGTH, Manner, proof_message},
    transport::{FoundKey, Identity, KeyError, KeyFile, find_key},
};

/// A client's identity, and what signs for it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Credentials {
    identity: Identity,
    signer: Signer,
    certificate: Shown,
}

#[derive(Debug, Clone)]
enum Signer {
    /// A key in memory, and the file that it is from.
    Key(Box<SecretKey>, Option<PathBuf>),
    /// An ssh-agent, which may ask somebody.
    Agent(SshAgent),
}

/// The certificate that is shown.
#[derive(Debug, Clone)]
enum Shown {
    None,
    /// What is in this file, each time anew: it is replaced before it expires.
    File(PathBuf),
    /// This one, as a line of a file.
    This(String),
}

/// What is said to a host of an identity.
pub(crate) struct Proof {
    pub(crate) signature: [u8; 64],
    pub(crate) manner: Manner,
    pub(super) certificate: Option<Vec<u8>>,
    /// Held until nobody needs another proof of this identity.
    pub(super) turn: Option<OwnedMutexGuard<()>>,
}

impl Credentials {
    /// Those of a user: by the file that the setting `identity` names, or else by the identity among these files, which
    /// is made where there is none.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn load(paths: &Paths, setting: Option<&Path>) -> Result<Self, KeyError> {
        match setting {
            Some(file) => Self::of_file(&named(paths, file)),
            None => Ok(Self::from(&KeyFile::load_or_create(&paths.identity(), &who())?)),
        }
    }

    /// Those of a file with a private key; or with a public one, whose private half an ssh-agent has, as ssh's
    /// IdentityFile does it. So has it that of a key under a passphrase, and of one on a FIDO key.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn of_file(file: &Path) -> Result<Self, KeyError> {
        Ok(match find_key(file)? {
            FoundKey::Private(key) => Self::from(&key),
            FoundKey::Public(identity) => {
                let signer = Signer::Agent(SshAgent::new(file, agent_of_environment()));
                Self { identity, signer, certificate: Shown::File(certificate_file(file)) }
            }
        })
    }

    /// Those of a key that an ssh-agent has, with the certificate that is beside `file`, as a line.
    pub(crate) fn held(
        identity: Identity,
        file: &Path,
        socket: Option<PathBuf>,
        certificate: Option<String>,
    ) -> Self {
        let certificate = certificate.map_or(Shown::None, Shown::This);
        Self { identity, signer: Signer::Agent(SshAgent::new(file, socket)), certificate }
    }

    /// Who.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether somebody may be asked each time that it is proved, to confirm it or to touch a key.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        matches!(self.signer, Signer::Agent(_))
    }

    /// Asks the agent that newer credentials of the same identity know of, from now on.
    pub(crate) fn renew(&self, newer: &Self) {
        if let (Signer::Agent(agent), Signer::Agent(newer)) = (&self.signer, &newer.signer) {
            agent.renew(newer);
        }
    }

    /// The certificate that is shown by now, where that is known before a proof is made; for this identity.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        let text = match &self.certificate {
            Shown::None => return None,
            Shown::This(text) => text.clone(),
            Shown::File(file) => match read_file(file) {
                Ok(text) => String::from_utf8(text?).ok()?,
                Err(error) => {
                    tracing::warn!("the certificate is not shown: {}: {error}", file.display());
                    return None;
                }
            },
        };
        let certificate = Certificate::from_openssh(text.trim());
        let certificate =
            certificate.inspect_err(|error| tracing::warn!("the certificate is not shown: {error}"));
        let certificate = certificate.ok()?;
        if Identity::of_key(certificate.public_key()) != Some(self.identity) {
            tracing::warn!("the certificate is not shown: it is not for {}", self.identity);
            return None;
        }
        Some(certificate)
    }

    /// Where its public half is known from, and who signs.
    #[must_use]
    pub fn source(&self) -> String {
        match &self.signer {
            Signer::Key(_, Some(file)) => format!("{} in {}", self.identity, file.display()),
            Signer::Key(_, None) => self.identity.to_string(),
            Signer::Agent(agent) => format!("{} in {agent}", self.identity),
        }
    }

    /// Whether a proof could be made, as far as that can be known without asking anybody to confirm it.
    ///
    /// # Errors
    ///
    /// [`CannotProve`].
    pub async fn check(&self) -> Result<(), CannotProve> {
        match &self.signer {
            Signer::Key(..) => Ok(()),
            Signer::Agent(agent) => agent.check(&self.identity).await,
        }
    }

    /// Proves the identity on the connection that has given this keying material. May take as long as somebody takes to
    /// confirm it.
    pub(crate) async fn prove(&self, exported: &[u8; EXPORTER_LENGTH]) -> Result<Proof, CannotProve> {
        let certificate = self.certificate();
        let (signature, manner, held, turn) = match &self.signer {
            Signer::Key(key, _) => {
                let signature = key.sign(&proof_message(exported)).to_bytes();
                (signature, Manner::default(), Vec::new(), None)
            }
            Signer::Agent(agent) => {
                let Signed { signature, manner, certificates, turn } =
                    agent.sign(&self.identity, exported).await?;
                (signature, manner, certificates, Some(turn))
            }
        };
        let certificate = best(certificate, held).and_then(|certificate| certificate.to_bytes().ok());
        Ok(Proof { signature, manner, certificate, turn })
    }
}

/// Without a certificate.
impl From<SecretKey> for Credentials {
    fn from(key: SecretKey) -> Self {
        let identity = Identity::ed25519(*key.public().as_bytes());
        Self { identity, signer: Signer::Key(Box::new(key), None), certificate: Shown::None }
    }
}

/// With the certificate that is beside the file (`identity-cert.pub`), if there is one.
impl From<&KeyFile> for Credentials {
    fn from(key: &KeyFile) -> Self {
        let (file, secret) = (key.path(), key.secret().clone());
        let certificate = Shown::File(certificate_file(file));
        let identity = Identity::ed25519(*secret.public().as_bytes());
        Self { identity, signer: Signer::Key(Box::new(secret), Some(file.to_owned())), certificate }
    }
}

/// The file that a setting names: in the home directory, or beside the settings, unless it says where.
pub(crate) fn named(paths: &Paths, setting: &Path) -> PathBuf {
    match (setting.strip_prefix("~"), home()) {
        (Ok(inside), Some(home)) => home.join(inside),
        _ => paths.client_settings().with_file_name(setting),
    }
}

/// As ssh-keygen and ssh call it: `KEY-cert.pub` beside `KEY` and `KEY.pub`.
pub(crate) fn certificate_file(key: &Path) -> PathBuf {
    let mut name = match key.extension() {
        Some(extension) if extension == "pub" => key.with_extension("").into_os_string(),
        _ => key.as_os_str().to_owned(),
    };
    name.push("-cert.pub");
    name.into()
}

/// Where the ssh-agent of this process's environment is.
pub(crate) fn agent_of_environment() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// That which is beside the key, or else, of those that an agent holds, the one that is valid for longest; one that is not
/// valid, where none is.
fn best(beside: Option<Certificate>, held: Vec<Certificate>) -> Option<Certificate> {
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    let rank = |(certificate, is_beside): &(Certificate, bool)| {
        let is_valid = (certificate.valid_after()..certificate.valid_before()).contains(&now);
        (is_valid, *is_beside, certificate.valid_before())
    };
    let held = held.into_iter().map(|certificate| (certificate, false));
    let all = beside.into_iter().map(|certificate| (certificate, true)).chain(held);
    all.max_by_key(rank).map(|(certificate, _)| certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_beside_its_key() {
        for (key, certificate) in [
            ("/a/identity", "/a/identity-cert.pub"),
            ("/a/id_ed25519.pub", "/a/id_ed25519-cert.pub"),
            ("/a/key.old", "/a/key.old-cert.pub"),
        ] {
            assert_eq!(certificate_file(Path::new(key)), Path::new(certificate));
        }
    }

    #[test]
    fn a_setting_names_a_file_of_the_user() {
        let paths = Paths::under(Path::new("/home/irosh"));
        assert_eq!(named(&paths, Path::new("/k.pub")), Path::new("/k.pub"));
        assert_eq!(named(&paths, Path::new("work/k")), Path::new("/home/irosh/work/k"));
        let home = home().expect("a home");
        assert_eq!(named(&paths, Path::new("~/.ssh/k")), home.join(".ssh/k"));
    }

    #[test]
    fn a_certificate_is_read_each_time_and_shown_for_its_own_key_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let keygen = |arguments: &[&str]| {
            let mut command = std::process::Command::new("ssh-keygen");
            let done = command.current_dir(folder.path()).arg("-q").args(arguments).output();
            assert!(done.as_ref().is_ok_and(|done| done.status.success()), "{done:?}");
        };
        for key in ["ca", "identity", "other"] {
            keygen(&["-t", "ed25519", "-N", "", "-f", key]);
        }
        let credentials = Credentials::from(&KeyFile::load(&path("identity")).expect("a key"));
        assert_eq!(credentials.certificate(), None);
        let sign = |key: &str| keygen(&["-s", "ca", "-I", "me", "-n", "alice", key]);
        sign("identity.pub");
        assert_eq!(credentials.certificate().expect("a certificate").key_id(), "me");
        sign("other.pub");
        std::fs::rename(path("other-cert.pub"), path("identity-cert.pub")).expect("renamed");
        assert_eq!(credentials.certificate(), None);
        std::fs::write(path("identity-cert.pub"), "nonsense").expect("written");
        assert_eq!(credentials.certificate(), None);
    }
    #[test]
    fn a_certificate_that_has_expired_gives_way_to_one_that_has_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let keygen = |arguments: &[&str]| {
            let mut command = std::process::Command::new("ssh-keygen");
            let done = command.current_dir(folder.path()).arg("-q").args(arguments).output();
            assert!(done.as_ref().is_ok_and(|done| done.status.success()), "{done:?}");
        };
        for key in ["ca", "identity"] {
            keygen(&["-t", "ed25519", "-N", "", "-f", key]);
        }
        let certificate = |name: &str, validity: &str| {
            keygen(&["-s", "ca", "-I", name, "-n", "alice", "-V", validity, "identity.pub"]);
            let text = std::fs::read_to_string(folder.path().join("identity-cert.pub")).expect("a file");
            Certificate::from_openssh(text.trim()).expect("a certificate")
        };
        let (expired, short) = (certificate("expired", "-2d:-1d"), certificate("short", "-1d:+1d"));
        let long = certificate("long", "-1d:+2d");
        let shown = |beside: Option<&Certificate>, held: &[&Certificate]| {
            let held = held.iter().copied().cloned().collect();
            best(beside.cloned(), held).map(|best| best.key_id().to_owned())
        };
        assert_eq!(shown(Some(&expired), &[&short, &long]).as_deref(), Some("long"));
        assert_eq!(shown(Some(&short), &[&long]).as_deref(), Some("short"));
        assert_eq!(shown(Some(&expired), &[]).as_deref(), Some("expired"));
        assert_eq!(shown(None, &[&expired, &short]).as_deref(), Some("short"));
        assert_eq!(shown(None, &[]), None);
    }
}
