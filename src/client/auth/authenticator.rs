//! Who proves the login.

use super::attempt::{Attempt, Key, ServerSays};
use crate::questions::{BoxFuture, Questions, Secret};

/// Proves who logs in, one attempt after the other.
///
/// The `none` method has been tried before the first: it tells what the server allows, and some servers
/// need no more.
///
/// Each login has a clone of what was given to [`ClientOptions`](crate::client::ClientOptions), so what is kept here of
/// one login is not known to the next.
pub trait Authenticator: Send {
    /// A key to offer along with `none`, before the server has said what it takes, where a key was all that the last
    /// login there took: saves a round trip. It counts as an attempt like any other, and is not to be offered again.
    fn first_key<'a>(&'a mut self, login: &'a str) -> BoxFuture<'a, Option<Key>> {
        let _ = login;
        Box::pin(async { None })
    }

    /// The next attempt, given what the server says; `None` gives up.
    fn next_attempt<'a>(&'a mut self, server: &'a ServerSays) -> BoxFuture<'a, Option<Attempt>>;

    /// Answers to the questions of keyboard-interactive, one each; `None` gives up the whole login.
    fn answer<'a>(&'a mut self, questions: &'a Questions) -> BoxFuture<'a, Option<Vec<Secret>>>;

    /// Why keys or files were not tried, for the error of a login that failed.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An authenticator that nobody has used yet, of which each login gets a copy.
pub(crate) trait Template: Authenticator {
    fn copy(&self) -> Box<dyn Template>;
}

impl<A: Authenticator + Clone + 'static> Template for A {
    fn copy(&self) -> Box<dyn Template> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Template> {
    fn clone(&self) -> Self {
        (**self).copy()
    }
}

/// Has nothing to log in with: for servers that need nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

impl Authenticator for NoCredentials {
    fn next_attempt<'a>(&'a mut self, _: &'a ServerSays) -> BoxFuture<'a, Option<Attempt>> {
        Box::pin(async { None })
    }

    fn answer<'a>(&'a mut self, _: &'a Questions) -> BoxFuture<'a, Option<Vec<Secret>>> {
        Box::pin(async { None })
    }
}
