//! `~` in paths, with servers that understand it and those that do not.

use super::{error::SftpError, path::RemotePath, session::Sftp};

impl Sftp {
    /// Replaces a leading `~` or `~user` by that home. What follows need not exist, and other paths stay
    /// as they are. Cancel safe.
    ///
    /// Where the server cannot say where homes are, `~` is the folder that a session starts in.
    ///
    /// # Errors
    /// [`SftpError`]: there is no such user, or the server cannot tell.
    pub async fn expand_tilde(&self, path: impl RemotePath) -> Result<Vec<u8>, SftpError> {
        let path = path.as_remote();
        if path.first() != Some(&b'~') {
            return Ok(path.to_vec());
        }
        let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
        let (tilde, rest) = path.split_at(end);
        let mut home = self.home_of(tilde).await?;
        if home.ends_with(b"/") && rest.starts_with(b"/") {
            home.pop();
        }
        home.extend_from_slice(rest);
        Ok(home)
    }

    /// The home that `~` or `~user` stands for.
    async fn home_of(&self, tilde: &[u8]) -> Result<Vec<u8>, SftpError> {
        match self.expand_path(tilde).await {
            Err(SftpError::Unsupported { .. }) => {}
            other => return other,
        }
        match self.home_directory(&tilde[1..]).await {
            Err(SftpError::Unsupported { .. }) if tilde == b"~" => self.realpath(".").await,
            other => other,
        }
    }
}
