//! The login, attempt by attempt.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, Handle, KeyboardInteractiveAuthResponse},
    keys::{HashAlg, ssh_key::Algorithm},
};
use tokio::sync::watch;

use super::{
    attempt::{Attempt, Key, Method, ServerSays},
    authenticator::Authenticator,
    by_key::ByKey,
    signer::{Adapter, AdapterError},
};
use crate::{
    client::{handler::ClientHandler, shared::Shared, state::Disconnected},
    log::one_line,
    questions::{Questions, Secret},
};

/// What sshd says before it hangs up on who tried too often, at all its versions.
const TOO_MANY: &str = "Too many authentication failures";

/// What OpenSSH's server and the built-in one call themselves.
const OPENSSH: &str = "SSH-2.0-OpenSSH";

/// Rounds of questions in one attempt, more than which no server needs.
const MOST_ROUNDS: usize = 64;

/// The server did not accept any proof.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The login.
    pub login: String,
    /// What was tried, in order: methods, and keys by their fingerprints.
    pub tried: Vec<String>,
    /// The methods that the server still allows.
    pub remaining: Vec<Method>,
    /// Whether something was right, and more was wanted.
    pub partial_success: bool,
    /// Why keys or files were not tried.
    pub notes: Vec<String>,
}

/// The login failed; see [`ConnectError`](crate::client::ConnectError).
#[derive(Debug)]
pub(crate) enum LoginError {
    Refused(Refused),
    WrongPassword {
        login: String,
        remaining: Vec<Method>,
        notes: Vec<String>,
    },
    TooManyAttempts {
        tried: Vec<String>,
    },
    PasswordChange(String),
    Cancelled,
    /// More rounds of questions than any server needs.
    Endless,
    Deadline(Duration),
    Disconnected(Disconnected),
}

/// The sentence of a login that failed.
pub(crate) fn refusal(refused: &Refused) -> String {
    let names: Vec<_> = refused.remaining.iter().map(|method| method.name()).collect();
    let taken = one_line(&names.join(", "));
    let mut text = format!("permission denied for {}: the server takes {taken}", refused.login);
    if names.is_empty() {
        text = format!("permission denied for {}: the server takes nothing more", refused.login);
    }
    if refused.partial_success {
        text.push_str(", besides what it has accepted");
    }
    if !refused.tried.is_empty() {
        text.push_str(&format!("; tried {}", refused.tried.join(", ")));
    }
    text + &lines(&refused.notes)
}

/// The sentence of a password, or of answers, that were wrong.
pub(crate) fn wrong_password(login: &str, notes: &[String]) -> String {
    format!("the password of {login} was not accepted") + &lines(notes)
}

fn lines(notes: &[String]) -> String {
    notes.iter().map(|note| format!("\n{note}")).collect()
}

/// A login that is about to be tried.
pub(crate) struct Login<'a> {
    pub(crate) name: &'a [u8],
    /// How long the server may take for each step.
    pub(crate) deadline: Duration,
    pub(crate) authenticator: Box<dyn Authenticator>,
    /// Whether a key was enough the last time.
    pub(crate) by_key: Option<ByKey>,
    pub(crate) shared: &'a Arc<Shared>,
}

/// How one attempt went.
enum Outcome {
    In,
    No {
        methods: MethodSet,
        partial_success: bool,
    },
    /// Nothing was sent, or the server still waits for the proof.
    Untried,
}

impl From<AuthResult> for Outcome {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Self::No { methods: remaining_methods, partial_success }
            }
        }
    }
}

