//! Setting a keyword: one place for every syntax.

use std::time::Duration;

use super::{
    algorithms::{AlgorithmKind, AlgorithmList},
    keyword::Keyword,
    lists::{methods, permitted, pubkey_options, timeouts, variables},
    settings::Settings,
    tokens::Tokens,
    units::{parse_size, parse_time},
    value::{Forwarding, GatewayPorts, MaxStartups, RootLogin, Subsystem, TunnelMode, UserEnvironment},
    value_error::{ValueError, names, parse_all, wrong},
};
use crate::server::{host_port::HostPort, log_level::LogLevel, pattern::UserPattern};

/// What follows a keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// Its words, without quotes and comments.
    pub words: Vec<String>,
    /// All of it, as it stands.
    pub rest: String,
}

impl Keyword {
    /// Sets the keyword; the first value counts, except where lines add up (sshd_config(5)). The value is
    /// checked in any case.
    ///
    /// # Errors
    ///
    /// [`ValueError`].
    pub fn set(self, arguments: &Arguments, settings: &mut Settings) -> Result<(), ValueError> {
        let words = &arguments.words[..];
        if let Some(place) = self.flag(settings) {
            let value = one(words)?;
            return first(place, parse_flag(value).ok_or_else(|| wrong(value, "yes or no"))?);
        }
        if let Some((place, tokens)) = self.file_or_user(settings) {
            let value = one(words)?;
            tokens.map_or(Ok(()), |tokens| Tokens::check(value, tokens))?;
            return first(place, none_or(value));
        }
        if let Some((place, kind)) = self.algorithms(settings) {
            return first(place, AlgorithmList::parse(kind, one(words)?)?);
        }
        if let Some(place) = self.number(settings) {
            let value = one(words)?;
            let number = value.parse().ok().filter(|&number: &u32| i32::try_from(number).is_ok());
            return first(place, number.ok_or_else(|| wrong(value, "a number"))?);
        }
        if let Some(place) = self.time(settings) {
            return first(place, time(one(words)?)?);
        }
        if self.takes_rest_of_line() {
            return self.set_rest_of_line(arguments.rest.trim(), settings);
        }
        if self.set_list(words, settings)? { Ok(()) } else { self.set_other(words, settings) }
    }

    fn flag(self, settings: &mut Settings) -> Option<&mut Option<bool>> {
        Some(match self {
            Self::AllowAgentForwarding => &mut settings.allow_agent_forwarding,
            Self::DisableForwarding => &mut settings.disable_forwarding,
            Self::ExposeAuthInfo => &mut settings.expose_auth_info,
            Self::KbdInteractiveAuthentication => &mut settings.kbd_interactive_authentication,
            Self::PasswordAuthentication => &mut settings.password_authentication,
            Self::PermitEmptyPasswords => &mut settings.permit_empty_passwords,
            Self::PermitTTY => &mut settings.permit_tty,
            Self::PermitUserRC => &mut settings.permit_user_rc,
            Self::PrintLastLog => &mut settings.print_last_log,
            Self::PrintMotd => &mut settings.print_motd,
            Self::PubkeyAuthentication => &mut settings.pubkey_authentication,
            Self::StreamLocalBindUnlink => &mut settings.stream_local_bind_unlink,
            Self::StrictModes => &mut settings.strict_modes,
            Self::TCPKeepAlive => &mut settings.tcp_keep_alive,
            Self::UsePAM => &mut settings.use_pam,
            Self::X11Forwarding => &mut settings.x11_forwarding,
            Self::X11UseLocalhost => &mut settings.x11_use_localhost,
            _ => return None,
        })
    }

    /// With the tokens that it takes; a `%` of the others is itself.
    fn file_or_user(
        self,
        settings: &mut Settings,
    ) -> Option<(&mut Option<Option<String>>, Option<&'static str>)> {
        Some(match self {
            Self::AuthorizedKeysCommandUser => (&mut settings.authorized_keys_command_user, Some("u")),
            Self::AuthorizedPrincipalsCommandUser => {
                (&mut settings.authorized_principals_command_user, Some("u"))
            }
            Self::AuthorizedPrincipalsFile => (&mut settings.authorized_principals_file, Some(FILE_TOKENS)),
            Self::ChrootDirectory => (&mut settings.chroot_directory, Some(FILE_TOKENS)),
            Self::Banner => (&mut settings.banner, None),
            Self::RevokedKeys => (&mut settings.revoked_keys, None),
            Self::TrustedUserCAKeys => (&mut settings.trusted_user_ca_keys, None),
            Self::XAuthLocation => (&mut settings.xauth_location, None),
            _ => return None,
        })
    }

