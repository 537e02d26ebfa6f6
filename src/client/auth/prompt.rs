//! Asking a person.

use std::path::Path;

use crate::questions::{BoxFuture, Secret};

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The passphrase of this key file.
    Passphrase(&'a Path),
    /// The password of the login.
    Password,
    /// What the server asks, with the title and instructions of the request, which may be empty;
    /// [`Prompt::tell`] was given them before.
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

/// What comes of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This.
    Given(Secret),
    /// Nothing to this question; there may be another way to log in.
    None,
    /// Whoever was asked does not want to log in any more.
    Cancelled,
}

impl From<Option<Secret>> for Answer {
    fn from(answer: Option<Secret>) -> Self {
        answer.map_or(Self::None, Self::Given)
    }
}

/// Asks a person.
pub trait Prompt: Send {
    /// Shows what comes with a request of keyboard-interactive: a title and instructions, either of which
    /// may be empty. It is called once a request, before its questions, and also where it has none. Both
    /// texts are the server's, and may hold control characters. Unless this is implemented, they are shown
    /// nowhere.
    fn tell<'a>(&'a mut self, name: &'a str, instructions: &'a str) -> BoxFuture<'a, ()> {
        let _ = (name, instructions);
        Box::pin(std::future::ready(()))
    }

    /// The answer. Dropping the future takes the question back.
    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Answer>;

    /// Whether there is somebody to ask. Methods that need somebody are not tried otherwise.
    fn can_answer(&self) -> bool {
        true
    }
}

/// There is nobody to ask (`BatchMode`).
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn ask<'a>(&'a mut self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(async { Answer::None })
    }

    fn can_answer(&self) -> bool {
        false
    }
}

impl<F> Prompt for F
where
    F: FnMut(Question<'_>) -> Option<Secret> + Send,
{
    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let answer = self(question).into();
        Box::pin(async { answer })
    }
}
