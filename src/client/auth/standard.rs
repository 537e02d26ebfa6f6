//! Logging in as ssh does.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Mutex;

use super::{
    agent::{self, AgentSource},
    attempt::{Attempt, Key, Method, ServerSays},
    authenticator::Authenticator,
    identity::{self, Asking},
    prompt::{Answer, NoPrompt, Prompt, Question, Topic},
};
use crate::questions::{BoxFuture, Questions, Secret};

/// The order of methods where none is configured (`PreferredAuthentications`).
const ORDER: [Method; 3] = [Method::PublicKey, Method::KeyboardInteractive, Method::Password];

/// The names of key files in `~/.ssh` where none is configured (`IdentityFile`).
const IDENTITY_NAMES: [&str; 6] =
    ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss"];

/// What [`Standard`] logs in with, by the names of ssh_config(5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StandardOptions {
    /// `IdentityAgent`.
    pub agent: AgentSource,
    /// `IdentityFile`. Files that are not there are left out.
    pub identity_files: Vec<PathBuf>,
    /// `CertificateFile`.
    pub certificate_files: Vec<PathBuf>,
    /// `IdentitiesOnly`: of the agent's keys, only those that a file names.
    pub identities_only: bool,
    /// `PreferredAuthentications`.
    pub preferred: Vec<Method>,
    /// `NumberOfPasswordPrompts`.
    pub password_prompts: u32,
    /// The name of the host in questions.
    pub host: String,
}

impl StandardOptions {
    /// The defaults of ssh: the agent, and the usual files of this home.
    #[must_use]
    pub fn new(host: impl Into<String>, home: Option<&std::path::Path>) -> Self {
        let folder = home.map(|home| home.join(".ssh"));
        Self {
            agent: AgentSource::Environment,
            identity_files: IDENTITY_NAMES
                .iter()
                .filter_map(|name| folder.as_ref().map(|folder| folder.join(name)))
                .collect(),
            certificate_files: Vec::new(),
            identities_only: false,
            preferred: ORDER.to_vec(),
            password_prompts: 3,
            host: host.into(),
        }
    }
}

/// Logs in as ssh does: keys of the agent, keys in files, keyboard-interactive, a password.
///
/// No key is offered twice. Where nobody can be asked, keyboard-interactive and passwords are left out, as
/// with `BatchMode`.
pub struct Standard {
    options: StandardOptions,
    prompt: Arc<Mutex<Box<dyn Prompt>>>,
    keys: Option<VecDeque<Key>>,
    /// The name of the login in questions.
    login: String,
    questions: Tries,
    passwords: u32,
    cancelled: Arc<AtomicBool>,
    notes: Vec<String>,
}

/// How often questions were tried.
#[derive(Debug, Default)]
struct Tries {
    count: u32,
    asked: bool,
}

/// A clone asks the same person, and has tried nothing yet.
impl Clone for Standard {
    fn clone(&self) -> Self {
        Self { prompt: Arc::clone(&self.prompt), ..Self::new(self.options.clone()) }
    }
}

