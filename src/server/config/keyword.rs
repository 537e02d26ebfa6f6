//! The keywords of sshd_config(5): those that are served, those that mean nothing here and do no harm,
//! and those that are refused.

/// A keyword is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown keyword `{name}`{}", .nearest.map(|nearest| format!(": did you mean {nearest}?")).unwrap_or_default())]
pub struct UnknownKeyword {
    /// As written.
    pub name: String,
    /// The one that is spelt most like it.
    pub nearest: Option<&'static str>,
}

/// What becomes of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is served.
    Served(Keyword),
    /// It concerns listening, syslog or what sshd itself has given up, and changes nothing here.
    Ignored(&'static str),
    /// It is not served: only these values, which ask for nothing, are accepted.
    Only(&'static str, &'static [&'static str]),
}

macro_rules! keywords {
    ($($name:ident $place:ident,)*) => {
        /// A keyword that is served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "sshd_config(5) documents them, and the fields of `Config`")]
        pub enum Keyword { $($name,)* }

        const SERVED: &[(&str, Keyword, Place)] =
            &[$((stringify!($name), Keyword::$name, Place::$place),)*];
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only outside `Match` blocks.
    Global,
    /// Everywhere.
    Anywhere,
}

keywords! {
    AcceptEnv Anywhere,
    AllowAgentForwarding Anywhere,
    AllowGroups Anywhere,
    AllowStreamLocalForwarding Anywhere,
    AllowTcpForwarding Anywhere,
    AllowUsers Anywhere,
    AuthenticationMethods Anywhere,
    AuthorizedKeysCommand Anywhere,
    AuthorizedKeysCommandUser Anywhere,
    AuthorizedKeysFile Anywhere,
    AuthorizedPrincipalsCommand Anywhere,
    AuthorizedPrincipalsCommandUser Anywhere,
    AuthorizedPrincipalsFile Anywhere,
    Banner Anywhere,
    CASignatureAlgorithms Anywhere,
    ChannelTimeout Anywhere,
    ChrootDirectory Anywhere,
    Ciphers Global,
    ClientAliveCountMax Anywhere,
    ClientAliveInterval Anywhere,
    Compression Global,
    DenyGroups Anywhere,
    DenyUsers Anywhere,
    DisableForwarding Anywhere,
    ExposeAuthInfo Anywhere,
    ForceCommand Anywhere,
    GatewayPorts Anywhere,
    HostCertificate Global,
    HostKey Global,
    HostKeyAlgorithms Global,
    KbdInteractiveAuthentication Anywhere,
    KexAlgorithms Global,
    LogLevel Anywhere,
    LoginGraceTime Global,
    MACs Global,
    MaxAuthTries Anywhere,
    MaxSessions Anywhere,
    MaxStartups Global,
    PasswordAuthentication Anywhere,
    PermitEmptyPasswords Anywhere,
    PermitListen Anywhere,
    PermitOpen Anywhere,
    PermitRootLogin Anywhere,
    PermitTTY Anywhere,
    PermitTunnel Anywhere,
    PermitUserEnvironment Global,
    PermitUserRC Anywhere,
    PrintLastLog Global,
    PrintMotd Global,
    PubkeyAcceptedAlgorithms Anywhere,
    PubkeyAuthOptions Anywhere,
    PubkeyAuthentication Anywhere,
    RekeyLimit Anywhere,
    RequiredRSASize Anywhere,
    RevokedKeys Anywhere,
    SetEnv Anywhere,
    StreamLocalBindMask Anywhere,
    StreamLocalBindUnlink Anywhere,
    StrictModes Global,
    Subsystem Global,
    TCPKeepAlive Global,
    TrustedUserCAKeys Anywhere,
    UnusedConnectionTimeout Anywhere,
    UsePAM Global,
    VersionAddendum Global,
    X11DisplayOffset Anywhere,
    X11Forwarding Anywhere,
    X11UseLocalhost Anywhere,
    XAuthLocation Global,
}

/// Names that sshd still reads for others.
const ALIASES: &[(&str, Keyword)] = &[
    ("ChallengeResponseAuthentication", Keyword::KbdInteractiveAuthentication),
    ("DSAAuthentication", Keyword::PubkeyAuthentication),
    ("HostDSAKey", Keyword::HostKey),
    ("KeepAlive", Keyword::TCPKeepAlive),
    ("PubkeyAcceptedKeyTypes", Keyword::PubkeyAcceptedAlgorithms),
    ("SkeyAuthentication", Keyword::KbdInteractiveAuthentication),
];

/// They say where and how the daemon listens, what it logs, how its packets are marked, and what it has
/// given up or what only tightens methods that are not served: nothing is less safe without them.
const IGNORED: &[&str] = &[
    "AddressFamily",
    "AuthorizedKeysFile2",
    "CheckMail",
    "DebianBanner",
    "GSSAPICleanupCredentials",
    "GSSAPIKexAlgorithms",
    "GSSAPIStrictAcceptorCheck",
    "HostbasedAcceptedAlgorithms",
    "HostbasedAcceptedKeyTypes",
    "HostbasedUsesNameFromPacketOnly",
    "IPQoS",
    "IgnoreRhosts",
    "IgnoreUserKnownHosts",
    "KerberosGetAFSToken",
    "KerberosOrLocalPasswd",
    "KerberosTicketCleanup",
    "KeyRegenerationInterval",
    "ListenAddress",
    "LogVerbose",
    "ModuliFile",
    "PAMAuthenticationViaKbdInt",
    "PAMServiceName",
    "PerSourceMaxStartups",
    "PerSourceNetBlockSize",
    "PerSourcePenalties",
    "PerSourcePenaltyExemptList",
    "PidFile",
    "Port",
    "Protocol",
    "RSAAuthentication",
    "ReverseMappingCheck",
    "RhostsAuthentication",
    "RhostsRSAAuthentication",
    "SecurityKeyProvider",
    "ServerKeyBits",
    "SshdAuthPath",
    "SshdSessionPath",
    "SyslogFacility",
    "UseDNS",
    "UseLogin",
    "UsePrivilegeSeparation",
    "VerifyReverseMapping",
];

/// What would change who comes in, or what sshd would do for them, and is not here.
const ONLY: &[(&str, &[&str])] = &[
    ("AFSTokenPassing", &["no"]),
    ("FingerprintHash", &["sha256"]),
    ("GSSAPIAuthentication", &["no"]),
    ("GSSAPIKeyExchange", &["no"]),
    ("GSSAPIStoreCredentialsOnRekey", &["no"]),
    ("HostKeyAgent", &["none"]),
    ("HostbasedAuthentication", &["no"]),
    ("KerberosAuthentication", &["no"]),
    ("KerberosTGTPassing", &["no"]),
    ("RDomain", &["none"]),
    ("RefuseConnection", &["no"]),
];

impl Keyword {
    /// Looks a keyword up, in any case.
    ///
    /// # Errors
    ///
    /// [`UnknownKeyword`] with the nearest one that is known.
    pub fn find(name: &str) -> Result<Meaning, UnknownKeyword> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        if let Some((_, keyword, _)) = SERVED.iter().find(|(known, ..)| is(known)) {
            return Ok(Meaning::Served(*keyword));
        }
        if let Some((_, keyword)) = ALIASES.iter().find(|(known, _)| is(known)) {
            return Ok(Meaning::Served(*keyword));
        }
        if let Some(known) = IGNORED.iter().find(|known| is(known)) {
            return Ok(Meaning::Ignored(known));
        }
        if let Some((known, values)) = ONLY.iter().find(|(known, _)| is(known)) {
            return Ok(Meaning::Only(known, values));
        }
        let wanted = name.to_ascii_lowercase();
        let distance = |known: &str| strsim::damerau_levenshtein(&wanted, &known.to_ascii_lowercase());
        let nearest = SERVED.iter().map(|&(known, ..)| known).min_by_key(|known| distance(known));
        let near_enough = |known: &&str| distance(known) <= 1 + wanted.len().max(known.len()) / 3;
        Err(UnknownKeyword { name: name.to_owned(), nearest: nearest.filter(near_enough) })
    }

    /// As sshd_config(5) writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        SERVED.iter().find(|(_, keyword, _)| *keyword == self).map_or("", |(name, ..)| name)
    }

    /// Whether it may stand in a `Match` block.
    #[must_use]
    pub fn goes_in_match(self) -> bool {
        SERVED.iter().any(|(_, keyword, place)| *keyword == self && *place == Place::Anywhere)
    }

    /// Why a value changes nothing here though sshd has it, for whoever wrote it.
    pub(super) fn without_effect(self, value: &str, in_match: bool) -> Option<&'static str> {
        let no = value.eq_ignore_ascii_case("no");
        match self {
            Self::Compression if !no => Some("nothing is compressed"),
            Self::LogLevel if in_match => Some("what stands outside of Match blocks counts for everybody"),
            Self::PermitTunnel if !no => Some("there are no tun devices"),
            Self::PrintLastLog if !no => Some("logins are not kept in lastlog"),
            Self::TCPKeepAlive => Some("there is no TCP connection: see ClientAliveInterval"),
            Self::UsePAM if !no => {
                Some("PAM is not asked; a machine that has it has an sshd, which a host can forward to")
            }
            _ => None,
        }
    }

    /// Whether each line adds one more to those before: then a list in TOML stands for several lines.
    #[must_use]
    pub fn is_one_a_line(self) -> bool {
        matches!(self, Self::HostCertificate | Self::HostKey | Self::Subsystem)
    }

    /// Whether the rest of the line is the value as it stands, with its quotes.
    #[must_use]
    pub fn takes_rest_of_line(self) -> bool {
        matches!(
            self,
            Self::AuthorizedKeysCommand
                | Self::AuthorizedPrincipalsCommand
                | Self::ForceCommand
                | Self::VersionAddendum
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_in_any_case() {
        assert_eq!(Keyword::find("PERMITTTY"), Ok(Meaning::Served(Keyword::PermitTTY)));
        assert_eq!(Keyword::find("hostdsakey"), Ok(Meaning::Served(Keyword::HostKey)));
        assert_eq!(Keyword::find("port"), Ok(Meaning::Ignored("Port")));
        assert_eq!(Keyword::find("rdomain"), Ok(Meaning::Only("RDomain", &["none"])));
        assert_eq!(Keyword::MACs.name(), "MACs");
    }

    #[test]
    fn an_unknown_keyword_suggests_the_nearest() {
        for (name, nearest) in [
            ("PasswordAuthentification", Some("PasswordAuthentication")),
            ("permitroot", Some("PermitOpen")),
            ("AlowUsers", Some("AllowUsers")),
            ("InvalidXXX", None),
            ("", None),
        ] {
            let error = Keyword::find(name).expect_err(name);
            assert_eq!(error.nearest, nearest, "{name}");
        }
        let error = Keyword::find("AlowUsers").expect_err("unknown").to_string();
        assert_eq!(error, "unknown keyword `AlowUsers`: did you mean AllowUsers?");
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = SERVED.iter().map(|(name, ..)| *name).collect();
        names.extend(ALIASES.iter().map(|(name, _)| *name));
        names.extend(IGNORED);
        names.extend(ONLY.iter().map(|(name, _)| *name));
        let mut names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
