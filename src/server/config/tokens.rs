//! Tokens: `%u`, `%h` and the others of sshd_config(5), TOKENS.

/// A text has a `%` that stands for nothing where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing follows the `%`.
    #[error("`{0}` ends in a single %: write %% for one")]
    Single(String),
    /// No such token here.
    #[error("`{text}` has the token %{token}, which is not known here")]
    Unknown {
        /// The whole text.
        text: String,
        /// What follows the `%`.
        token: char,
    },
}

/// What the tokens stand for at a login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<(char, String)>);

/// The certificate of [`Tokens::with_certificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateTokens<'a> {
    /// `%i`.
    pub key_id: &'a str,
    /// `%s`.
    pub serial: u64,
    /// `%T`: the type of its authority's key.
    pub ca_type: &'a str,
    /// `%F`: the fingerprint of that key, `SHA256:...`.
    pub ca_fingerprint: &'a str,
    /// `%K`: that key in base64.
    pub ca_key: &'a str,
}

impl Tokens {
    /// `%u`, `%h`, `%U`: all that AuthorizedKeysFile, AuthorizedPrincipalsFile and ChrootDirectory take.
    #[must_use]
    pub fn of_user(name: &str, home: &str, uid: u32) -> Self {
        Self(vec![('u', name.to_owned()), ('h', home.to_owned()), ('U', uid.to_string())])
    }

    /// `%u`, `%d` (the home), `%U`: what `-d` of sftp-server(8) takes.
    #[must_use]
    pub fn of_sftp(name: &str, home: &str, uid: u32) -> Self {
        Self(vec![('u', name.to_owned()), ('d', home.to_owned()), ('U', uid.to_string())])
    }

    /// Adds `%t`, `%f`, `%k` for AuthorizedKeysCommand: type, fingerprint `SHA256:...` and base64 of the
    /// key or certificate that is offered.
    #[must_use]
    pub fn with_key(mut self, key_type: &str, fingerprint: &str, base64: &str) -> Self {
        let values = [('t', key_type), ('f', fingerprint), ('k', base64)];
        self.0.extend(values.map(|(token, value)| (token, value.to_owned())));
        self
    }

    /// Adds what AuthorizedPrincipalsCommand takes besides.
    #[must_use]
    pub fn with_certificate(mut self, certificate: CertificateTokens<'_>) -> Self {
        let CertificateTokens { key_id, serial, ca_type, ca_fingerprint, ca_key } = certificate;
        let serial = serial.to_string();
        let values = [('i', key_id), ('s', &serial), ('T', ca_type), ('F', ca_fingerprint), ('K', ca_key)];
        self.0.extend(values.map(|(token, value)| (token, value.to_owned())));
        self
    }

    /// Puts the values in their places; `%%` is a `%`.
    ///
    /// # Errors
    ///
    /// [`TokenError`] for a token that is not among these.
    pub fn expand(&self, text: &str) -> Result<String, TokenError> {
        let mut expanded = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                expanded.push(c);
                continue;
            }
            match chars.next() {
                None => return Err(TokenError::Single(text.to_owned())),
                Some('%') => expanded.push('%'),
                Some(token) => {
                    let found = self.0.iter().find(|(known, _)| *known == token);
                    let unknown = || TokenError::Unknown { text: text.to_owned(), token };
                    expanded.push_str(&found.ok_or_else(unknown)?.1);
                }
            }
        }
        Ok(expanded)
    }

    /// The same for a path, which is under the home directory if it is relative (OpenSSH's
    /// `expand_authorized_keys`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn expand_path(&self, text: &str) -> Result<String, TokenError> {
        let path = self.expand(text)?;
        let home = self.0.iter().find(|(token, _)| *token == 'h');
        Ok(match home {
            Some((_, home)) if !path.starts_with('/') => format!("{home}/{path}"),
            _ => path,
        })
    }

    /// Checks a text whose tokens are expanded later.
    pub(super) fn check(text: &str, known: &str) -> Result<(), TokenError> {
        Self(known.chars().map(|token| (token, String::new())).collect()).expand(text).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user() -> Tokens {
        Tokens::of_user("bob", "/home/bob", 1000)
    }

    #[test]
    fn tokens_are_expanded() {
        for (text, expanded) in [
            ("/etc/keys/%u", "/etc/keys/bob"),
            ("%h/.ssh/%U%%", "/home/bob/.ssh/1000%"),
            ("%%u", "%u"),
            ("none", "none"),
        ] {
            assert_eq!(user().expand(text).as_deref(), Ok(expanded));
        }
    }

    #[test]
    fn a_relative_path_is_under_the_home_directory() {
        assert_eq!(user().expand_path(".ssh/%u").as_deref(), Ok("/home/bob/.ssh/bob"));
        assert_eq!(user().expand_path("%h/x").as_deref(), Ok("/home/bob/x"));
    }

    #[test]
    fn an_unknown_token_is_an_error() {
        assert!(matches!(user().expand("%k"), Err(TokenError::Unknown { token: 'k', .. })));
        assert!(matches!(user().expand("a%"), Err(TokenError::Single(_))));
    }

    #[test]
    fn commands_know_the_key_and_the_certificate() {
        let certificate = CertificateTokens {
            key_id: "Joanne User",
            serial: 7,
            ca_type: "ssh-ed25519",
            ca_fingerprint: "SHA256:x",
            ca_key: "CCCC",
        };
        let tokens = user().with_key("ssh-rsa-cert-v01@openssh.com", "SHA256:y", "BBBB");
        let tokens = tokens.with_certificate(certificate);
        assert_eq!(
            tokens.expand("%u %t %T %i %s %F %f %k %K").as_deref(),
            Ok("bob ssh-rsa-cert-v01@openssh.com ssh-ed25519 Joanne User 7 SHA256:x SHA256:y BBBB CCCC")
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_doubled_percents_come_out_single(text in ".{0,30}") {
            let _ = user().expand_path(&text);
            prop_assert_eq!(user().expand(&text.replace('%', "%%")), Ok(text));
        }
    }
}