impl std::fmt::Debug for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standard").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Standard {
    /// Logs in with these.
    #[must_use]
    pub fn new(options: StandardOptions) -> Self {
        Self {
            options,
            prompt: Arc::new(Mutex::new(Box::new(NoPrompt))),
            keys: None,
            login: String::new(),
            questions: Tries::default(),
            passwords: 0,
            cancelled: Arc::default(),
            notes: Vec::new(),
        }
    }

    /// Asks this where a person is needed; nobody is asked otherwise.
    #[must_use]
    pub fn prompt(mut self, prompt: impl Prompt + 'static) -> Self {
        self.prompt = Arc::new(Mutex::new(Box::new(prompt)));
        self
    }

    /// The keys in ssh's order: certificates that are configured, keys of the agent that files name, other
    /// keys of the agent, keys that are in files alone.
    async fn collect(&mut self) -> VecDeque<Key> {
        let asking = Asking {
            prompt: Arc::clone(&self.prompt),
            times: self.options.password_prompts,
            cancelled: Arc::clone(&self.cancelled),
        };
        let mut files = Vec::new();
        for path in &self.options.identity_files {
            match identity::keys_of(path, &asking, &mut self.notes) {
                Ok(keys) => files.extend(keys),
                Err(error) => self.notes.push(error.to_string()),
            }
        }
        let agent = agent::keys(&self.options.agent).await.unwrap_or_else(|error| {
            self.notes.push(error);
            Vec::new()
        });
        // The private half of a key whose certificate is in a file may be in the agent alone.
        for file in files.iter_mut().filter(|file| file.certificate.is_some()) {
            if let Some(key) = agent.iter().find(|key| key.public.key_data() == file.public.key_data()) {
                file.signer = Arc::clone(&key.signer);
            }
        }
        let mut ordered = self.certificates(&files, &agent);
        let (named, others): (Vec<Key>, Vec<Key>) =
            agent.into_iter().partition(|key| files.iter().any(|file| same(file, key)));
        // In the order of the files.
        for file in &files {
            ordered.extend(named.iter().filter(|key| same(file, key)).cloned());
        }
        if !self.options.identities_only {
            ordered.extend(others);
        }
        ordered.extend(files);
        let mut unique: VecDeque<Key> = VecDeque::new();
        for key in ordered {
            if !unique.iter().any(|other| same(other, &key)) {
                unique.push_back(key);
            }
        }
        unique
    }

    /// The certificates of CertificateFile, each with who can sign for it.
    fn certificates(&mut self, files: &[Key], agent: &[Key]) -> Vec<Key> {
        let mut found = Vec::new();
        for path in &self.options.certificate_files {
            match identity::certificate(path) {
                Ok(Some(certificate)) => {
                    let signs = |key: &&Key| key.public.key_data() == certificate.public_key();
                    match agent.iter().find(signs).or_else(|| files.iter().find(signs)) {
                        Some(key) => found.push(Key { certificate: Some(certificate), ..key.clone() }),
                        None => self.notes.push(format!("{}: its key is not there", path.display())),
                    }
                }
                Ok(None) => self.notes.push(format!("{}: not found", path.display())),
                Err(error) => self.notes.push(error.to_string()),
            }
        }
        found
    }

    /// The next key that was not offered yet.
    async fn next_key(&mut self) -> Option<Key> {
        if self.keys.is_none() {
            self.keys = Some(self.collect().await);
        }
        self.keys.as_mut().and_then(VecDeque::pop_front)
    }

    async fn next(&mut self, server: &ServerSays) -> Option<Attempt> {
        self.login.clone_from(&server.login);
        // At the question for a passphrase.
        if self.cancelled.load(Ordering::Relaxed) {
            return Some(Attempt::Cancel);
        }
        for method in self.options.preferred.clone() {
            if !server.methods.contains(&method) {
                continue;
            }
            let needs_somebody = matches!(method, Method::KeyboardInteractive | Method::Password);
            if needs_somebody && !self.prompt.lock().await.can_answer() {
                self.notes.push(format!("{method} was not tried: nobody can be asked"));
                continue;
            }
            match method {
                Method::PublicKey => {
                    if let Some(key) = self.next_key().await {
                        return Some(Attempt::PublicKey(Box::new(key)));
                    }
                }
                // A server that refuses without a question will not ask the next time either.
                Method::KeyboardInteractive
                    if self.questions.count < self.options.password_prompts
                        && (self.questions.count == 0 || self.questions.asked) =>
                {
                    self.questions.count += 1;
                    return Some(Attempt::KeyboardInteractive);
                }
                Method::Password if self.passwords < self.options.password_prompts => {
                    self.passwords += 1;
                    let text = format!("{}@{}'s password: ", server.login, self.options.host);
                    let question = Question { topic: Topic::Password, text: &text, echo: false };
                    match self.prompt.lock().await.ask(question).await {
                        Answer::Given(password) => return Some(Attempt::Password(password)),
                        Answer::Cancelled => return Some(Attempt::Cancel),
                        Answer::None => self.passwords = self.options.password_prompts,
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Whether two are the same key, and the same certificate if there is one.
fn same(one: &Key, other: &Key) -> bool {
    one.public.key_data() == other.public.key_data() && one.certificate == other.certificate
}

impl Authenticator for Standard {
    fn first_key<'a>(&'a mut self, login: &'a str) -> BoxFuture<'a, Option<Key>> {
        Box::pin(async move {
            login.clone_into(&mut self.login);
            if self.options.preferred.first() != Some(&Method::PublicKey) {
                return None;
            }
            self.next_key().await
        })
    }

    fn next_attempt<'a>(&'a mut self, server: &'a ServerSays) -> BoxFuture<'a, Option<Attempt>> {
        Box::pin(self.next(server))
    }

    fn answer<'a>(&'a mut self, questions: &'a Questions) -> BoxFuture<'a, Option<Vec<Secret>>> {
        Box::pin(async move {
            let Questions { name, instructions, questions } = questions;
            let topic = Topic::KeyboardInteractive { name, instructions };
            let mut answers = Vec::with_capacity(questions.len());
            let mut prompt = self.prompt.lock().await;
            prompt.tell(name, instructions).await;
            for (text, echo) in questions {
                self.questions.asked = true;
                // Whoever asks for the password of something else is told from what asks here.
                let text = format!("({}@{}) {text}", self.login, self.options.host);
                answers.push(match prompt.ask(Question { topic, text: &text, echo: *echo }).await {
                    Answer::Given(answer) => answer,
                    Answer::Cancelled => return None,
                    Answer::None => {
                        // An empty answer is wrong, and lets the next method have its turn.
                        self.questions.count = self.options.password_prompts;
                        Secret::default()
                    }
                });
            }
            Some(answers)
        })
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
