//! Authentication (RFC 4252): who asks, by which methods, and when it is enough.

mod authenticator;
mod candidate;
mod certificate;
mod command;
mod files;
mod keys;
mod log;
mod offer;
mod password;

use std::{
    io,
    sync::{Arc, Mutex},
};

use russh::{MethodSet, server::Auth};

use super::{
    config::{Config, SshdConfig, value::Method},
    key_options::{KeyOptions, Whence},
    login::Login,
    origin::Origin,
    pace::most_rejections,
};
use crate::questions::{Questions, Secret};
use candidate::{Candidate, Outcome, methods};
use log::{Record, of_offer};

pub use authenticator::{Authenticator, Entrance, Interaction, LoginRequest, NotAdmitted};
pub(super) use offer::Offer;
pub use password::{PasswordFile, SetPasswordError, set_password};

/// The state of one connection's authentication.
pub(super) struct Authentication {
    config: Arc<SshdConfig>,
    /// The logins that the one who started this server vouches for.
    vouched: Vec<String>,
    /// What whoever logs in may do at most.
    restrictions: Option<KeyOptions>,
    authenticator: Box<dyn Authenticator>,
    /// What the authenticator had left to say when it was let go.
    notice: Option<String>,
    /// What is shown before the first answer.
    banner: Option<String>,
    /// Whether somebody has asked to come in.
    greeted: bool,
    origin: Option<Origin>,
    record: Record,
    candidate: Option<Candidate>,
    /// How many questions are open.
    asked: usize,
}

/// An attempt to come in, as the log names it.
struct Attempt {
    method: Method,
    /// By what: a key, or why it does not count.
    by: Option<String>,
}

impl Attempt {
    fn new(method: Method) -> Self {
        Self { method, by: None }
    }

    fn with(method: Method, offer: &Offer<'_>) -> Self {
        Self { method, by: Some(of_offer(offer)) }
    }
}

/// Whoever has logged in cannot enter; the connection must end.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotEntered {
    /// There is none.
    #[error("nobody has logged in")]
    Nobody,
    /// What /etc/nologin says.
    #[error("{0}")]
    Notice(String),
    /// The authenticator.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// The system.
    #[error("cannot become the user: {0}")]
    System(#[from] io::Error),
}

impl Authentication {
    pub(super) fn new(
        config: Arc<SshdConfig>,
        vouched: Vec<String>,
        authenticator: Box<dyn Authenticator>,
        origin: Option<Origin>,
    ) -> Self {
        Self {
            config,
            vouched,
            restrictions: None,
            authenticator,
            notice: None,
            banner: None,
            greeted: false,
            record: Record::new(origin.as_ref()),
            origin,
            candidate: None,
            asked: 0,
        }
    }

    /// Whoever logs in may do no more than this.
    pub(super) fn restricted(self, restrictions: Option<KeyOptions>) -> Self {
        Self { restrictions, ..self }
    }

    /// The candidate of this name, and what else decides; another name begins anew.
    fn parts(&mut self, user: &str) -> (&mut Candidate, &mut dyn Authenticator, Whence<'_>) {
        let checks_accounts = self.authenticator.checks_accounts();
        let new = || {
            let candidate = Candidate::new(user, &self.config, self.origin.as_ref(), !checks_accounts);
            let whence = Origin::whence(self.origin.as_ref());
            let candidate = candidate.restricted(self.restrictions.as_ref(), whence);
            if let Err(reason) = candidate.account() {
                self.record.refused(user, reason);
            }
            candidate
        };
        if self.candidate.as_ref().is_none_or(|candidate| !candidate.is_called(user)) {
            self.candidate = None;
        }
        let candidate = self.candidate.get_or_insert_with(new);
        if !std::mem::replace(&mut self.greeted, true) {
            self.banner = banner(candidate.config());
        }
        (candidate, self.authenticator.as_mut(), Origin::whence(self.origin.as_ref()))
    }