    fn algorithms(self, settings: &mut Settings) -> Option<(&mut Option<AlgorithmList>, AlgorithmKind)> {
        Some(match self {
            Self::CASignatureAlgorithms => (&mut settings.ca_signature_algorithms, AlgorithmKind::Signature),
            Self::Ciphers => (&mut settings.ciphers, AlgorithmKind::Cipher),
            Self::HostKeyAlgorithms => (&mut settings.host_key_algorithms, AlgorithmKind::Signature),
            Self::KexAlgorithms => (&mut settings.kex_algorithms, AlgorithmKind::Kex),
            Self::MACs => (&mut settings.macs, AlgorithmKind::Mac),
            Self::PubkeyAcceptedAlgorithms => {
                (&mut settings.pubkey_accepted_algorithms, AlgorithmKind::Signature)
            }
            _ => return None,
        })
    }

    fn number(self, settings: &mut Settings) -> Option<&mut Option<u32>> {
        Some(match self {
            Self::ClientAliveCountMax => &mut settings.client_alive_count_max,
            Self::MaxAuthTries => &mut settings.max_auth_tries,
            Self::MaxSessions => &mut settings.max_sessions,
            Self::RequiredRSASize => &mut settings.required_rsa_size,
            Self::X11DisplayOffset => &mut settings.x11_display_offset,
            _ => return None,
        })
    }

    fn time(self, settings: &mut Settings) -> Option<&mut Option<Duration>> {
        Some(match self {
            Self::ClientAliveInterval => &mut settings.client_alive_interval,
            Self::LoginGraceTime => &mut settings.login_grace_time,
            _ => return None,
        })
    }

    fn set_rest_of_line(self, rest: &str, settings: &mut Settings) -> Result<(), ValueError> {
        if rest.is_empty() {
            return Err(ValueError::Missing);
        }
        let absolute = || match none_or(rest) {
            Some(command) if !command.starts_with('/') => Err(wrong(rest, "an absolute path")),
            command => Ok(command),
        };
        match self {
            Self::AuthorizedKeysCommand => {
                Tokens::check(rest, "fhktuU")?;
                first(&mut settings.authorized_keys_command, absolute()?)
            }
            Self::AuthorizedPrincipalsCommand => {
                Tokens::check(rest, "FfhiKksTtuU")?;
                first(&mut settings.authorized_principals_command, absolute()?)
            }
            Self::ForceCommand => first(&mut settings.force_command, none_or(rest)),
            // A `#` belongs to it, as in sshd, which means to cut there and does not.
            _ if rest.contains(['\r', '\n']) => Err(wrong(rest, "one line")),
            _ => first(&mut settings.version_addendum, none_or(rest).unwrap_or_default()),
        }
    }

