//! The configuration as `sshd -T` prints it.

use std::fmt::{Display, Write as _};

use super::{algorithms::AlgorithmList, settings::Config, value::MethodStep};

/// The algorithms of one keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Where nothing is configured.
    pub default: &'static [&'static str],
    /// What only a configuration brings in.
    pub besides: &'static [&'static str],
}

/// The algorithms of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// Ciphers.
    pub ciphers: Offer,
    /// MACs.
    pub macs: Offer,
    /// KexAlgorithms.
    pub kex: Offer,
    /// HostKeyAlgorithms.
    pub host_keys: Offer,
    /// PubkeyAcceptedAlgorithms.
    pub user_keys: Offer,
    /// CASignatureAlgorithms.
    pub ca_signatures: Offer,
}

struct Lines(String);

impl Lines {
    fn put(&mut self, keyword: &str, value: impl Display) {
        let _ = writeln!(self.0, "{keyword} {value}");
    }

    fn flag(&mut self, keyword: &str, value: bool) {
        self.put(keyword, if value { "yes" } else { "no" });
    }

    /// A word, so in quotes if need be.
    fn word(&mut self, keyword: &str, value: Option<&str>) {
        self.put(keyword, value.map_or_else(|| "none".to_owned(), quoted));
    }

    /// The rest of a line.
    fn rest(&mut self, keyword: &str, value: Option<&str>) {
        self.put(keyword, value.unwrap_or("none"));
    }

    fn each<T: Display>(&mut self, keyword: &str, values: &[T]) {
        for value in values {
            self.put(keyword, quoted(&value.to_string()));
        }
    }

    fn list<T: Display>(&mut self, keyword: &str, values: &[T], empty: &str) {
        let values: Vec<_> = values.iter().map(|value| quoted(&value.to_string())).collect();
        self.put(keyword, if values.is_empty() { empty.to_owned() } else { values.join(" ") });
    }

    fn algorithms(&mut self, keyword: &str, list: &AlgorithmList, offer: &Offer) {
        self.put(keyword, list.apply(offer.default, offer.besides).join(","));
    }
}

impl Config {
    /// A line a keyword and value, in lower case, in sshd's order (sshd(8), -T). Reading it again gives
    /// the same configuration.
    #[must_use]
    pub fn print(&self, offers: &Offers) -> String {
        let mut lines = Lines(String::new());
        self.print_numbers(&mut lines);
        self.print_flags(&mut lines);
        self.print_texts(&mut lines, offers);
        self.print_lists(&mut lines);
        lines.0
    }

    fn print_numbers(&self, lines: &mut Lines) {
        lines.flag("usepam", self.use_pam);
        lines.put("logingracetime", self.login_grace_time.as_secs());
        lines.put("x11displayoffset", self.x11_display_offset);
        lines.put("maxauthtries", self.max_auth_tries);
        lines.put("maxsessions", self.max_sessions);
        lines.put("clientaliveinterval", self.client_alive_interval.as_secs());
        lines.put("clientalivecountmax", self.client_alive_count_max);
        lines.put("requiredrsasize", self.required_rsa_size);
        lines.put("streamlocalbindmask", format_args!("0{:o}", self.stream_local_bind_mask));
        let unused = self.unused_connection_timeout.map(|time| time.as_secs().to_string());
        lines.word("unusedconnectiontimeout", unused.as_deref());
    }

    fn print_flags(&self, lines: &mut Lines) {
        lines.put("permitrootlogin", self.permit_root_login);
        lines.flag("pubkeyauthentication", self.pubkey_authentication);
        lines.flag("passwordauthentication", self.password_authentication);
        lines.flag("kbdinteractiveauthentication", self.kbd_interactive_authentication);
        lines.flag("printmotd", self.print_motd);
        lines.flag("printlastlog", self.print_last_log);
        lines.flag("x11forwarding", self.x11_forwarding);
        lines.flag("x11uselocalhost", self.x11_use_localhost);
        lines.flag("permittty", self.permit_tty);
        lines.flag("permituserrc", self.permit_user_rc);
        lines.flag("strictmodes", self.strict_modes);
        lines.flag("tcpkeepalive", self.tcp_keep_alive);
        lines.flag("permitemptypasswords", self.permit_empty_passwords);
        lines.flag("compression", self.compression);
        lines.put("loglevel", self.log_level);
        lines.put("gatewayports", self.gateway_ports);
        lines.put("allowtcpforwarding", self.allow_tcp_forwarding);
        lines.flag("allowagentforwarding", self.allow_agent_forwarding);
        lines.flag("disableforwarding", self.disable_forwarding);
        lines.put("allowstreamlocalforwarding", self.allow_stream_local_forwarding);
        lines.flag("streamlocalbindunlink", self.stream_local_bind_unlink);
        lines.flag("exposeauthinfo", self.expose_auth_info);
    }