    /// Whether it is enough that somebody asks: whoever started this server knows that the login is theirs.
    fn is_vouched_for(&mut self, user: &str) -> bool {
        if !self.vouched.iter().any(|login| login == user) {
            return false;
        }
        let (candidate, ..) = self.parts(user);
        candidate.may_log_in(Method::PublicKey) && candidate.may_run(candidate.forced())
    }

    /// Lets in who is vouched for, by whatever method they try: some clients never ask for `none`.
    async fn vouch(&mut self, user: &str, method: Method) -> Auth {
        let (candidate, ..) = self.parts(user);
        let outcome = candidate.vouch();
        let by = Some("the host vouches for this login".to_owned());
        self.answer(user, Attempt { method, by }, outcome).await
    }

    /// `none`: succeeds where the login is vouched for; and says what methods there are.
    pub(super) async fn none(&mut self, user: &str) -> Auth {
        if self.is_vouched_for(user) {
            return self.vouch(user, Method::None).await;
        }
        self.answer(user, Attempt::new(Method::None), Outcome::Refused).await
    }

    /// Whether a key or certificate that is offered could be used to log in.
    pub(super) async fn offered(&mut self, user: &str, offer: &Offer<'_>) -> Auth {
        if self.is_vouched_for(user) {
            return Auth::Accept;
        }
        let (candidate, authenticator, whence) = self.parts(user);
        match candidate.authorize(offer, whence, authenticator).await {
            Some(_) => Auth::Accept,
            None => self.answer(user, Attempt::with(Method::PublicKey, offer), Outcome::Refused).await,
        }
    }

    /// A key or certificate whose signature is right, and what a security key says of it.
    pub(super) async fn proven(&mut self, user: &str, offer: &Offer<'_>, flags: Option<u8>) -> Auth {
        if self.is_vouched_for(user) {
            return self.vouch(user, Method::PublicKey).await;
        }
        let (candidate, authenticator, whence) = self.parts(user);
        let outcome = match candidate.authorize(offer, whence, authenticator).await {
            Some(options) if candidate.present_enough(&options, offer, flags) => {
                candidate.take_key(offer, options)
            }
            _ => Outcome::Refused,
        };
        self.answer(user, Attempt::with(Method::PublicKey, offer), outcome).await
    }

    /// A key or certificate that would do, with a signature that is wrong.
    pub(super) fn forged(&mut self, user: &str, offer: &Offer<'_>) {
        let by = format!("{}, whose signature is wrong", of_offer(offer));
        self.parts(user);
        let known = self.candidate.as_ref().is_some_and(|candidate| candidate.account().is_ok());
        self.record.failed(Method::PublicKey, user, known, Some(&by));
    }

    /// A password.
    pub(super) async fn password(&mut self, user: &str, password: &str) -> Auth {
        if self.is_vouched_for(user) {
            return self.vouch(user, Method::Password).await;
        }
        let (candidate, authenticator, _) = self.parts(user);
        let mut outcome = Outcome::Refused;
        if candidate.enabled(Method::Password) {
            // The same work, whoever asks.
            let request = candidate.request_by(Method::Password);
            if authenticator.password(&request, Secret::new(password.to_owned())).await {
                outcome = candidate.prove(Method::Password);
            }
        }
        let attempt = Attempt { method: Method::Password, by: candidate.why_no_password() };
        self.answer(user, attempt, outcome).await
    }

