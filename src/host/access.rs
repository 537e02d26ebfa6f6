//! Who reaches SSH.

use serde::{Deserialize, Serialize};

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