    fn print_texts(&self, lines: &mut Lines, offers: &Offers) {
        lines.word("xauthlocation", self.xauth_location.as_deref());
        lines.algorithms("ciphers", &self.ciphers, &offers.ciphers);
        lines.algorithms("macs", &self.macs, &offers.macs);
        lines.word("banner", self.banner.as_deref());
        lines.rest("forcecommand", self.force_command.as_deref());
        lines.word("chrootdirectory", self.chroot_directory.as_deref());
        lines.word("trustedusercakeys", self.trusted_user_ca_keys.as_deref());
        lines.word("revokedkeys", self.revoked_keys.as_deref());
        lines.word("authorizedprincipalsfile", self.authorized_principals_file.as_deref());
        let addendum = Some(self.version_addendum.as_str()).filter(|text| !text.is_empty());
        lines.rest("versionaddendum", addendum);
        lines.rest("authorizedkeyscommand", self.authorized_keys_command.as_deref());
        lines.word("authorizedkeyscommanduser", self.authorized_keys_command_user.as_deref());
        lines.rest("authorizedprincipalscommand", self.authorized_principals_command.as_deref());
        lines.word("authorizedprincipalscommanduser", self.authorized_principals_command_user.as_deref());
        lines.algorithms("kexalgorithms", &self.kex_algorithms, &offers.kex);
        lines.algorithms("casignaturealgorithms", &self.ca_signature_algorithms, &offers.ca_signatures);
        lines.algorithms("hostkeyalgorithms", &self.host_key_algorithms, &offers.host_keys);
        lines.algorithms("pubkeyacceptedalgorithms", &self.pubkey_accepted_algorithms, &offers.user_keys);
    }

    fn print_lists(&self, lines: &mut Lines) {
        lines.list("authorizedkeysfile", &self.authorized_keys_file, "none");
        lines.each("hostkey", &self.host_key);
        lines.each("hostcertificate", &self.host_certificate);
        lines.each("allowusers", &self.allow_users);
        lines.each("denyusers", &self.deny_users);
        lines.each("allowgroups", &self.allow_groups);
        lines.each("denygroups", &self.deny_groups);
        lines.each("acceptenv", &self.accept_env);
        let variables: Vec<_> = self.set_env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !variables.is_empty() {
            // One line, where sshd prints one each: only the first line of SetEnv counts.
            lines.list("setenv", &variables, "");
        }
        let steps = |steps: &Vec<MethodStep>| -> Vec<_> { steps.iter().map(ToString::to_string).collect() };
        let methods: Vec<_> = self.authentication_methods.iter().map(|list| steps(list).join(",")).collect();
        lines.list("authenticationmethods", &methods, "any");
        if !self.channel_timeout.is_empty() {
            lines.list("channeltimeout", &self.channel_timeout, "none");
        }
        for subsystem in &self.subsystem {
            lines.put("subsystem", format_args!("{} {}", subsystem.name, subsystem.command));
        }
        lines.put("maxstartups", self.max_startups);
        lines.put("permittunnel", self.permit_tunnel);
        lines.put("rekeylimit", format_args!("{} {}", self.rekey_bytes, self.rekey_interval.as_secs()));
        lines.put("permitopen", &self.permit_open);
        lines.put("permitlisten", &self.permit_listen);
        lines.word("permituserenvironment", Some(&self.permit_user_environment.to_string()));
        let demands = [
            (self.pubkey_auth_options.touch_required, "touch-required"),
            (self.pubkey_auth_options.verify_required, "verify-required"),
        ];
        let demands: Vec<_> =
            demands.iter().filter(|(demanded, _)| *demanded).map(|(_, name)| name).collect();
        lines.list("pubkeyauthoptions", &demands, "none");
    }
}

/// In quotes where blanks or quotes would make two words of it or none.
fn quoted(word: &str) -> String {
    if word.contains([' ', '\t', '"', '\'', '\\', '#']) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "\\'"))
    } else {
        word.to_owned()
    }
}
