//! What a host allows.

use std::time::Duration;

use serde::Deserialize;

use super::{budget::Budget, limits::MaxStartups, newcomers::Places, peer::PeerOptions};

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
