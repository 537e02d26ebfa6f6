//! What an identity may do at the built-in server: the options of `authorized_keys` that restrict a login.

use std::fmt;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::server::{key_options::KeyOptions, option_list::options};

/// Options such as `restrict`, `command="..."` or `permitopen="..."`, in order, as a line of
/// `authorized_keys` has them.
///
/// They are kept as text: the built-in server reads them, in a process of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Restrictions(Vec<(String, Option<String>)>);

/// Options that speak of keys and signatures, of which there are none here, or of the line itself.
const NOT_OF_LOGINS: [&str; 7] = [
    "expiry-time",
    "cert-authority",
    "principals",
    "touch-required",
    "no-touch-required",
    "verify-required",
    "no-verify-required",
];

impl Restrictions {
    /// Reads options with commas between them.
    ///
    /// # Errors
    ///
    /// A sentence that names the option that is wrong.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut read = Self::default();
        for option in options(list) {
            let option = option.map_err(|error| error.to_string())?;
            read.push(option.name, option.value.map(|value| value.text.into_owned()));
        }
        read.check().map(|()| read)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is run in place of what the peer asks for.
    pub(super) fn command(&self) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case("command"))?;
        value.as_deref()
    }

    /// These, and then others, which have the last word.
    pub(super) fn and(&self, others: &Self) -> Self {
        Self(self.0.iter().chain(&others.0).cloned().collect())
    }

    pub(super) fn push(&mut self, name: &str, value: Option<String>) {
        self.0.push((name.to_owned(), value));
    }

    /// Whether the built-in server will understand them, and they mean anything there.
    pub(super) fn check(&self) -> Result<(), String> {
        let lower = |name: &String| name.to_ascii_lowercase();
        if let Some((name, _)) = self.0.iter().find(|(name, _)| NOT_OF_LOGINS.contains(&lower(name).as_str()))
        {
            return Err(format!("option `{name}` does not restrict a login"));
        }
        KeyOptions::parse(&self.to_string(), &TimeZone::UTC).map(drop).map_err(|error| error.to_string())
    }

    /// These with `newer` ones, which replace those of the same name or of its opposite.
    pub(super) fn changed_by(&self, newer: &Self) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !newer.0.iter().any(|(new, _)| base(new) == base(name)));
        Self(kept.chain(&newer.0).cloned().collect())
    }
}

/// What an option is about: `pty` and `no-pty` are about the same.
fn base(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_prefix("no-").unwrap_or(&name).to_owned()
}

impl fmt::Display for Restrictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match value {
                None => write!(f, "{comma}{name}")?,
                Some(value) => write!(f, "{comma}{name}={}", quoted(value))?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Restrictions {
    type Error = String;

    fn try_from(list: String) -> Result<Self, String> {
        Self::parse(&list)
    }
}

impl From<Restrictions> for String {
    fn from(restrictions: Restrictions) -> Self {
        restrictions.to_string()
    }
}

/// A value as it stands in a line: `\"` is the one escape there is.
pub(super) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_as_they_were_written() {
        let text =
            r#"restrict,pty,command="tar \"a b\", c",permitopen="h:1",permitopen="h:2",from="127.1.2.3""#;
        assert_eq!(Restrictions::parse(text).expect(text).to_string(), text);
        assert!(Restrictions::parse("").expect("none").is_empty());
    }

    #[test]
    fn what_the_server_would_not_apply_is_refused_and_named() {
        for (text, part) in [
            ("frobnicate", "unknown option `frobnicate`"),
            ("command", "option command needs a value"),
            ("no-pty=\"x\"", "unknown option `no-pty`"),
            ("command=\"a\",command=\"b\"", "more than one option command"),
            ("permitopen=\"nowhere\"", "nowhere"),
            ("Cert-Authority", "`Cert-Authority` does not restrict"),
            ("expiry-time=\"20400101\"", "`expiry-time` does not restrict"),
            ("principals=\"a\"", "`principals` does not restrict"),
        ] {
            let error = Restrictions::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_change_touches_what_it_is_about_alone() {
        let old = Restrictions::parse("no-pty,command=\"a\",permitopen=\"h:1\"").expect("options");
        let newer = Restrictions::parse("PTY,permitopen=\"h:2\",no-x11-forwarding").expect("options");
        let expected = "command=\"a\",PTY,permitopen=\"h:2\",no-x11-forwarding";
        assert_eq!(old.changed_by(&newer).to_string(), expected);
    }
}
