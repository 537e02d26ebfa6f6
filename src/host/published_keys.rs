//! Keys that somebody has published on the web, such as `https://github.com/NAME.keys`.

use std::{fmt, net::IpAddr, time::Duration};

use reqwest::{Client, Proxy, Response, Url, redirect};
use russh::keys::{HashAlg, PublicKey};
use serde::{Deserialize, Serialize};

use super::peers::Identity;
use crate::{
    log::one_line,
    server::option_list::split_options_of_text,
    transport::{Authorities, BindFailed, proxy_of_environment, web_tls},
};

/// Where the keys of a name are, unless it is configured.
const GITHUB: &str = "https://github.com/%u.keys";

/// How long it may take to have them.
const PATIENCE: Duration = Duration::from_secs(15);

/// More than anybody has, in bytes.
const LONGEST: usize = 64 << 10;

/// Longer names are nobody's.
const LONGEST_NAME: usize = 64;

/// How a name is marked whose keys are to be fetched.
const MARK: &str = "github:";

/// Splits `[options] github:NAME`; `None` for any other line, also for one that has such a comment.
#[must_use]
pub fn published_name(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    match line.strip_prefix(MARK) {
        Some(name) => Some(("", name)),
        None => {
            let (options, rest) = split_options_of_text(line).ok()?;
            Some((options, rest.strip_prefix(MARK)?))
        }
    }
}

/// `keys-url` in `host.toml`: where the keys of a name are, which stands in place of `%u`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeysUrl(String);

/// What was found at such a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedKeys {
    /// The keys that can be identities, none twice.
    pub identities: Vec<Identity>,
    /// What was passed over: kinds of keys with their fingerprints, or lines that are no keys.
    pub passed_over: Vec<String>,
}

/// Keys could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Not a place for keys.
    #[error("`{0}` is no URL of keys: use https://HOST/PATH with %u in the path for the name")]
    Url(String),
    /// Not a name.
    #[error("`{0}` is no name: letters, digits, -, _ and . are")]
    Name(String),
    /// The certificates of the setting `ca`.
    #[error(transparent)]
    Authorities(#[from] BindFailed),
    /// The server was not reached, or did not answer in time.
    #[error(
        "{url} cannot be reached: {reason}\nput the keys into a file, and allow each by itself: irosh peers allow 'KEY'"
    )]
    Unreached {
        /// What was asked for.
        url: Url,
        /// What was in the way.
        reason: String,
    },
    /// The server has something else.
    #[error("{url} answers {status}\nis the name right? with keys-url in host.toml, is that?")]
    Answer {
        /// What was asked for.
        url: Url,
        /// What it says.
        status: String,
    },
    /// That is no list of keys.
    #[error("{0} sends more than {LONGEST} bytes, which is no list of keys")]
    TooLong(Url),
}

impl KeysUrl {
    /// Where the keys of a name are.
    ///
    /// # Errors
    ///
    /// [`FetchError::Name`]: what could lead anywhere else is none.
    fn of(&self, name: &str) -> Result<Url, FetchError> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(is_part);
        if !is_name || name.starts_with('.') {
            return Err(FetchError::Name(one_line(name)));
        }
        self.0.replace("%u", name).parse().map_err(|_| FetchError::Url(self.0.clone()))
    }
}

impl Default for KeysUrl {
    fn default() -> Self {
        Self(GITHUB.to_owned())
    }
}

impl fmt::Display for KeysUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeysUrl {
    type Error = FetchError;

    fn try_from(text: String) -> Result<Self, FetchError> {
        let url = text.parse::<Url>().ok();
        // Keys that anybody on the way could exchange are nobody's. A file server of this machine's is fine.
        let is_here = |url: &Url| {
            let address =
                url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
            address.is_some_and(|address| address.is_loopback())
        };
        let is_safe = |url: &Url| url.scheme() == "https" || url.scheme() == "http" && is_here(url);
        let has_place = |url: &Url| url.path().contains("%u");
        match url.filter(is_safe).is_some_and(|url| has_place(&url)) {
            true => Ok(Self(text)),
            false => Err(FetchError::Url(one_line(&text))),
        }
    }
}

impl From<KeysUrl> for String {
    fn from(url: KeysUrl) -> Self {
        url.0
    }
}

