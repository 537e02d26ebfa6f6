//! Authentication (RFC 4252): who asks, by which methods, and when it is enough.

mod authenticator;
mod certificate;
mod command;
mod files;
mod keys;
mod password;

use std::{
    io,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use russh::{
    MethodKind, MethodSet,
    keys::ssh_key::{HashAlg, PublicKey},
    server::Auth,
};

use super::{
    account::{Account, NoLogin},
    algorithms,
    config::{
        Config, Connection, SshdConfig,
        value::{Method, MethodStep, RootLogin},
    },
    key_options::{KeyOptions, Whence},
    login::Login,
    origin::Origin,
};
use crate::questions::{Questions, Secret};

pub use authenticator::{Authenticator, Entrance, Interaction, LoginRequest, NotAdmitted};
pub(super) use keys::Offer;
pub use password::{PasswordFile, SetPasswordError, set_password};

/// The state of one connection's authentication.
pub(super) struct Authentication {
    config: Arc<SshdConfig>,
    /// The login that the one who started this server vouches for.
    vouched: Option<String>,
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
    candidate: Option<Candidate>,
    /// How many questions are open.
    asked: usize,
}

/// Who asks to come in, and how far they have got.
struct Candidate {
    request: LoginRequest,
    account: Result<Account, NoLogin>,
    config: Arc<Config>,
    /// The methods that have succeeded, as many as there are steps in the request.
    done: Vec<Method>,
    keys: Vec<PublicKey>,
    /// What it may do before it has shown any key.
    restrictions: Option<KeyOptions>,
    options: Option<KeyOptions>,
}

/// What an attempt comes to, before the authenticator has had the last word.
enum Outcome {
    Refused,
    /// Right, and more is wanted.
    Partial,
    Complete,
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
        vouched: Option<String>,
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
            candidate.restricted(self.restrictions.as_ref(), Origin::whence(self.origin.as_ref()))
        };
        if self.candidate.as_ref().is_none_or(|candidate| candidate.request.user != user) {
            self.candidate = None;
        }
        let candidate = self.candidate.get_or_insert_with(new);
        if !std::mem::replace(&mut self.greeted, true) {
            self.banner = super::banner(&candidate.config);
        }
        (candidate, self.authenticator.as_mut(), Origin::whence(self.origin.as_ref()))
    }

    /// `none`: succeeds where the login is vouched for, or nothing is asked; and says what methods there are.
    pub(super) async fn none(&mut self, user: &str) -> Auth {
        let vouched = self.vouched.as_deref() == Some(user);
        let (candidate, ..) = self.parts(user);
        let mut outcome = Outcome::Refused;
        if vouched && candidate.may_log_in(&Method::PublicKey) && candidate.may_run(candidate.forced()) {
            candidate.take_step(Method::None, "none".to_owned());
            outcome = Outcome::Complete;
        }
        self.answer(user, outcome).await
    }

    /// Whether a key or certificate that is offered could be used to log in.
    pub(super) async fn offered(&mut self, user: &str, offer: &Offer<'_>) -> Auth {
        let (candidate, authenticator, whence) = self.parts(user);
        match candidate.authorize(offer, whence, authenticator).await {
            Some(_) => Auth::Accept,
            None => candidate.reject(false),
        }
    }

    /// A key or certificate whose signature is right, and what a security key says of it.
    pub(super) async fn proven(&mut self, user: &str, offer: &Offer<'_>, flags: Option<u8>) -> Auth {
        let (candidate, authenticator, whence) = self.parts(user);
        let outcome = match candidate.authorize(offer, whence, authenticator).await {
            Some(options) if candidate.present_enough(&options, offer, flags) => {
                candidate.take_key(offer, options)
            }
            _ => Outcome::Refused,
        };
        self.answer(user, outcome).await
    }

    /// A password.
    pub(super) async fn password(&mut self, user: &str, password: &str) -> Auth {
        let (candidate, authenticator, _) = self.parts(user);
        let mut outcome = Outcome::Refused;
        if candidate.enabled(Method::Password) {
            // The same work, whoever asks.
            let request = candidate.request_by(Method::Password);
            if authenticator.password(&request, Secret::new(password.to_owned())).await {
                outcome = candidate.prove(Method::Password);
            }
        }
        self.answer(user, outcome).await
    }

    /// Keyboard-interactive: it begins, or there are answers.
    pub(super) async fn interact(&mut self, user: &str, answers: Option<Vec<Secret>>) -> Auth {
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
        self.answer(user, outcome).await
    }

    /// What the client is told.
    async fn answer(&mut self, user: &str, outcome: Outcome) -> Auth {
        let (candidate, authenticator, _) = self.parts(user);
        match outcome {
            Outcome::Refused => candidate.reject(false),
            Outcome::Partial => candidate.reject(true),
            Outcome::Complete => match authenticator.admit(&candidate.request).await {
                Ok(()) => Auth::Accept,
                Err(reason) => {
                    tracing::info!(user, "no login: {reason}");
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
        self.candidate.as_ref().map(|candidate| super::most_rejections(&candidate.config))
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
        let account = candidate.account.map_err(|_| NotEntered::Nobody)?;
        if let Some(notice) = account.no_login_notice() {
            return Err(NotEntered::Notice(String::from_utf8_lossy(&notice).trim_end().to_owned()));
        }
        let Entrance { environment, knows_etc_environment, groups, messages } =
            self.authenticator.enter(&candidate.request).await?;
        let mut login = Login {
            account,
            config: candidate.config,
            options: candidate.options,
            steps: candidate.request.steps,
            steps_file: None,
            environment,
            knows_etc_environment,
            messages: Mutex::new(messages),
            origin: self.origin.clone(),
        };
        login.enter(groups.as_deref())?;
        self.notice = self.authenticator.take_notice();
        let nobody = Box::new(PasswordFile::default());
        Ok((login, std::mem::replace(&mut self.authenticator, nobody)))
    }
}

impl Candidate {
    fn new(user: &str, config: &SshdConfig, origin: Option<&Origin>, reads_shadow: bool) -> Self {
        // What follows a colon asked for a style of authentication once.
        let name = user.split(':').next().unwrap_or_default();
        let found = Account::find(name).and_then(|account| Ok((account.groups()?, account)));
        let (groups, account) = match found {
            Ok((groups, account)) => (groups, Ok(account)),
            Err(reason) => (Vec::new(), Err(reason)),
        };
        let whence = Origin::whence(origin);
        let connection = Connection {
            user: Some(name.to_owned()),
            groups: groups.clone(),
            host: whence.host.map(str::to_owned),
            address: whence.address,
            local_address: origin.map(|origin| origin.server().ip()),
            local_port: origin.map(|origin| origin.server().port()),
            ..Connection::default()
        };
        let config = Arc::new(config.connection(&connection));
        let account = account.and_then(|account| {
            account.check(&config)?;
            if reads_shadow {
                account.check_shadow(&config)?;
            }
            // By the name that the system knows it by: directories may have others for it.
            config.allows(&account.name, &groups, whence)?;
            Ok(account)
        });
        if let Err(reason) = &account {
            tracing::info!(user = name, "no login: {reason}");
        }
        let request = LoginRequest {
            user: user.to_owned(),
            uid: account.as_ref().ok().map(|account| account.uid.as_raw()),
            address: whence.address,
            steps: Vec::new(),
            config: Arc::clone(&config),
        };
        Self {
            request,
            account,
            config,
            done: Vec::new(),
            keys: Vec::new(),
            restrictions: None,
            options: None,
        }
    }

    /// The candidate with what it may do at most, if it may be where it is.
    fn restricted(self, restrictions: Option<&KeyOptions>, whence: Whence<'_>) -> Self {
        let checked = restrictions.map_or(Ok(()), |options| options.check(Timestamp::now(), whence, false));
        let account = self.account.and_then(|account| checked.map(|()| account).map_err(NoLogin::from));
        Self { account, restrictions: restrictions.cloned(), options: restrictions.cloned(), ..self }
    }

    /// The command that is run whatever it asks for, by what it has shown so far.
    fn forced(&self) -> Option<&str> {
        self.options.as_ref()?.command.as_deref()
    }

    /// What an authenticator is asked about a method by which this account may come in or not.
    fn request_by(&self, method: Method) -> LoginRequest {
        let uid = self.request.uid.filter(|_| self.may_log_in(&method));
        LoginRequest { uid, ..self.request.clone() }
    }

    fn begin_anew(&mut self) {
        self.done.clear();
        self.request.steps.clear();
        self.keys.clear();
        self.options.clone_from(&self.restrictions);
    }

    fn enabled(&self, method: Method) -> bool {
        let next = methods(&self.config, &self.done);
        let wanted = kind(method);
        next.iter().any(|kind| Some(*kind) == wanted)
    }

    /// Whether this account may come in by a method at all.
    fn may_log_in(&self, method: &Method) -> bool {
        let Ok(account) = &self.account else { return false };
        if !account.uid.is_root() {
            return true;
        }
        match self.config.permit_root_login {
            RootLogin::Yes => true,
            RootLogin::No => false,
            RootLogin::ProhibitPassword | RootLogin::ForcedCommandsOnly => *method == Method::PublicKey,
        }
    }

    /// What the key may do, if it may log in.
    async fn authorize(
        &self,
        offer: &Offer<'_>,
        whence: Whence<'_>,
        authenticator: &mut dyn Authenticator,
    ) -> Option<KeyOptions> {
        let accepted = algorithms::accepted(&self.config.pubkey_accepted_algorithms);
        let fits = self.enabled(Method::PublicKey)
            && accepted.iter().any(|name| *name == offer.algorithm_name())
            && !self.keys.contains(&plain(offer.key))
            && keys::is_long_enough(offer.key.key_data(), self.config.required_rsa_size);
        if !fits || !self.may_log_in(&Method::PublicKey) {
            return None;
        }
        let account = self.account.as_ref().ok()?;
        if keys::is_revoked(&self.config, offer) {
            return None;
        }
        let options = match keys::authorize(account, &self.config, offer, whence).await {
            Some(options) => options,
            None if offer.certificate.is_none() => {
                let options = authenticator.public_key(&self.request, offer.key).await?;
                options.check(Timestamp::now(), whence, false).ok()?;
                options
            }
            None => return None,
        };
        self.may_run(options.command.as_deref()).then_some(options)
    }

    /// Whether this account may log in with this forced command, or with none.
    fn may_run(&self, forced: Option<&str>) -> bool {
        let only_forced = self.config.permit_root_login == RootLogin::ForcedCommandsOnly
            && self.account.as_ref().is_ok_and(|account| account.uid.is_root());
        if only_forced && forced.is_none() {
            tracing::info!("root may log in with a forced command alone");
        }
        !only_forced || forced.is_some()
    }

    /// Whether somebody was at the security key as is asked for, if it is one: touched it, and for
    /// `verify-required` gave a PIN or a finger as well.
    fn present_enough(&self, options: &KeyOptions, offer: &Offer<'_>, flags: Option<u8>) -> bool {
        let Some(flags) = flags else { return true };
        let config = &self.config.pubkey_auth_options;
        let touch = config.touch_required || !options.no_touch_required;
        let verify = config.verify_required || options.verify_required;
        let missing = match (touch && flags & TOUCHED == 0, verify && flags & VERIFIED == 0) {
            (true, _) => "it was not touched",
            (_, true) => "nobody gave it a PIN or a finger",
            _ => return true,
        };
        tracing::info!(user = self.request.user, key = %offer.key.fingerprint(HashAlg::Sha256), "security key refused: {missing}");
        false
    }

    /// A key whose signature was right, and what it may do.
    fn take_key(&mut self, offer: &Offer<'_>, options: KeyOptions) -> Outcome {
        let user = &self.request.user;
        // Of several keys, each restricts; two that force different commands do not go together.
        let merged = match &self.options {
            Some(before) => before.merge(&options),
            None => Ok(options),
        };
        let Ok(merged) = merged.inspect_err(|differ| tracing::info!(user, "key refused: {differ}")) else {
            return Outcome::Refused;
        };
        self.keys.push(plain(offer.key));
        self.options = Some(merged);
        tracing::info!(user, key = %offer.key.fingerprint(HashAlg::Sha256), "key accepted");
        self.succeed(Method::PublicKey, format!("publickey {}", offer.text()))
    }

    /// A password or answers that were right, which need not be enough for this account.
    fn prove(&mut self, method: Method) -> Outcome {
        if self.enabled(method) && self.may_log_in(&method) {
            return self.succeed(method, method.to_string());
        }
        Outcome::Refused
    }

    fn succeed(&mut self, method: Method, step: String) -> Outcome {
        self.take_step(method, step);
        let lists = &self.config.authentication_methods;
        let complete =
            |list: &[MethodStep]| list.iter().map(|step| step.method).eq(self.done.iter().copied());
        if lists.is_empty() || self.config.method_lists().any(complete) {
            return Outcome::Complete;
        }
        Outcome::Partial
    }

    fn take_step(&mut self, method: Method, step: String) {
        self.done.push(method);
        self.request.steps.push(step);
    }

    fn reject(&self, partial_success: bool) -> Auth {
        let methods = methods(&self.config, &self.done);
        Auth::Reject { proceed_with_methods: Some(methods), partial_success }
    }
}

/// Flags of a security key's signature (PROTOCOL.u2f): somebody has touched it, and it knows who.
const TOUCHED: u8 = 1;
const VERIFIED: u8 = 4;

/// The key without its comment.
fn plain(key: &PublicKey) -> PublicKey {
    PublicKey::from(key.key_data().clone())
}

fn kind(method: Method) -> Option<MethodKind> {
    Some(match method {
        Method::None => MethodKind::None,
        Method::PublicKey => MethodKind::PublicKey,
        Method::Password => MethodKind::Password,
        Method::KeyboardInteractive => MethodKind::KeyboardInteractive,
        Method::HostBased | Method::Gssapi => return None,
    })
}

/// The methods that can go on from here, none twice.
fn methods(config: &Config, done: &[Method]) -> MethodSet {
    let all = [Method::PublicKey, Method::Password, Method::KeyboardInteractive];
    let next: Vec<Method> = if config.authentication_methods.is_empty() {
        all.to_vec()
    } else {
        let follows = |list: &[MethodStep]| {
            let begun =
                list.len() > done.len() && list.iter().zip(done).all(|(step, method)| step.method == *method);
            begun.then(|| list[done.len()].method)
        };
        config.method_lists().filter_map(follows).collect()
    };
    let kinds: Vec<MethodKind> = all
        .into_iter()
        .filter(|method| next.contains(method) && config.enables(*method))
        .filter_map(kind)
        .collect();
    MethodSet::from(&kinds[..])
}
