//! `host.toml`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{
    access::Access, choice::BackendChoice, limit_settings::LimitSettings, limits::MaxStartups,
    published_keys::KeysUrl,
};
use crate::{
    files::read_trusted_file,
    server::config::SshdConfig,
    transport::{Authorities, Bind, NameService, Relay, RelayToken},
};

/// A host's settings file; every key is optional, and an unknown one is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostSettings {
    /// Relay servers.
    pub relay: Option<Relay>,
    /// Name service.
    pub dns: Option<NameService>,
    /// Addresses to bind.
    pub bind: Option<Bind>,
    /// Whether routers are asked to let peers in, where that is not to follow from `bind`.
    pub portmap: Option<bool>,
    /// Who may vouch for relays and the name service besides the usual.
    pub ca: Option<Authorities>,
    /// What relays are shown that want a token.
    pub relay_token: Option<RelayToken>,
    /// Whether clients on this network are told where the host is, without a server.
    pub lan: Option<bool>,
    /// Where sessions go.
    #[serde(default, deserialize_with = "backend")]
    pub backend: Option<BackendChoice>,
    /// The SSH host keys of the backend: lines of public key files, or paths of such files.
    #[serde(default)]
    pub host_keys: Vec<String>,
    /// Who reaches SSH.
    pub access: Option<Access>,
    /// The list of keys and certificates that are kept out, beside this file unless it is an absolute path.
    pub revoked_keys: Option<PathBuf>,
    /// Where `irosh peers allow github:NAME` finds the keys of a name.
    pub keys_url: Option<KeysUrl>,
    /// The name that peers are told; the machine's when absent.
    pub name: Option<String>,
    /// The built-in SSH server: the table `[sshd]`, with sshd_config's keywords.
    #[serde(default)]
    pub sshd: SshdConfig,
    /// What the host allows: the table `[limits]`.
    #[serde(default)]
    pub limits: LimitSettings,
}

impl HostSettings {
    /// The keys of those that are taken into use by a start alone, and whose values are others here than there.
    #[must_use]
    pub fn differing(&self, there: &Self) -> Vec<&'static str> {
        let Self {
            relay,
            dns,
            bind,
            portmap,
            lan,
            ca,
            relay_token,
            backend,
            host_keys,
            access: _,
            revoked_keys: _,
            keys_url: _,
            name,
            sshd: _,
            limits: _,
        } = self;
        let keys = [
            ("relay", *relay != there.relay),
            ("dns", *dns != there.dns),
            ("bind", *bind != there.bind),
            ("portmap", *portmap != there.portmap),
            ("lan", *lan != there.lan),
            ("ca", *ca != there.ca),
            ("relay-token", *relay_token != there.relay_token),
            ("backend", *backend != there.backend),
            ("host-keys", *host_keys != there.host_keys),
            ("name", *name != there.name),
            // The built-in server of each session reads the rest.
            ("sshd.MaxStartups", self.max_startups() != there.max_startups()),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// How many logins may be under way at the built-in server.
    #[must_use]
    pub fn max_startups(&self) -> MaxStartups {
        let configured = self.sshd.server().max_startups;
        MaxStartups { start: configured.start, rate: configured.rate, full: configured.full }
    }
}

/// A settings file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It could not be read, or others can write it.
    #[error("cannot read {0}: {1}")]
    Io(std::path::PathBuf, std::io::Error),
    /// It is not right; the message names line and key.
    #[error("{0}: {1}")]
    Wrong(std::path::PathBuf, String),
}

/// Reads a settings file of any kind; one that is not there has no settings in it.
///
/// # Errors
///
/// [`SettingsError`] with the file's name, and the line and key that are wrong.
pub fn load_settings<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, SettingsError> {
    match read_trusted_file(path) {
        Ok(Some(text)) => toml::from_str(&text)
            .map_err(|error| SettingsError::Wrong(path.to_owned(), error.to_string().trim().to_owned())),
        Ok(None) => Ok(T::default()),
        Err(error) => Err(SettingsError::Io(path.to_owned(), error)),
    }
}

fn backend<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BackendChoice>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<HostSettings, SettingsError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("write");
        load_settings(file.path())
    }

    #[test]
    fn every_key_is_read() {
        let settings = load(
            "relay = \"none\"\ndns = \"none\"\nportmap = true\nlan = false\nbind = \"127.0.0.1:0\"\nbackend = \"tcp:127.0.0.1:2222\"\n\
             access = \"open\"\nrevoked-keys = \"revoked\"\nkeys-url = \"https://git.example/%u.keys\"\nname = \"box\"\nhost-keys = [\"/etc/ssh/k.pub\"]\n[limits]\nmax-startups = \"1:2:3\"\nper-source-max-startups = 2\nlogin-grace-time = 5\nmax-unread = 4\nmax-connections = 6\n\
             max-sessions = 7\nmax-sessions-per-peer = 8\ndrain-time = 9\n",
        )
        .expect("settings");
        assert_eq!((settings.relay, settings.lan), (Some(Relay::None), Some(false)));
        assert_eq!(settings.limits.max_startups.to_string(), "1:2:3");
        assert_eq!(settings.limits.drain_time, 9);
        assert_eq!(settings.host_keys, ["/etc/ssh/k.pub"]);
        assert_eq!(settings.revoked_keys.as_deref(), Some(Path::new("revoked")));
        assert!(settings.keys_url.is_some());
    }

    #[test]
    fn a_missing_file_has_no_settings() {
        let settings: HostSettings = load_settings(Path::new("/nonexistent/host.toml")).expect("none");
        assert_eq!(settings, HostSettings::default());
    }

    #[test]
    fn what_differs_is_named_as_in_the_file() {
        let before =
            load("relay = \"none\"\naccess = \"open\"\n[limits]\nmax-sessions = 7\n").expect("settings");
        let after =
            load("dns = \"none\"\n[sshd]\nBanner = \"/x\"\n[limits]\nmax-sessions = 7\ndrain-time = 1\n");
        let after = after.expect("settings");
        assert_eq!(after.differing(&before), ["relay", "dns"]);
        assert_eq!(after.limits.differing(&before.limits).collect::<Vec<_>>(), ["drain-time"]);
        let startups = load("[sshd]\nMaxStartups = \"1:2:3\"\n").expect("settings");
        assert_eq!(startups.differing(&HostSettings::default()), ["sshd.MaxStartups"]);
    }

    #[test]
    fn wrong_settings_name_the_key() {
        for (text, part) in [
            ("relya = 1", "relya"),
            ("access = \"all\"", "access"),
            ("backend = \"x\"", "tcp:ADDRESS:PORT"),
            ("keys-url = \"https://git.example/keys\"", "%u"),
            ("[limits]\nmax-foo = 1", "max-foo"),
            ("[limits]\nmax-startups = \"1\"", "START:RATE:FULL"),
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
