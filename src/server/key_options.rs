//! What a key, a certificate or a principal may do: options as OpenSSH's auth-options.c reads them
//! from `authorized_keys`, takes them from certificates and brings the two together.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::{Timestamp, tz::TimeZone};
use russh::keys::ssh_key::{Certificate, certificate::CertType};

use super::{
    host_port::{HostPort, NotHostPort},
    option_list::{ListedOption, OptionListError, options, parse_time},
    pattern::{HostList, HostListError, NetworkList},
};

/// OpenSSH's `SSH_AUTHOPT_ENV_MAX`.
const MOST_VARIABLES: usize = 1024;
/// OpenSSH's `SSH_AUTHOPT_PERMIT_MAX`.
const MOST_PERMITS: usize = 4096;
/// OpenSSH's `SSH_TUNID_MAX`.
const LAST_TUNNEL: u32 = 0x7fff_fffd;

/// The options of a line of `authorized_keys` or of a principals file, of a certificate, or of both.
///
/// The first five say what is permitted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyOptions {
    /// TCP and unix-socket forwards.
    pub port_forwarding: bool,
    /// A channel to the client's agent.
    pub agent_forwarding: bool,
    /// X11 channels.
    pub x11_forwarding: bool,
    /// A terminal.
    pub pty: bool,
    /// `~/.ssh/rc` is run.
    pub user_rc: bool,
    /// The key is that of an authority, and admits the certificates that it has signed, not itself.
    pub cert_authority: bool,
    /// A security key need not have been touched.
    pub no_touch_required: bool,
    /// A security key must have checked a PIN or a finger.
    pub verify_required: bool,
    /// Run instead of whatever the client asks for.
    pub command: Option<String>,
    /// A certificate must name one of these instead of the login.
    pub principals: Option<Vec<String>>,
    /// Where the client must be, by the line.
    pub from: Option<HostList>,
    /// Where the client must be, by the certificate.
    pub source_address: Option<NetworkList>,
    /// When the line ends.
    pub expiry_time: Option<Timestamp>,
    /// Variables, in order; no name twice.
    pub environment: Vec<(String, String)>,
    /// Where forwards may connect; empty for anywhere.
    pub permit_open: Vec<HostPort>,
    /// Where forwards may listen; empty for anywhere.
    pub permit_listen: Vec<HostPort>,
    /// The tun device that must be used.
    pub tunnel: Option<Tunnel>,
}

/// A tun device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// The next free one.
    Any,
    /// This one.
    Unit(u32),
}

