//! What a caller and a host say to each other: a line of JSON each, see [`super`].

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    files::Paths,
    host::{restrictions::Restrictions, status::Status},
};

/// What these words are. It is another one where a word has another meaning than before.
pub(super) const PROTOCOL: u32 = 1;

/// The version of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where a host listens.
pub(super) fn socket_of(paths: &Paths) -> PathBuf {
    paths.host_control().join("host.sock")
}

/// What a caller says first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// How it is: all that the first hosts know.
    Status,
    Hello(Hello),
}

/// Which host is meant.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    config: String,
    state: String,
}

impl Hello {
    /// To the host of these folders.
    pub(super) fn to(paths: &Paths) -> Self {
        let [config, state, _] = paths.folders().map(|folder| {
            let absolute = std::path::absolute(folder);
            absolute.unwrap_or_else(|_| folder.to_owned()).to_string_lossy().into_owned()
        });
        Self { protocol: PROTOCOL, config, state }
    }

    /// Whether it is to the host of these folders, by whatever names; looks at them, so it blocks.
    pub(super) fn is_to(&self, paths: &Paths) -> bool {
        let own = Self::to(paths);
        let is_same = |one: &str, other: &str| {
            let real = |path| Path::new(path).canonicalize().ok();
            one == other || real(one).is_some_and(|one| real(other) == Some(one))
        };
        is_same(&self.config, &own.config) && is_same(&self.state, &own.state)
    }
}

/// What a caller wants.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Call {
    Ticket,
    Invite {
        /// Seconds.
        ttl: u64,
        uses: u32,
        login: Option<String>,
        options: Restrictions,
    },
    Invites,
    /// By its id.
    RevokeInvite {
        id: String,
    },
    Peers,
    /// A line of `authorized_peers`, its times with a `Z`.
    Allow {
        line: String,
        /// Whether the options go that the identity has.
        replace: bool,
    },
    /// The same, with `cert-authority`.
    AllowAuthority {
        line: String,
        replace: bool,
    },
    /// By name, fingerprint or key.
    Revoke {
        who: String,
    },
    HostKeys,
    AcceptHostKeys,
    Reload,
}

/// What a host says. There may be a secret in it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// It is the one that is meant.
    Hello {
        protocol: u32,
        version: String,
        pid: u32,
    },
    /// It is another one.
    Elsewhere,
    /// It does not understand, and is so old that it says no more.
    Declined,
    /// It does not understand.
    Unknown {
        version: String,
    },
    Status(Box<Status>),
    /// What was wanted.
    Done(Value),
    /// Why not.
    Failed(String),
}

impl Answer {
    pub(super) fn unknown() -> Self {
        Self::Unknown { version: VERSION.to_owned() }
    }

    pub(super) fn hello() -> Self {
        Self::Hello { protocol: PROTOCOL, version: VERSION.to_owned(), pid: std::process::id() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_with_something_unknown_in_it_is_not_understood() {
        let read = |text: &str| serde_json::from_str::<Call>(text).ok();
        let revoke = Call::Revoke { who: "bob".to_owned() };
        assert_eq!(read("{\"revoke\":{\"who\":\"bob\"}}"), Some(revoke));
        assert_eq!(read("\"peers\""), Some(Call::Peers));
        for text in [
            "{\"revoke\":{\"who\":\"bob\",\"only\":\"sessions\"}}",
            "{\"revoke\":{\"who\":\"bob\"},\"and\":1}",
            "{\"revoke\":{}}",
            "{\"peers\":{\"of\":\"bob\"}}",
            "\"of-the-future\"",
            // What it means is not known here.
            "{\"invite\":{\"ttl\":1,\"uses\":1,\"login\":null,\"options\":\"no-lunch\"}}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_is_meant_by_its_folders_whatever_they_are_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::create_dir(&real).expect("a folder");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        let paths = Paths::under(&real);
        for (meant, expected) in [(real.as_path(), true), (&link, true), (folder.path(), false)] {
            assert_eq!(Hello::to(&Paths::under(meant)).is_to(&paths), expected, "{}", meant.display());
        }
        // Folders that are not there are told apart by name.
        let nowhere = |name: &str| Paths::under(&folder.path().join(name));
        assert!(Hello::to(&nowhere("a")).is_to(&nowhere("a")));
        assert!(!Hello::to(&nowhere("a")).is_to(&nowhere("b")));
    }

    #[test]
    fn a_greeting_may_say_more_than_is_known() {
        let text = "{\"hello\":{\"protocol\":2,\"config\":\"/c\",\"state\":\"/s\",\"mood\":\"good\"}}";
        let Ok(Request::Hello(hello)) = serde_json::from_str(text) else { panic!("not understood") };
        assert_eq!(hello.protocol, 2);
    }
}