impl PublishedKeys {
    /// Reads keys, one a line, with or without comments.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match PublicKey::from_openssh(line) {
                Ok(key) => match Identity::of_key(key.key_data()) {
                    Some(identity) if read.identities.contains(&identity) => {}
                    Some(identity) => read.identities.push(identity),
                    None => {
                        let (kind, fingerprint) = (key.algorithm(), key.fingerprint(HashAlg::Sha256));
                        read.passed_over.push(format!("{kind} {fingerprint}"));
                    }
                },
                Err(_) => read.passed_over.push(format!("no key: {}", one_line(&shortened(line)))),
            }
        }
        read
    }
}

fn shortened(line: &str) -> String {
    line.chars().take(60).collect()
}

/// Has the keys that somebody has published; returns where, too.
///
/// # Errors
///
/// [`FetchError`] within 15 s.
pub async fn fetch_keys(
    place: &KeysUrl,
    name: &str,
    ca: Option<&Authorities>,
) -> Result<(Url, PublishedKeys), FetchError> {
    let url = place.of(name)?;
    let unreached = |error: reqwest::Error| FetchError::Unreached {
        url: url.clone(),
        reason: root_cause(&error.without_url()),
    };
    let builder = Client::builder()
        .tls_backend_preconfigured(web_tls(ca)?)
        .redirect(redirect::Policy::none())
        .timeout(PATIENCE);
    let builder = match proxy_of_environment(&url) {
        Some(proxy) => builder.proxy(Proxy::all(proxy).map_err(unreached)?),
        None => builder.no_proxy(),
    };
    let request = builder.build().map_err(unreached)?.get(url.clone());
    let answer = request.header("Accept", "text/plain").send().await.map_err(unreached)?;
    if !answer.status().is_success() {
        return Err(FetchError::Answer { status: answer.status().to_string(), url });
    }
    let text = body(answer).await.map_err(unreached)?.ok_or_else(|| FetchError::TooLong(url.clone()))?;
    Ok((url, PublishedKeys::parse(&text)))
}

/// What comes, unless that is too much.
async fn body(mut answer: Response) -> Result<Option<String>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await? {
        body.extend_from_slice(&part);
        if body.len() > LONGEST {
            return Ok(None);
        }
    }
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}

/// What the system, or the other side, has said.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    one_line(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_keys_and_nowhere_else() {
        let github = KeysUrl::default();
        assert_eq!(github.of("octo-cat").expect("a URL").as_str(), "https://github.com/octo-cat.keys");
        for name in ["", "a/b", "..", ".", "a?b", "a#b", "a%2fb", "é", "a b", &"x".repeat(65)] {
            assert!(matches!(github.of(name), Err(FetchError::Name(_))), "{name}");
        }
    }

    #[test]
    fn a_name_stands_where_a_key_would() {
        assert_eq!(published_name(" github:alice "), Some(("", "alice")));
        assert_eq!(
            published_name("login=\"a b\",no-pty github:alice"),
            Some(("login=\"a b\",no-pty", "alice"))
        );
        for line in ["ssh-ed25519 AAAA github:alice", "no-pty ssh-ed25519 AAAA github:alice", "alice", ""] {
            assert_eq!(published_name(line), None, "{line}");
        }
        // Which is no name.
        assert_eq!(published_name("github:alice bob"), Some(("", "alice bob")));
    }

    #[test]
    fn a_place_for_keys_is_one_that_nobody_can_forge() {
        let read = |text: &str| KeysUrl::try_from(text.to_owned()).is_ok();
        for good in ["https://git.example/%u.keys", "http://127.0.0.1:80/%u", "http://[::1]/%u"] {
            assert!(read(good), "{good}");
        }
        for bad in [
            "http://git.example/%u.keys",
            "http://127.0.0.1.example/%u",
            "https://git.example/keys",
            "https://%u.example/",
            "file:///%u",
            "%u",
        ] {
            assert!(!read(bad), "{bad}");
        }
    }

    #[test]
    fn what_can_be_no_identity_is_passed_over_and_named() {
        let identity = Identity::ed25519(*iroh::SecretKey::from_bytes(&[1; 32]).public().as_bytes());
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFHDG5/vewUbC7hZj3NTJupBGP/dcWNfCCJC+w9495XVx4o5AlOdpCam6yxlGeK8A5Pp4ZJviCgioUCdApWPOB4=";
        let key = identity.openssh();
        let read = PublishedKeys::parse(&format!("{ecdsa}\n\n# two\n{key} a\n{key} b\r\n<html>\x1b[2J\n"));
        assert_eq!(read.identities, [identity]);
        assert!(read.passed_over[0].starts_with("ecdsa-sha2-nistp256 SHA256:"), "{read:?}");
        assert_eq!(read.passed_over[1], "no key: <html>\\u{1b}[2J");
    }
}