impl Login<'_> {
    /// Tries until the server is content.
    ///
    /// # Errors
    ///
    /// [`LoginError`].
    pub(crate) async fn run(mut self, handle: &mut Handle<ClientHandler>) -> Result<(), LoginError> {
        let mut progress = Progress::default();
        let result = self.try_all(handle, &mut progress).await;
        if let Some(by_key) = &self.by_key {
            by_key.note(result.is_ok() && progress.ended_with_a_key && !progress.partial);
        }
        result
    }

    async fn try_all(
        &mut self,
        handle: &mut Handle<ClientHandler>,
        progress: &mut Progress,
    ) -> Result<(), LoginError> {
        let mut says = ServerSays { login: self.shown_name(), methods: Vec::new(), partial_success: false };
        let mut outcome = self.first(handle, progress).await?;
        loop {
            match outcome {
                Outcome::In => return Ok(()),
                Outcome::No { methods, partial_success } => {
                    if methods.is_empty()
                        && let Some(why) = self.hung_up(handle).await
                        && why != Disconnected::ByUs
                    {
                        return Err(self.ended(why, progress));
                    }
                    says.methods = methods.iter().map(|kind| Method::of(*kind)).collect();
                    says.partial_success = partial_success;
                    progress.partial |= partial_success;
                }
                Outcome::Untried => {}
            }
            let attempt = if says.methods.is_empty() {
                None
            } else {
                // People and agents take the time that they need, but a server that leaves is noticed.
                tokio::select! {
                    attempt = self.authenticator.next_attempt(&says) => attempt,
                    why = self.shared.wait_disconnected() => return Err(self.ended(why, progress)),
                }
            };
            let takes_keys = says.methods.contains(&Method::PublicKey);
            let again = || progress.too_early.take_if(|_| takes_keys).map(Attempt::PublicKey);
            let attempt = attempt.or_else(again);
            outcome = match attempt {
                None => return Err(self.refused(&says, std::mem::take(progress))),
                Some(Attempt::Cancel) => return Err(LoginError::Cancelled),
                Some(attempt) => self.attempt(handle, attempt, progress).await?,
            };
        }
    }

    /// Asks what the server takes; where a key was all that it took the last time, that is offered in the same breath.
    async fn first(
        &mut self,
        handle: &mut Handle<ClientHandler>,
        progress: &mut Progress,
    ) -> Result<Outcome, LoginError> {
        let mut key = None;
        if self.by_key.as_ref().is_some_and(ByKey::is_expected) && self.answers_in_order() {
            let login = self.shown_name();
            key = tokio::select! {
                key = self.authenticator.first_key(&login) => key,
                why = self.shared.wait_disconnected() => return Err(self.ended(why, progress)),
            };
        }
        let none = match key {
            None => self.in_time(handle.authenticate_none(self.name)).await?,
            Some(key) => {
                let sent = handle.authenticate_none_ahead(self.name).await;
                sent.map_err(|error| self.gone(&error, progress))?;
                match self.public_key(handle, &key, progress).await? {
                    Outcome::Untried => self.in_time(handle.none_ahead_answer()).await?,
                    outcome => {
                        let refused = matches!(&outcome, Outcome::No { methods, .. } if !methods.contains(&MethodKind::PublicKey));
                        progress.too_early = refused.then(|| Box::new(key));
                        return Ok(outcome);
                    }
                }
            }
        };
        none.map(Outcome::from).map_err(|error| self.gone(&error, progress))
    }

    /// Whether the server is one that is known to answer one request after the other, and to ignore those that follow a
    /// success (RFC 4252 section 5.1).
    fn answers_in_order(&self) -> bool {
        self.shared.metadata().identification.starts_with(OPENSSH)
    }

    async fn attempt(
        &mut self,
        handle: &mut Handle<ClientHandler>,
        attempt: Attempt,
        progress: &mut Progress,
    ) -> Result<Outcome, LoginError> {
        match attempt {
            Attempt::PublicKey(key) => self.public_key(handle, &key, progress).await,
            Attempt::Password(password) => {
                progress.add(Method::Password.name().to_owned(), true);
                let tried = handle.authenticate_password(self.name, password.as_str());
                match self.in_time(tried).await? {
                    Ok(result) => Ok(result.into()),
                    Err(russh::Error::PasswordChange(prompt)) => Err(LoginError::PasswordChange(prompt)),
                    Err(error) => Err(self.gone(&error, progress)),
                }
            }
            Attempt::KeyboardInteractive => self.questions(handle, progress).await,
            Attempt::Cancel => Err(LoginError::Cancelled),
        }
    }

    async fn public_key(
        &mut self,
        handle: &mut Handle<ClientHandler>,
        key: &Key,
        progress: &mut Progress,
    ) -> Result<Outcome, LoginError> {
        let mut hash = None;
        if matches!(key.public.algorithm(), Algorithm::Rsa { .. }) {
            let best = self.in_time(handle.best_supported_rsa_hash()).await?;
            hash = match best.map_err(|error| self.gone(&error, progress))? {
                // A server that does not say is taken at the best, as ssh does.
                None => Some(HashAlg::Sha512),
                Some(Some(hash)) => Some(hash),
                Some(None) => {
                    let name = key.name();
                    progress
                        .notes
                        .push(format!("{name}: the server takes RSA only with SHA-1, which is broken"));
                    return Ok(Outcome::Untried);
                }
            };
        }
        progress.add(key.name(), false);
        progress.ended_with_a_key = true;
        let busy = watch::Sender::new(false);
        let mut signer = Adapter { signer: key.signer.as_ref(), busy: &busy };
        let tried = async {
            match key.certificate.clone() {
                Some(certificate) => {
                    handle.authenticate_certificate_with(self.name, certificate, hash, &mut signer).await
                }
                None => {
                    handle.authenticate_publickey_with(self.name, key.public.clone(), hash, &mut signer).await
                }
            }
        };
        let result = tokio::select! {
            biased;
            result = tried => result,
            // A person may be asked for a passphrase.
            why = self.shared.wait_disconnected() => return Err(self.ended(why, progress)),
            () = silence(self.deadline, busy.subscribe()) => return Err(self.too_slow()),
        };
        match result {
            Ok(result) => Ok(result.into()),
            Err(AdapterError::Sign(error)) => {
                progress.notes.push(format!("{}: {error}", key.name()));
                Ok(Outcome::Untried)
            }
            Err(AdapterError::Gone) => Err(self.gone(&russh::Error::SendError, progress)),
        }
    }

    async fn questions(
        &mut self,
        handle: &mut Handle<ClientHandler>,
        progress: &mut Progress,
    ) -> Result<Outcome, LoginError> {
        progress.add(Method::KeyboardInteractive.name().to_owned(), false);
        let started = handle.authenticate_keyboard_interactive_start(self.name, None);
        let mut said = self.in_time(started).await?;
        for _ in 0..MOST_ROUNDS {
            let questions = match said.map_err(|error| self.gone(&error, progress))? {
                KeyboardInteractiveAuthResponse::Success => return Ok(Outcome::In),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    return Ok(Outcome::No { methods: remaining_methods, partial_success });
                }
                KeyboardInteractiveAuthResponse::InfoRequest { name, instructions, prompts } => Questions {
                    name,
                    instructions,
                    questions: prompts.into_iter().map(|prompt| (prompt.prompt, prompt.echo)).collect(),
                },
            };
            let answers = tokio::select! {
                answers = self.authenticator.answer(&questions) => answers.ok_or(LoginError::Cancelled)?,
                why = self.shared.wait_disconnected() => return Err(self.ended(why, progress)),
            };
            progress.last_was_secret |= !answers.is_empty();
            let answers = answers.into_iter().map(Secret::into_text).collect();
            said = self.in_time(handle.authenticate_keyboard_interactive_respond(answers)).await?;
        }
        Err(LoginError::Endless)
    }

    /// Not of `&self`, with which a login could not be spawned.
    async fn in_time<T>(&mut self, step: impl Future<Output = T>) -> Result<T, LoginError> {
        tokio::time::timeout(self.deadline, step).await.map_err(|_| self.too_slow())
    }

    /// The login, for people.
    fn shown_name(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    fn too_slow(&self) -> LoginError {
        LoginError::Deadline(self.deadline)
    }

    /// Why the server has hung up, if it has.
    async fn hung_up(&mut self, handle: &Handle<ClientHandler>) -> Option<Disconnected> {
        let noted = || self.shared.why().borrow().clone();
        if noted().is_none() && handle.is_closed() {
            let _ = tokio::time::timeout(self.deadline, self.shared.wait_disconnected()).await;
        }
        noted()
    }

    fn gone(&self, error: &russh::Error, progress: &Progress) -> LoginError {
        let noted = self.shared.why().borrow().clone();
        self.ended(noted.unwrap_or_else(|| Disconnected::from_error(error)), progress)
    }

    fn ended(&self, why: Disconnected, progress: &Progress) -> LoginError {
        match why {
            Disconnected::ByServer { message, .. } if message.contains(TOO_MANY) => {
                LoginError::TooManyAttempts { tried: progress.tried.clone() }
            }
            why => LoginError::Disconnected(why),
        }
    }

    fn refused(&self, says: &ServerSays, progress: Progress) -> LoginError {
        let (login, remaining) = (self.shown_name(), says.methods.clone());
        let mut notes = progress.notes;
        notes.extend(self.authenticator.notes());
        let notes: BTreeSet<_> = notes.into_iter().collect();
        let notes = notes.into_iter().collect();
        if progress.last_was_secret && !says.partial_success {
            return LoginError::WrongPassword { login, remaining, notes };
        }
        LoginError::Refused(Refused {
            login,
            tried: progress.tried,
            remaining,
            partial_success: progress.partial,
            notes,
        })
    }
}

/// What was tried so far.
#[derive(Default)]
struct Progress {
    tried: Vec<String>,
    notes: Vec<String>,
    partial: bool,
    last_was_secret: bool,
    /// Whether a key was the last that was tried.
    ended_with_a_key: bool,
    /// A key that was offered when something else was wanted first.
    too_early: Option<Box<Key>>,
}

impl Progress {
    fn add(&mut self, what: String, secret: bool) {
        self.tried.push(what);
        (self.last_was_secret, self.ended_with_a_key) = (secret, false);
    }
}

/// Waits until the server alone has taken so long, beginning anew after each time that something here was
/// busy.
async fn silence(limit: Duration, mut busy: watch::Receiver<bool>) {
    loop {
        if busy.wait_for(|busy| !busy).await.is_err() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = tokio::time::sleep(limit) => return,
            _ = busy.wait_for(|busy| *busy) => {}
        }
    }
}
