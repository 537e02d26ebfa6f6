//! Asking a person.

use std::path::Path;

use super::{BoxFuture, Secret};

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The passphrase of this key file.
    Passphrase(&'a Path),
    /// The password of the login.
    Password,
    /// What the server asks, with its title and instructions, which may be empty.
    KeyboardInteractive {
        /// A title.
        name: &'a str,
        /// What to read first.
        instructions: &'a str,
    },
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// What it is about.
    pub topic: Topic<'a>,
    /// The question itself. It may come from the server and hold control characters.
    pub text: &'a str,
    /// Whether the answer may be shown while it is typed.
    pub echo: bool,
}

/// Asks a person.
pub trait Prompt: Send {
    /// The answer; `None` when nobody can answer, or does not want to.
    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Option<Secret>>;
}

/// There is nobody to ask (`BatchMode`).
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn ask<'a>(&'a mut self, _: Question<'a>) -> BoxFuture<'a, Option<Secret>> {
        Box::pin(async { None })
    }
}

impl<F> Prompt for F
where
    F: FnMut(Question<'_>) -> Option<Secret> + Send,
{
    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Option<Secret>> {
        let answer = self(question);
        Box::pin(async { answer })
    }
}
