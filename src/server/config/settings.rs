//! All that can be configured, and the defaults.

use std::time::Duration;

use super::{
    algorithms::AlgorithmList,
    value::{
        ChannelTimeout, Forwarding, GatewayPorts, MaxStartups, MethodStep, Permitted, PubkeyAuthOptions,
        RootLogin, Subsystem, TunnelMode, UserEnvironment,
    },
};
use crate::server::{log_level::LogLevel, pattern::UserPattern};

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr;)*) => {
        /// What a file, a `Match` block or the command line says; `None` where it says nothing.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Settings { $($(#[$doc])* pub $name: Option<$type>,)* }

        /// The configuration of a server, or of one connection. Each field is the keyword of the same
        /// name of sshd_config(5).
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config { $($(#[$doc])* pub $name: $type,)* }

        impl Settings {
            /// These, and where they say nothing, those.
            #[must_use]
            pub fn over(self, base: Self) -> Self {
                Self { $($name: self.$name.or(base.$name),)* }
            }

            /// These, and where they say nothing, the defaults.
            #[must_use]
            pub fn complete(self) -> Config {
                Config { $($name: self.$name.unwrap_or_else(|| $default),)* }
            }
        }
    };
}

settings! {
    /// Patterns of variables that a client may set.
    accept_env: Vec<String> = vec!["LANG".to_owned(), "LC_*".to_owned()];
    /// Whether the client's agent may be used here.
    allow_agent_forwarding: bool = true;
    /// Patterns of groups; not empty: nobody else.
    allow_groups: Vec<String> = Vec::new();
    /// Unix-socket forwards.
    allow_stream_local_forwarding: Forwarding = Forwarding::Yes;
    /// TCP forwards.
    allow_tcp_forwarding: Forwarding = Forwarding::Yes;
    /// Patterns of users; not empty: nobody else.
    allow_users: Vec<UserPattern> = Vec::new();
    /// Lists of steps of which one must be gone through whole; empty: any one method.
    authentication_methods: Vec<Vec<MethodStep>> = Vec::new();
    /// A command that prints authorized keys: an absolute path and arguments, with tokens, not yet split.
    authorized_keys_command: Option<String> = None;
    /// The user who runs it; with the token %u.
    authorized_keys_command_user: Option<String> = None;
    /// Files of keys, with tokens; relative ones are in the home directory. Empty: none.
    authorized_keys_file: Vec<String> =
        vec![".ssh/authorized_keys".to_owned(), ".ssh/authorized_keys2".to_owned()];
    /// A command that prints principals: an absolute path and arguments, with tokens, not yet split.
    authorized_principals_command: Option<String> = None;
    /// The user who runs it; with the token %u.
    authorized_principals_command_user: Option<String> = None;
    /// A file of principals, with tokens; a relative one is in the home directory.
    authorized_principals_file: Option<String> = None;
    /// A file that is shown before authentication.
    banner: Option<String> = None;
    /// How authorities may have signed certificates.
    ca_signature_algorithms: AlgorithmList = AlgorithmList::Default;
    /// When channels are closed for being idle.
    channel_timeout: Vec<ChannelTimeout> = Vec::new();
    /// Where sessions are shut in, with tokens.
    chroot_directory: Option<String> = None;
    /// Ciphers.
    ciphers: AlgorithmList = AlgorithmList::Default;
    /// Unanswered keepalives after which the client is gone; 0: never.
    client_alive_count_max: u32 = 3;
    /// Silence after which a keepalive is sent; 0: never.
    client_alive_interval: Duration = Duration::ZERO;
    /// Whether compression is offered, after authentication.
    compression: bool = true;
    /// Patterns of groups that are refused.
    deny_groups: Vec<String> = Vec::new();
    /// Patterns of users that are refused.
    deny_users: Vec<UserPattern> = Vec::new();
    /// No forwards of any kind, whatever else is said.
    disable_forwarding: bool = false;
    /// Whether SSH_USER_AUTH names a file that says how the user came in.
    expose_auth_info: bool = false;
    /// Run instead of whatever the client or the key asks for; the rest of the line as it stands.
    force_command: Option<String> = None;
    /// On which addresses `-R` listens.
    gateway_ports: GatewayPorts = GatewayPorts::No;
    /// Files of host certificates.
    host_certificate: Vec<String> = Vec::new();
    /// Files of host keys; empty: the server's own.
    host_key: Vec<String> = Vec::new();
    /// Signatures offered for host keys.
    host_key_algorithms: AlgorithmList = AlgorithmList::Default;
    /// Whether the method keyboard-interactive is there.
    kbd_interactive_authentication: bool = true;
    /// Key exchanges.
    kex_algorithms: AlgorithmList = AlgorithmList::Default;
    /// How much is logged.
    log_level: LogLevel = LogLevel::Info;
    /// Time to log in; 0: any.
    login_grace_time: Duration = Duration::from_secs(120);
    /// MACs.
    macs: AlgorithmList = AlgorithmList::Default;
    /// Failed attempts a connection.
    max_auth_tries: u32 = 6;
    /// Sessions a connection.
    max_sessions: u32 = 10;
    /// Connections on their way in.
    max_startups: MaxStartups = MaxStartups { start: 10, rate: 30, full: 100 };
    /// Whether the method password is there.
    password_authentication: bool = true;
    /// Whether an account without a password may log in by password.
    permit_empty_passwords: bool = false;
    /// Where `-R` may listen.
    permit_listen: Permitted = Permitted::Any;
    /// Where `-L` and `-D` may go.
    permit_open: Permitted = Permitted::Any;
    /// How root may log in.
    permit_root_login: RootLogin = RootLogin::ProhibitPassword;
    /// Whether there are terminals.
    permit_tty: bool = true;
    /// Which tun devices.
    permit_tunnel: TunnelMode = TunnelMode::No;
    /// Which variables users may set for themselves.
    permit_user_environment: UserEnvironment = UserEnvironment::No;
    /// Whether `~/.ssh/rc` is run.
    permit_user_rc: bool = true;
    /// Whether a shell is told of the login before.
    print_last_log: bool = true;
    /// Whether a shell is shown the message of the day.
    print_motd: bool = true;
    /// Signatures accepted of users.
    pubkey_accepted_algorithms: AlgorithmList = AlgorithmList::Default;
    /// Demands on security keys.
    pubkey_auth_options: PubkeyAuthOptions = PubkeyAuthOptions::default();
    /// Whether the method publickey is there.
    pubkey_authentication: bool = true;
    /// Bytes after which keys are changed; 0: what the cipher allows.
    rekey_bytes: u64 = 0;
    /// Time after which keys are changed; 0: never.
    rekey_interval: Duration = Duration::ZERO;
    /// Bits that an RSA key must have.
    required_rsa_size: u32 = 1024;
    /// A file of keys that are refused, as text or a KRL; one that cannot be read refuses all.
    revoked_keys: Option<String> = None;
    /// Variables of every session, before all others.
    set_env: Vec<(String, String)> = Vec::new();
    /// Bits that unix sockets of forwards are made without.
    stream_local_bind_mask: u32 = 0o177;
    /// Whether a socket that is in the way of a forward is removed.
    stream_local_bind_unlink: bool = false;
    /// Whether files and folders of keys must be the user's alone.
    strict_modes: bool = true;
    /// Subsystems.
    subsystem: Vec<Subsystem> =
        vec![Subsystem { name: "sftp".to_owned(), command: "internal-sftp".to_owned() }];
    /// Whether the kernel watches TCP connections.
    tcp_keep_alive: bool = true;
    /// A file of the keys of authorities whose certificates admit whom they name.
    trusted_user_ca_keys: Option<String> = None;
    /// How long a connection without a channel lives.
    unused_connection_timeout: Option<Duration> = None;
    /// It has no effect.
    use_pam: bool = false;
    /// What follows the server's name in its first line.
    version_addendum: String = String::new();
    /// The first display.
    x11_display_offset: u32 = 10;
    /// Whether X11 is forwarded.
    x11_forwarding: bool = false;
    /// Whether displays listen on loopback alone.
    x11_use_localhost: bool = true;
    /// The program xauth.
    xauth_location: Option<String> = Some("/usr/bin/xauth".to_owned());
}

impl Default for Config {
    fn default() -> Self {
        Settings::default().complete()
    }
}

impl Settings {
    /// These and then the later ones: the first to say something counts, except that lists which grow
    /// line by line go on growing.
    #[must_use]
    pub fn then(mut self, mut later: Self) -> Self {
        grow(&mut self.accept_env, &mut later.accept_env);
        grow(&mut self.allow_groups, &mut later.allow_groups);
        grow(&mut self.allow_users, &mut later.allow_users);
        grow(&mut self.deny_groups, &mut later.deny_groups);
        grow(&mut self.deny_users, &mut later.deny_users);
        self.over(later)
    }
}

fn grow<T>(list: &mut Option<Vec<T>>, more: &mut Option<Vec<T>>) {
    if let (Some(list), Some(more)) = (list, more) {
        list.append(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_say_something_counts_and_lists_grow() {
        let list = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let first = Settings { permit_tty: Some(false), accept_env: list(&["A"]), ..Settings::default() };
        let later = Settings {
            permit_tty: Some(true),
            accept_env: list(&["B"]),
            max_sessions: Some(1),
            ..Settings::default()
        };
        let both = first.clone().then(later.clone());
        assert_eq!((both.permit_tty, both.max_sessions), (Some(false), Some(1)));
        assert_eq!(both.accept_env, list(&["A", "B"]));
        assert_eq!(first.over(later).accept_env, list(&["A"]));
    }
}