    /// Keyboard-interactive: it begins, or there are answers.
    pub(super) async fn interact(&mut self, user: &str, answers: Option<Vec<Secret>>) -> Auth {
        if self.is_vouched_for(user) {
            return self.vouch(user, Method::KeyboardInteractive).await;
        }
        let asked = std::mem::take(&mut self.asked);
        let (candidate, authenticator, _) = self.parts(user);
        let enabled = candidate.enabled(Method::KeyboardInteractive);
        let next = match &answers {
            None if !enabled => return self.none(user).await,
            // RFC 4256 section 3.4.
            Some(answers) if answers.len() != asked => Interaction::Refuse,
            _ => authenticator.interact(&candidate.request_by(Method::KeyboardInteractive), answers).await,
        };
        let outcome = match next {
            Interaction::Ask(Questions { name, instructions, questions }) => {
                self.asked = questions.len();
                let prompts = questions.into_iter().map(|(text, echo)| (text.into(), echo)).collect();
                return Auth::Partial { name: name.into(), instructions: instructions.into(), prompts };
            }
            Interaction::Accept => candidate.prove(Method::KeyboardInteractive),
            Interaction::Refuse => Outcome::Refused,
        };
        let attempt = Attempt { method: Method::KeyboardInteractive, by: candidate.why_no_password() };
        self.answer(user, attempt, outcome).await
    }

    /// What the client is told, and the log.
    async fn answer(&mut self, user: &str, attempt: Attempt, outcome: Outcome) -> Auth {
        let Attempt { method, by } = attempt;
        self.parts(user);
        let Self { candidate: Some(candidate), authenticator, record, .. } = self else {
            return Auth::reject();
        };
        match outcome {
            Outcome::Refused => {
                // Who asks for `none` wants to know what methods there are.
                if method != Method::None {
                    record.failed(method, user, candidate.account().is_ok(), by.as_deref());
                }
                candidate.reject(false)
            }
            Outcome::Partial => {
                record.partial(method, user, by.as_deref());
                candidate.reject(true)
            }
            Outcome::Complete => match authenticator.admit(candidate.request()).await {
                Ok(()) => {
                    record.accepted(method, user, by.as_deref());
                    Auth::Accept
                }
                Err(reason) => {
                    record.refused(user, &reason);
                    candidate.begin_anew();
                    candidate.reject(false)
                }
            },
        }
    }

    /// The methods that are offered at first, before a name is known.
    pub(super) fn first_methods(&self) -> MethodSet {
        methods(&self.config.server(), &[])
    }

    /// After how many rejections the connection ends, once it is known who asks.
    pub(super) fn most_rejections(&self) -> Option<usize> {
        self.candidate.as_ref().map(|candidate| most_rejections(candidate.config()))
    }

    /// A banner for the client, before its request is answered: Banner of whoever asks first, and what the
    /// authenticator says.
    pub(super) fn take_notice(&mut self) -> Option<String> {
        let notice = self.notice.take().or_else(|| self.authenticator.take_notice());
        let notice = notice.filter(|notice| !notice.trim().is_empty());
        match (self.banner.take(), notice) {
            (Some(banner), Some(notice)) => Some(banner + &notice),
            (banner, notice) => banner.or(notice),
        }
    }

    /// What the candidate may do, once in, where there is no notice that keeps them out; and whoever has to be
    /// told when the connection is over.
    ///
    /// # Errors
    ///
    /// [`NotEntered`].
    pub(super) async fn enter(&mut self) -> Result<(Login, Box<dyn Authenticator>), NotEntered> {
        let candidate = self.candidate.take().ok_or(NotEntered::Nobody)?;
        let (account, config, options, request) = candidate.into_login().ok_or(NotEntered::Nobody)?;
        if let Some(notice) = account.no_login_notice() {
            self.record.refused(&account.name, &"there is /etc/nologin");
            return Err(NotEntered::Notice(String::from_utf8_lossy(&notice).trim_end().to_owned()));
        }
        let Entrance { environment, messages } = self.authenticator.enter(&request).await?;
        let mut login = Login {
            account,
            config,
            options,
            steps: request.steps,
            steps_file: None,
            environment,
            messages: Mutex::new(messages),
            origin: self.origin.clone(),
        };
        login.enter()?;
        self.notice = self.authenticator.take_notice();
        let nobody = Box::new(PasswordFile::default());
        Ok((login, std::mem::replace(&mut self.authenticator, nobody)))
    }
}

/// The text of Banner; a file that is not there is none.
fn banner(config: &Config) -> Option<String> {
    let path = config.banner.as_ref().filter(|path| *path != "none")?;
    let text = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty())
}