    /// `false` when this is no list.
    fn set_list(self, words: &[String], settings: &mut Settings) -> Result<bool, ValueError> {
        match self {
            Self::AcceptEnv => {
                add(
                    &mut settings.accept_env,
                    parse_all(words, "a pattern of names", |word| !word.is_empty() && !word.contains('='))?,
                );
            }
            Self::AllowGroups => add(&mut settings.allow_groups, names(words)?),
            Self::DenyGroups => add(&mut settings.deny_groups, names(words)?),
            Self::AllowUsers => add(&mut settings.allow_users, users(words)?),
            Self::DenyUsers => add(&mut settings.deny_users, users(words)?),
            Self::HostCertificate => add(&mut settings.host_certificate, vec![one(words)?.to_owned()]),
            Self::HostKey => add(&mut settings.host_key, vec![one(words)?.to_owned()]),
            Self::AuthorizedKeysFile => {
                let mut files = names(words)?;
                files.iter().try_for_each(|file| Tokens::check(file, FILE_TOKENS))?;
                files.retain(|file| !file.eq_ignore_ascii_case("none"));
                first(&mut settings.authorized_keys_file, files)?;
            }
            Self::AuthenticationMethods => first(&mut settings.authentication_methods, methods(words)?)?,
            Self::ChannelTimeout => first(&mut settings.channel_timeout, timeouts(words)?)?,
            Self::PermitListen => {
                first(&mut settings.permit_listen, permitted(words, HostPort::parse_listen)?)?;
            }
            Self::PermitOpen => first(&mut settings.permit_open, permitted(words, HostPort::parse)?)?,
            Self::SetEnv => first(&mut settings.set_env, variables(words)?)?,
            Self::Subsystem => subsystem(words, settings)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_other(self, words: &[String], settings: &mut Settings) -> Result<(), ValueError> {
        match self {
            Self::AllowStreamLocalForwarding => set_one(
                words,
                &mut settings.allow_stream_local_forwarding,
                Forwarding::WORDS,
                Forwarding::parse,
            ),
            Self::AllowTcpForwarding => {
                set_one(words, &mut settings.allow_tcp_forwarding, Forwarding::WORDS, Forwarding::parse)
            }
            Self::GatewayPorts => {
                set_one(words, &mut settings.gateway_ports, GatewayPorts::WORDS, GatewayPorts::parse)
            }
            Self::PermitRootLogin => {
                set_one(words, &mut settings.permit_root_login, RootLogin::WORDS, RootLogin::parse)
            }
            Self::PermitTunnel => {
                set_one(words, &mut settings.permit_tunnel, TunnelMode::WORDS, TunnelMode::parse)
            }
            Self::Compression => set_one(words, &mut settings.compression, "yes, delayed or no", |word| {
                if word.eq_ignore_ascii_case("delayed") { Some(true) } else { parse_flag(word) }
            }),
            Self::LogLevel => set_one(words, &mut settings.log_level, LogLevel::WORDS, LogLevel::parse),
            Self::MaxStartups => {
                set_one(words, &mut settings.max_startups, "N or START:RATE:FULL", MaxStartups::parse)
            }
            Self::StreamLocalBindMask => {
                set_one(words, &mut settings.stream_local_bind_mask, "an octal mask up to 0777", |word| {
                    u32::from_str_radix(word, 8).ok().filter(|mask| *mask <= 0o777)
                })
            }
            Self::UnusedConnectionTimeout => set_one(
                words,
                &mut settings.unused_connection_timeout,
                "a time or none",
                |word| match none_or(word) {
                    Some(word) => parse_time(&word).map(|time| Some(time).filter(|time| !time.is_zero())),
                    None => Some(None),
                },
            ),
            Self::PermitUserEnvironment => set_one(
                words,
                &mut settings.permit_user_environment,
                "yes, no or a list of patterns",
                |word| {
                    Some(match word {
                        "yes" => UserEnvironment::Yes,
                        "no" => UserEnvironment::No,
                        list => UserEnvironment::Matching(list.to_owned()),
                    })
                },
            ),
            Self::PubkeyAuthOptions => first(&mut settings.pubkey_auth_options, pubkey_options(words)?),
            // All others are flags, files, lists and so on.
            _ => rekey_limit(words, settings),
        }
    }
}

/// sshd_config(5), TOKENS: what paths of a user take.
const FILE_TOKENS: &str = "huU";

fn first<T>(place: &mut Option<T>, value: T) -> Result<(), ValueError> {
    place.get_or_insert(value);
    Ok(())
}

fn add<T>(place: &mut Option<Vec<T>>, values: Vec<T>) {
    place.get_or_insert_default().extend(values);
}

fn one(words: &[String]) -> Result<&str, ValueError> {
    match words {
        [word] if !word.is_empty() => Ok(word),
        [_, extra, ..] => Err(ValueError::Extra(extra.clone())),
        _ => Err(ValueError::Missing),
    }
}

fn set_one<T>(
    words: &[String],
    place: &mut Option<T>,
    want: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<(), ValueError> {
    let word = one(words)?;
    first(place, parse(word).ok_or_else(|| wrong(word, want))?)
}

fn none_or(text: &str) -> Option<String> {
    (!text.eq_ignore_ascii_case("none")).then(|| text.to_owned())
}

fn parse_flag(word: &str) -> Option<bool> {
    [("yes", true), ("no", false)]
        .into_iter()
        .find_map(|(name, flag)| word.eq_ignore_ascii_case(name).then_some(flag))
}

fn time(word: &str) -> Result<Duration, ValueError> {
    parse_time(word).ok_or_else(|| wrong(word, "a time such as 90, 10s or 1h30m"))
}

fn users(words: &[String]) -> Result<Vec<UserPattern>, ValueError> {
    names(words)?.iter().map(|word| Ok(UserPattern::parse(word)?)).collect()
}

fn subsystem(words: &[String], settings: &mut Settings) -> Result<(), ValueError> {
    let [name, command @ ..] = words else { return Err(ValueError::Missing) };
    if name.is_empty() || command.first().is_none_or(String::is_empty) {
        return Err(ValueError::Missing);
    }
    let subsystems = settings.subsystem.get_or_insert_default();
    // As in OpenSSH from 9.5: before, the second of a name was an error.
    if subsystems.iter().all(|known| known.name != *name) {
        subsystems.push(Subsystem { name: name.clone(), command: command.join(" ") });
    }
    Ok(())
}

/// The two values are set apart: `RekeyLimit 1G` leaves the time to a later line.
fn rekey_limit(words: &[String], settings: &mut Settings) -> Result<(), ValueError> {
    let (bytes, interval) = match words {
        [] => return Err(ValueError::Missing),
        [bytes] => (bytes, None),
        [bytes, interval] => (bytes, Some(interval)),
        [_, _, extra, ..] => return Err(ValueError::Extra(extra.clone())),
    };
    let size = if bytes == "default" { Some(0) } else { parse_size(bytes) };
    let size = size.filter(|size| *size == 0 || *size >= 16);
    let size = size.ok_or_else(|| wrong(bytes, "a size from 16 such as 256k or 1G, or default"))?;
    first(&mut settings.rekey_bytes, size)?;
    match interval {
        Some(interval) if interval != "none" => first(&mut settings.rekey_interval, time(interval)?),
        _ => Ok(()),
    }
}
