//! The password of a server that serves one user: set with `irosh passwd`, kept as Argon2id.

use std::{io, path::PathBuf};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use nix::unistd::Uid;

use super::authenticator::{Authenticator, Interaction, LoginRequest};
use crate::{
    files::{PrivateFileError, read_private_file, write_file},
    questions::{BoxFuture, Questions, Secret},
};

/// A hash that no password has, in whose stead one is checked where none is set.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A file that holds the hash of one password, in the PHC format: that of the user who runs the server, and
/// of no other account. It need not be there.
#[derive(Debug, Clone, Default)]
pub struct PasswordFile(Option<PathBuf>);

/// A password could not be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetPasswordError {
    /// Too short to withstand guessing.
    #[error("the password is too short\nuse at least 8 characters")]
    Short,
    /// The hash could not be made.
    #[error("cannot hash the password: {0}")]
    Hash(String),
    /// The file could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The fewest characters of a password.
const SHORTEST: usize = 8;

impl PasswordFile {
    /// The file of this name, as [`set_password`] writes it.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(Some(path))
    }

    /// Whether this is the password. Takes as long where none is set, or the file cannot be used.
    async fn check(&self, password: &str) -> bool {
        let stored = self.0.as_ref().map(|path| read_private_file(path));
        let hash = match stored {
            Some(Ok(bytes)) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Some(Err(PrivateFileError::Missing(_))) | None => NOBODY.to_owned(),
            Some(Err(error)) => {
                tracing::error!("no password is accepted: {error}");
                NOBODY.to_owned()
            }
        };
        let password = password.to_owned();
        let checking = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash).or_else(|_| PasswordHash::new(NOBODY));
            hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        checking.await.unwrap_or(false)
    }
}

impl Authenticator for PasswordFile {
    fn password<'a>(&'a mut self, request: &'a LoginRequest, password: Secret) -> BoxFuture<'a, bool> {
        // The same work, whoever asks.
        Box::pin(async move { self.check(&password).await && request.uid == Some(Uid::effective().as_raw()) })
    }

    fn interact<'a>(
        &'a mut self,
        request: &'a LoginRequest,
        answers: Option<Vec<Secret>>,
    ) -> BoxFuture<'a, Interaction> {
        Box::pin(async move {
            // It is the same password, however it is asked for.
            if !request.config.password_authentication {
                return Interaction::Refuse;
            }
            let Some(answers) = answers else {
                let questions = vec![("Password: ".to_owned(), false)];
                return Interaction::Ask(Questions { questions, ..Questions::default() });
            };
            let password = answers.into_iter().next().unwrap_or_default();
            if self.password(request, password).await { Interaction::Accept } else { Interaction::Refuse }
        })
    }
}

/// Sets the password of the server that serves this user.
///
/// # Errors
///
/// [`SetPasswordError`]; the old one holds then.
pub fn set_password(path: &std::path::Path, password: &str) -> Result<(), SetPasswordError> {
    if password.chars().count() < SHORTEST {
        return Err(SetPasswordError::Short);
    }
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| SetPasswordError::Hash(error.to_string()))?;
    Ok(write_file(path, format!("{hash}\n").as_bytes(), 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_that_was_set_is_right_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        assert!(matches!(set_password(&path, "short"), Err(SetPasswordError::Short)));
        set_password(&path, "correct horse").expect("set");
        let file = PasswordFile::new(path.clone());
        assert!(file.check("correct horse").await);
        assert!(!file.check("wrong horse").await && !file.check("").await);
        std::fs::write(&path, "not a hash").expect("write");
        assert!(!file.check("correct horse").await);
        assert!(!PasswordFile::default().check("").await);
    }
}
