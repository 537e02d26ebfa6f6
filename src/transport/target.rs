//! Targets: what a user names when they type `ssh TARGET`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use iroh::{EndpointAddr, EndpointId};
use iroh_tickets::{Ticket, endpoint::EndpointTicket};

use super::ticket::{Invite, InviteSecret};

/// A host to reach: its endpoint id, the addresses that are known, and a secret if one admits us.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The name as the user gave it, in lower case and without `.irosh`.
    name: String,
    /// Who and where.
    addr: EndpointAddr,
    /// The invite's secret.
    secret: Option<InviteSecret>,
}

/// Not a target, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Neither an alias nor anything that carries a key.
    #[error("no host is called `{name}`{}", hint(.suggestion))]
    Unknown {
        /// What was typed.
        name: String,
        /// The alias that is spelt most like it.
        suggestion: Option<String>,
    },
    /// Begins as a ticket or an invite does, and is not one.
    #[error(
        "this {kind} is damaged or cut off\ncopy it again, whole: it is one word of lower-case letters and digits"
    )]
    Damaged {
        /// `ticket` or `invite`.
        kind: &'static str,
    },
    /// A code of a pairing, by which a host is not reached but got to know.
    #[error(
        "this is a code, which brings two machines together once\nrun `irosh join` first: it gives the host a name"
    )]
    Code,
    /// Too long for anything that is a target.
    #[error("a target of {0} characters is too long\ngive an alias, an endpoint id, a ticket or an invite")]
    TooLong(usize),
}

fn hint(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(name) => format!("\ndid you mean `{name}`?"),
        None => "\n`irosh join` gives a host a name, and `irosh hosts list` shows those that have one; or give an endpoint id, a ticket or an invite".to_owned(),
    }
}

impl Target {
    /// Longer than any ticket that a host prints; a longer one is not read at all.
    pub const MAX_LENGTH: usize = 4096;

    /// Reads a target, with aliases first.
    ///
    /// An alias stands for any other form of target, and is found in any case.
    ///
    /// # Errors
    ///
    /// [`TargetError`] with the nearest alias, if one is near.
    pub fn resolve(text: &str, aliases: &BTreeMap<String, String>) -> Result<Self, TargetError> {
        let name = Self::bare_name(text).to_ascii_lowercase();
        match aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&name)) {
            Some((_, target)) => Ok(Self { name, ..target.parse()? }),
            None => name.parse().map_err(|error| match error {
                TargetError::Unknown { name, .. } => {
                    TargetError::Unknown { suggestion: nearest(&name, aliases), name }
                }
                other => other,
            }),
        }
    }

    /// What was typed, without a dot at the end and without `.irosh`.
    #[must_use]
    pub fn bare_name(text: &str) -> &str {
        const SUFFIX: &str = ".irosh";
        let name = text.trim();
        let name = name.strip_suffix('.').unwrap_or(name);
        match name.len().checked_sub(SUFFIX.len()).and_then(|at| name.split_at_checked(at)) {
            Some((bare, suffix)) if suffix.eq_ignore_ascii_case(SUFFIX) => bare,
            _ => name,
        }
    }

    /// The name as the user gave it, without `.irosh`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A name short enough for an error message, and without the secret of an invite.
    #[must_use]
    pub fn short_name(&self) -> String {
        // An invite is longer: a key and a secret are 77 letters.
        if self.name.len() <= 40 { self.name.clone() } else { self.addr.id.fmt_short().to_string() }
    }

    /// What is read as this target again: its name, unless that leaves something out.
    pub(crate) fn written(&self) -> String {
        let Self { name, addr, secret } = self;
        if name.parse::<EndpointId>().is_err() || (addr.is_empty() && secret.is_none()) {
            return name.clone();
        }
        match secret.clone() {
            Some(secret) => Invite { addr: addr.clone(), secret }.encode_string(),
            None => EndpointTicket::new(addr.clone()).encode_string(),
        }
    }

    /// The host's endpoint id and addresses.
    #[must_use]
    pub fn addr(&self) -> &EndpointAddr {
        &self.addr
    }

    /// The secret of an invite.
    #[must_use]
    pub fn secret(&self) -> Option<&InviteSecret> {
        self.secret.as_ref()
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(TargetError::TooLong(text.len()));
        }
        let name = Self::bare_name(text).to_ascii_lowercase();
        let (addr, secret) = if let Ok(id) = name.parse::<EndpointId>() {
            (id.into(), None)
        } else if let Ok(ticket) = EndpointTicket::decode_string(&name) {
            (ticket.into(), None)
        } else if let Ok(Invite { addr, secret }) = Invite::decode_string(&name) {
            (addr, Some(secret))
        } else {
            return Err(not_a_target(name));
        };
        Ok(Self { name, addr, secret })
    }
}

/// A host that is known by nothing else.
impl From<EndpointAddr> for Target {
    fn from(addr: EndpointAddr) -> Self {
        Self { name: addr.id.to_string(), addr, secret: None }
    }
}

impl From<EndpointId> for Target {
    fn from(id: EndpointId) -> Self {
        EndpointAddr::from(id).into()
    }
}

impl From<EndpointTicket> for Target {
    fn from(ticket: EndpointTicket) -> Self {
        EndpointAddr::from(ticket).into()
    }
}

impl From<Invite> for Target {
    fn from(Invite { addr, secret }: Invite) -> Self {
        Self { secret: Some(secret), ..addr.into() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short_name())
    }
}