/// An option list that is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyOptionError {
    /// It cannot be split.
    #[error(transparent)]
    List(#[from] OptionListError),
    /// No such option, or one that takes no value has one.
    #[error("unknown option `{0}`")]
    Unknown(String),
    /// The value is missing or not in quotes.
    #[error("option {0} needs a value in quotes")]
    NeedsValue(&'static str),
    /// An option that may stand once stands twice.
    #[error("more than one option {0}")]
    Repeated(&'static str),
    /// More than sshd allows.
    #[error("too many options {0}")]
    TooMany(&'static str),
    /// Not a time.
    #[error("`{0}` is not a time: use YYYYMMDD[HHMM[SS]][Z]")]
    Time(String),
    /// Not `NAME=value`.
    #[error("`{0}` is not NAME=value with letters, digits and _ in the name")]
    Variable(String),
    /// Not a place for a forward.
    #[error(transparent)]
    Place(#[from] NotHostPort),
    /// Not a list of hosts.
    #[error("option from: {0}")]
    From(#[from] HostListError),
    /// Not a tun device.
    #[error("`{0}` is not a tun device: use a number or any")]
    Tunnel(String),
}

/// A certificate's options are not understood, so it is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is for hosts.
    #[error("it is not a user certificate")]
    NotUser,
    /// It demands what is not known here.
    #[error("its critical option `{0}` is not supported")]
    Critical(String),
    /// An option has a value and should not, or the other way round.
    #[error("its option `{0}` is damaged")]
    Damaged(String),
    /// `source-address` is not a list of networks.
    #[error("its source-address is wrong: {0}")]
    SourceAddress(#[from] HostListError),
}

/// The options of a line and of a certificate do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the forced commands of the line and of the certificate differ")]
pub struct CommandsDiffer;

/// Options refuse a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `expiry-time`.
    #[error("the line has expired")]
    Expired,
    /// `principals` without `cert-authority`.
    #[error("it has principals and is not an authority's key")]
    PrincipalsWithoutAuthority,
    /// `cert-authority` in a principals file.
    #[error("cert-authority has no place here")]
    AuthorityHere,
    /// `from`.
    #[error("the client is not where `from` allows")]
    From,
    /// The certificate's `source-address`.
    #[error("the client is not where the certificate allows")]
    SourceAddress,
}

/// Where a client is, as [`HostList::matches`] wants it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whence<'a> {
    /// The name of its machine; sshd says `UNKNOWN` where there is no address.
    pub host: Option<&'a str>,
    /// Its address.
    pub address: Option<IpAddr>,
}

impl KeyOptions {
    /// What a line without options permits: everything that is not restricted elsewhere.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self::default().permit_all(true)
    }

    /// Reads the option list of a line, in order: a later option undoes an earlier one. Times are in
    /// that zone unless they say otherwise.
    ///
    /// # Errors
    ///
    /// [`KeyOptionError`]; the whole line is refused then.
    pub fn parse(list: &str, time_zone: &TimeZone) -> Result<Self, KeyOptionError> {
        let mut read = Self::unrestricted();
        for option in options(list) {
            let option = option?;
            if !read.set_flag(&option) && !read.set_value(&option, time_zone)? {
                return Err(KeyOptionError::Unknown(option.name.to_owned()));
            }
        }
        Ok(read)
    }

    /// What a user certificate says: nothing is permitted that it does not name
    /// (PROTOCOL.certkeys).
    ///
    /// # Errors
    ///
    /// [`CertificateError`]; the certificate is refused then. Extensions that are not known are not an
    /// error.
    pub fn from_certificate(certificate: &Certificate) -> Result<Self, CertificateError> {
        match certificate.cert_type() {
            CertType::User => Self::from_maps(certificate.critical_options(), certificate.extensions()),
            CertType::Host => Err(CertificateError::NotUser),
        }
    }

    /// These options of a line with those of the certificate that came by it: what both permit, the
    /// line's lists where it has any, all that either demands. The authority and its principals have
    /// done their work by now, and are left out.
    ///
    /// # Errors
    ///
    /// [`CommandsDiffer`].
    pub fn merge(&self, certificate: &Self) -> Result<Self, CommandsDiffer> {
        let (line, other) = (self, certificate);
        let command = match (&line.command, &other.command) {
            (Some(one), Some(two)) if one != two => return Err(CommandsDiffer),
            (one, two) => one.as_ref().or(two.as_ref()).cloned(),
        };
        Ok(Self {
            port_forwarding: line.port_forwarding && other.port_forwarding,
            agent_forwarding: line.agent_forwarding && other.agent_forwarding,
            x11_forwarding: line.x11_forwarding && other.x11_forwarding,
            pty: line.pty && other.pty,
            user_rc: line.user_rc && other.user_rc,
            cert_authority: false,
            no_touch_required: line.no_touch_required && other.no_touch_required,
            verify_required: line.verify_required || other.verify_required,
            command,
            principals: None,
            from: line.from.as_ref().or(other.from.as_ref()).cloned(),
            source_address: line.source_address.as_ref().or(other.source_address.as_ref()).cloned(),
            expiry_time: line.expiry_time.into_iter().chain(other.expiry_time).min(),
            environment: first_with_any(&line.environment, &other.environment),
            permit_open: first_with_any(&line.permit_open, &other.permit_open),
            permit_listen: first_with_any(&line.permit_listen, &other.permit_listen),
            tunnel: line.tunnel.or(other.tunnel),
        })
    }

    /// Whether the line, or the certificate, may be used now and from there (OpenSSH's
    /// `auth_authorise_keyopts`). `for_certificate`: it is a line of `authorized_keys`, and a certificate
    /// is being checked.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; sshd then looks at the lines that follow.
    pub fn check(&self, now: Timestamp, whence: Whence<'_>, for_certificate: bool) -> Result<(), Refusal> {
        if self.expiry_time.is_some_and(|expiry| expiry < now) {
            return Err(Refusal::Expired);
        }
        if self.principals.is_some() && !self.cert_authority {
            return Err(Refusal::PrincipalsWithoutAuthority);
        }
        if self.cert_authority && !for_certificate {
            return Err(Refusal::AuthorityHere);
        }
        if self.from.as_ref().is_some_and(|from| !from.matches(whence.host, whence.address)) {
            return Err(Refusal::From);
        }
        if self.source_address.as_ref().is_some_and(|networks| !networks.contains(whence.address)) {
            return Err(Refusal::SourceAddress);
        }
        Ok(())
    }

    /// Whether `principals=` lets a certificate in that names these, or says nothing of it: then the
    /// certificate must name the login.
    #[must_use]
    pub fn names_one_of(&self, certificate_principals: &[String]) -> Option<bool> {
        let listed = self.principals.as_ref()?;
        Some(certificate_principals.iter().any(|principal| listed.contains(principal)))
    }

    fn permit_all(self, permitted: bool) -> Self {
        Self {
            port_forwarding: permitted,
            agent_forwarding: permitted,
            x11_forwarding: permitted,
            pty: permitted,
            user_rc: permitted,
            ..self
        }
    }

    fn set_flag(&mut self, option: &ListedOption<'_>) -> bool {
        if option.value.is_some() {
            return false;
        }
        let name = option.name.to_ascii_lowercase();
        match name.as_str() {
            "restrict" => {
                *self = std::mem::take(self).permit_all(false);
                return true;
            }
            "cert-authority" => {
                self.cert_authority = true;
                return true;
            }
            _ => {}
        }
        let (on, name) = name.strip_prefix("no-").map_or((true, name.as_str()), |name| (false, name));
        match name {
            "port-forwarding" => self.port_forwarding = on,
            "agent-forwarding" => self.agent_forwarding = on,
            "x11-forwarding" => self.x11_forwarding = on,
            "pty" => self.pty = on,
            "user-rc" => self.user_rc = on,
            "touch-required" => self.no_touch_required = !on,
            "verify-required" => self.verify_required = on,
            _ => return false,
        }
        true
    }

    fn set_value(&mut self, option: &ListedOption<'_>, time_zone: &TimeZone) -> Result<bool, KeyOptionError> {
        const NAMES: [&str; 8] = [
            "command",
            "principals",
            "from",
            "expiry-time",
            "environment",
            "permitopen",
            "permitlisten",
            "tunnel",
        ];
        let Some(name) = NAMES.into_iter().find(|name| option.is(name)) else { return Ok(false) };
        let value = match &option.value {
            Some(value) if value.quoted => value.text.as_ref(),
            _ => return Err(KeyOptionError::NeedsValue(name)),
        };
        match name {
            "command" => once(name, &mut self.command, value.to_owned())?,
            "principals" => {
                let listed = value.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
                once(name, &mut self.principals, listed)?;
            }
            "from" => once(name, &mut self.from, HostList::parse(value)?)?,
            "expiry-time" => {
                let time =
                    parse_time(value, time_zone).ok_or_else(|| KeyOptionError::Time(value.to_owned()))?;
                // The earliest of several counts.
                self.expiry_time = Some(self.expiry_time.map_or(time, |old| old.min(time)));
            }
            "environment" => self.add_variable(value)?,
            "permitopen" => add_place(name, &mut self.permit_open, HostPort::parse(value)?)?,
            "permitlisten" => add_place(name, &mut self.permit_listen, HostPort::parse_listen(value)?)?,
            _ => self.tunnel = Some(parse_tunnel(value)?),
        }
        Ok(true)
    }

    fn add_variable(&mut self, value: &str) -> Result<(), KeyOptionError> {
        if self.environment.len() > MOST_VARIABLES {
            return Err(KeyOptionError::TooMany("environment"));
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let (name, value) = value
            .split_once('=')
            .filter(|(name, _)| !name.is_empty() && name.bytes().all(is_part))
            .ok_or_else(|| KeyOptionError::Variable(value.to_owned()))?;
        // The first of a name counts.
        if self.environment.iter().all(|(known, _)| known != name) {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    fn from_maps(
        critical: &BTreeMap<String, String>,
        extensions: &BTreeMap<String, String>,
    ) -> Result<Self, CertificateError> {
        let mut read = Self::default();
        for (name, value) in critical {
            let damaged = || CertificateError::Damaged(name.clone());
            match name.as_str() {
                "verify-required" if value.is_empty() => read.verify_required = true,
                "force-command" | "source-address" if value.is_empty() || value.contains('\0') => {
                    return Err(damaged());
                }
                "force-command" => read.command = Some(value.clone()),
                "source-address" => read.source_address = Some(NetworkList::parse(value)?),
                "verify-required" => return Err(damaged()),
                _ => return Err(CertificateError::Critical(name.clone())),
            }
        }
        for (name, value) in extensions {
            let permitted = match name.as_str() {
                "no-touch-required" => &mut read.no_touch_required,
                "permit-X11-forwarding" => &mut read.x11_forwarding,
                "permit-agent-forwarding" => &mut read.agent_forwarding,
                "permit-port-forwarding" => &mut read.port_forwarding,
                "permit-pty" => &mut read.pty,
                "permit-user-rc" => &mut read.user_rc,
                _ => continue,
            };
            if !value.is_empty() {
                return Err(CertificateError::Damaged(name.clone()));
            }
            *permitted = true;
        }
        Ok(read)
    }
}

fn once<T>(name: &'static str, place: &mut Option<T>, value: T) -> Result<(), KeyOptionError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(KeyOptionError::Repeated(name)),
    }
}

fn add_place(name: &'static str, places: &mut Vec<HostPort>, place: HostPort) -> Result<(), KeyOptionError> {
    if places.len() > MOST_PERMITS {
        return Err(KeyOptionError::TooMany(name));
    }
    places.push(place);
    Ok(())
}

fn parse_tunnel(text: &str) -> Result<Tunnel, KeyOptionError> {
    if text.eq_ignore_ascii_case("any") {
        return Ok(Tunnel::Any);
    }
    let unit = text.parse().ok().filter(|unit| *unit <= LAST_TUNNEL);
    unit.map(Tunnel::Unit).ok_or_else(|| KeyOptionError::Tunnel(text.to_owned()))
}

fn first_with_any<T: Clone>(one: &[T], two: &[T]) -> Vec<T> {
    if one.is_empty() { two.to_vec() } else { one.to_vec() }
}

#[cfg(test)]
#[path = "key_options_tests.rs"]
mod tests;
