//! `host.toml`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    budget::Budget, choice::BackendChoice, limits::MaxStartups, newcomers::Places, peers::PeerOptions,
    published_keys::KeysUrl,
};
use crate::{
    files::read_trusted_file,
    server::config::SshdConfig,
    transport::{Authorities, Bind, NameService, Relay, RelayToken},
};

/// Who reaches SSH.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Identities in `authorized_peers`, and those that present a live invite.
    #[default]
    Invited,
    /// Any identity; SSH's own authentication still stands.
    Open,
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Invited => "invited",
            Self::Open => "open",
        })
    }
}

impl std::str::FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "invited" => Ok(Self::Invited),
            "open" => Ok(Self::Open),
            other => Err(format!("`{other}` is not an access: use invited or open")),
        }
    }
}

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
            sshd,
            limits: _,
        } = self;
        let startups = |sshd: &SshdConfig| sshd.server().max_startups;
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
            ("sshd.MaxStartups", startups(sshd) != startups(&there.sshd)),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// The table `[limits]` of a settings file, with sshd's names where sshd has the like.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitSettings {
    /// Connections on their way in, with early drop.
    pub max_startups: MaxStartups,
    /// How many of them may come from one IPv4 address or one IPv6 network of 64 bits.
    pub per_source_max_startups: u32,
    /// Seconds for a connection to say who it is, and for a leg to say what it wants.
    pub login_grace_time: u64,
    /// MiB that peers may have sent and nobody has read yet, all connections together.
    pub max_unread: u32,
    /// Connections of one identity at once; twice as many where processes come again that have lost one.
    pub max_connections: u32,
    /// Sessions on one connection at once.
    pub max_sessions: u32,
    /// Sessions of one identity at once.
    pub max_sessions_per_peer: u32,
    /// Connections of all who are on no list, where everybody may come in; each may hold 4 MiB.
    pub max_strangers: u32,
    /// Seconds for which a session waits for a client that was lost; 0 for not at all.
    pub resume_time: u64,
    /// Sessions that may wait so, of one identity.
    pub max_detached_per_peer: u32,
    /// The same of all.
    pub max_detached: u32,
    /// Seconds for sessions to end after SIGTERM.
    pub drain_time: u64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_startups: MaxStartups::default(),
            per_source_max_startups: 64,
            login_grace_time: 10,
            max_unread: 512,
            max_connections: 128,
            max_sessions: 64,
            max_sessions_per_peer: 2048,
            max_strangers: 64,
            resume_time: 24 * 60 * 60,
            max_detached_per_peer: 256,
            max_detached: 1024,
            drain_time: 10,
        }
    }
}

impl LimitSettings {
    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(self.login_grace_time.max(1))
    }

    pub(super) fn places(&self) -> Places {
        Places { in_all: self.max_startups, per_source: self.per_source_max_startups }
    }

    pub(super) fn budget(&self) -> Budget {
        Budget::of_mib(self.max_unread)
    }

    /// For how long a session of somebody with these options waits for its client.
    pub(super) fn resume(&self, options: &PeerOptions) -> Duration {
        Duration::from_secs(if options.no_resume { 0 } else { self.resume_time })
    }

    /// Bytes of a session that either side may have sent and the other not delivered, where so many run.
    pub(super) fn session_window(&self, sessions: usize) -> u32 {
        self.budget().session_window(sessions)
    }

    /// The keys whose values are others here than there.
    pub(super) fn differing(&self, there: &Self) -> impl Iterator<Item = &'static str> {
        let Self {
            max_startups,
            per_source_max_startups,
            login_grace_time,
            max_unread,
            max_connections,
            max_sessions,
            max_sessions_per_peer,
            max_strangers,
            resume_time,
            max_detached_per_peer,
            max_detached,
            drain_time,
        } = self;
        let keys = [
            ("max-startups", *max_startups != there.max_startups),
            ("per-source-max-startups", *per_source_max_startups != there.per_source_max_startups),
            ("login-grace-time", *login_grace_time != there.login_grace_time),
            ("max-unread", *max_unread != there.max_unread),
            ("max-connections", *max_connections != there.max_connections),
            ("max-sessions", *max_sessions != there.max_sessions),
            ("max-sessions-per-peer", *max_sessions_per_peer != there.max_sessions_per_peer),
            ("max-strangers", *max_strangers != there.max_strangers),
            ("resume-time", *resume_time != there.resume_time),
            ("max-detached-per-peer", *max_detached_per_peer != there.max_detached_per_peer),
            ("max-detached", *max_detached != there.max_detached),
            ("drain-time", *drain_time != there.drain_time),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key)
    }

    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_time)
    }
}

/// A settings file could not be used.
#[derive(Debug, thiserror::Error)]
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