/// Without the name, which may be an invite.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("addr", &self.addr).field("secret", &self.secret).finish()
    }
}

fn not_a_target(name: String) -> TargetError {
    // An endpoint id in base32 has 52 characters: so much after the word is no name somebody chose.
    for (kind, word) in [("ticket", EndpointTicket::KIND), ("invite", Invite::KIND)] {
        let rest = name.strip_prefix(word).unwrap_or_default();
        if rest.bytes().take_while(u8::is_ascii_alphanumeric).count() >= 24 {
            return TargetError::Damaged { kind };
        }
    }
    TargetError::Unknown { name, suggestion: None }
}

fn nearest(name: &str, aliases: &BTreeMap<String, String>) -> Option<String> {
    let distance = |alias: &&String| strsim::damerau_levenshtein(name, &alias.to_ascii_lowercase());
    let nearest = aliases.keys().min_by_key(distance)?;
    let close = distance(&nearest) <= 1 + name.chars().count() / 4;
    close.then(|| nearest.clone())
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;
    use proptest::prelude::*;

    use super::*;

    fn addr() -> EndpointAddr {
        EndpointAddr::new(SecretKey::from_bytes(&[7; 32]).public())
            .with_ip_addr("192.0.2.1:4242".parse().expect("an address"))
    }

    #[test]
    fn every_form_is_read_with_and_without_suffix_in_any_case() {
        let id = addr().id;
        let invite = Invite { addr: addr(), secret: InviteSecret([9; 16]) };
        let base32 = EndpointTicket::new(id.into()).to_string();
        for text in [id.to_string(), EndpointTicket::new(addr()).to_string(), invite.to_string(), base32] {
            for text in [text.clone(), format!("{text}.irosh"), text.to_uppercase(), format!("{text}.IROSH.")]
            {
                let target: Target = text.parse().expect(&text);
                assert_eq!(target.addr().id, id, "{text}");
            }
        }
        let target: Target = invite.to_string().parse().expect("an invite");
        assert_eq!(target.secret(), Some(&InviteSecret([9; 16])));
        assert_eq!(target.addr(), &addr());
    }

    #[test]
    fn what_is_known_otherwise_is_written_so_that_nothing_is_lost() {
        let invite = Invite { addr: addr(), secret: InviteSecret([9; 16]) };
        let ticket = EndpointTicket::new(addr());
        for target in
            [addr().id.into(), addr().into(), Target::from(ticket.clone()), Target::from(invite.clone())]
        {
            let again: Target = target.written().parse().expect("a target");
            assert_eq!((again.addr(), again.secret()), (target.addr(), target.secret()));
        }
        // What was typed stays as it was.
        for text in [addr().id.to_string(), ticket.to_string(), invite.to_string()] {
            assert_eq!(text.parse::<Target>().expect("a target").written(), text);
        }
        let aliases = BTreeMap::from([("box".to_owned(), ticket.to_string())]);
        assert_eq!(Target::resolve("box", &aliases).expect("a target").written(), "box");
    }

    #[test]
    fn an_alias_stands_for_a_ticket() {
        let aliases = BTreeMap::from([("box".to_owned(), EndpointTicket::new(addr()).to_string())]);
        for text in ["box", "BOX", "box.irosh"] {
            let target = Target::resolve(text, &aliases).expect(text);
            assert_eq!((target.name(), target.addr()), ("box", &addr()));
        }
    }

    #[test]
    fn a_misspelt_alias_is_suggested() {
        let aliases = BTreeMap::from([("workbench".to_owned(), String::new())]);
        let error = Target::resolve("workbenhc", &aliases).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `workbench`?"), "{error}");
        let error = Target::resolve("printer", &aliases).expect_err("unknown").to_string();
        assert!(error.contains("irosh hosts list"), "{error}");
    }

    #[test]
    fn a_damaged_ticket_is_called_that() {
        let mut ticket = EndpointTicket::new(addr()).to_string();
        ticket.truncate(60);
        assert_eq!(ticket.parse::<Target>(), Err(TargetError::Damaged { kind: "ticket" }));
        let secret = InviteSecret([7; 16]);
        let invite = format!("{}:22", Invite { addr: addr(), secret });
        assert_eq!(invite.parse::<Target>(), Err(TargetError::Damaged { kind: "invite" }));
        assert!(matches!("invites".parse::<Target>(), Err(TargetError::Unknown { .. })));
    }

    #[test]
    fn an_invite_is_never_printed() {
        let invite = Invite { addr: addr(), secret: InviteSecret([9; 16]) };
        let target: Target = invite.to_string().parse().expect("an invite");
        let shown = format!("{target} {target:?}");
        assert!(!shown.contains("[9, 9") && !shown.contains("invite"), "{shown}");
        let shortest = Invite { addr: addr().id.into(), secret: InviteSecret([0; 16]) }.to_string();
        let target: Target = shortest.parse().expect("an invite");
        assert!(!target.short_name().contains("invite"), "{target}");
        // The name that was given to it tells nothing.
        let aliases = BTreeMap::from([("box".to_owned(), shortest)]);
        assert_eq!(Target::resolve("box", &aliases).expect("an alias").short_name(), "box");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,200}") {
            let _ = text.parse::<Target>();
            let _ = format!("endpoint{text}").parse::<Target>();
            let _ = format!("invite{text}").parse::<Target>();
        }
    }
}
