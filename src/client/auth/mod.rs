//! Logging in (RFC 4252).

mod agent;
mod attempt;
mod authenticator;
mod by_key;
mod identity;
mod login;
mod prompt;
mod signer;
mod simple;
mod standard;

pub use crate::questions::{BoxFuture, Questions, Secret};
pub use agent::AgentSource;
pub use attempt::{Attempt, Key, Method, ServerSays};
pub use authenticator::{Authenticator, NoCredentials};
pub use identity::IdentityError;
pub use login::Refused;
pub use prompt::{Answer, NoPrompt, Prompt, Question, Topic};
pub use signer::{KeySigner, LocalKey, SignError};
pub use simple::{Agent, KeyPair, Password};
pub use standard::{Standard, StandardOptions};

pub(crate) use authenticator::Template;
pub(crate) use by_key::ByKey;
pub(crate) use login::{Login, LoginError, refusal, wrong_password};
