//! Authentication (RFC 4252): who asks, by which methods, and when it is enough.

mod certificate;
mod command;
mod files;
mod keys;
mod password;

use std::sync::Arc;

use nix::unistd::Uid;
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

pub(super) use keys::Offer;
pub(super) use password::PasswordFile;
pub use password::{SetPasswordError, set_password};

/// The state of one connection's authentication.
pub(super) struct Authentication {
    config: Arc<SshdConfig>,
    /// The login that the one who started this server vouches for.
    vouched: Option<String>,
    passwords: PasswordFile,
    origin: Option<Origin>,
    candidate: Option<Candidate>,
}

/// Who asks to come in, and how far they have got.
struct Candidate {
    user: String,
    account: Result<Account, NoLogin>,
    config: Config,
    done: Vec<(Method, String)>,
    keys: Vec<PublicKey>,
    options: Option<KeyOptions>,
}

impl Authentication {
    pub(super) fn new(
        config: Arc<SshdConfig>,
        vouched: Option<String>,
        passwords: PasswordFile,
        origin: Option<Origin>,
    ) -> Self {
        Self { config, vouched, passwords, origin, candidate: None }
    }

    /// The candidate of this name; another name begins anew.
    fn candidate(&mut self, user: &str) -> &mut Candidate {
        if self.candidate.as_ref().is_none_or(|candidate| candidate.user != user) {
            self.candidate = Some(Candidate::new(user, &self.config, self.origin.as_ref()));
        }
        self.candidate.get_or_insert_with(|| Candidate::new(user, &self.config, self.origin.as_ref()))
    }

    /// `none`: succeeds where the login is vouched for, or nothing is asked; and says what methods there are.
    pub(super) fn none(&mut self, user: &str) -> Auth {
        let vouched = self.vouched.as_deref() == Some(user);
        let candidate = self.candidate(user);
        if vouched && candidate.may_log_in(&Method::PublicKey) && candidate.may_run(None) {
            candidate.done.push((Method::None, "none".to_owned()));
            return Auth::Accept;
        }
        candidate.refuse()
    }

    /// Whether a key or certificate that is offered could be used to log in.
    pub(super) async fn offered(&mut self, user: &str, offer: &Offer<'_>) -> Auth {
        let origin = self.origin.clone();
        let candidate = self.candidate(user);
        match candidate.authorize(offer, Origin::whence(origin.as_ref())).await {
            Some(_) => Auth::Accept,
            None => candidate.refuse(),
        }
    }

    /// A key or certificate whose signature is right.
    pub(super) async fn proven(&mut self, user: &str, offer: &Offer<'_>) -> Auth {
        let origin = self.origin.clone();
        let candidate = self.candidate(user);
        let Some(options) = candidate.authorize(offer, Origin::whence(origin.as_ref())).await else {
            return self.candidate(user).refuse();
        };
        // Of several keys, each restricts; two that force different commands do not go together.
        let merged = match &candidate.options {
            Some(before) => before.merge(&options),
            None => Ok(options),
        };
        let Ok(merged) = merged.inspect_err(|differ| tracing::info!(user, "key refused: {differ}")) else {
            return candidate.refuse();
        };
        candidate.keys.push(plain(offer.key));
        candidate.options = Some(merged);
        let step = format!("publickey {}", offer.text());
        tracing::info!(user, key = %offer.key.fingerprint(HashAlg::Sha256), "key accepted");
        candidate.succeed(Method::PublicKey, step)
    }

    /// A password, by the method of that name or as an answer.
    pub(super) async fn password(&mut self, user: &str, password: &str, method: Method) -> Auth {
        let file = self.passwords.clone();
        let candidate = self.candidate(user);
        // The password is that of whoever set it: the user who runs the server, and no other account.
        let own = candidate.account.as_ref().is_ok_and(|account| account.uid == Uid::effective());
        let enabled = own && candidate.enabled(method) && candidate.may_log_in(&method);
        // The same work, whoever asks.
        let right = file.check(password).await;
        if right && enabled {
            return candidate.succeed(method, method.to_string());
        }
        self.candidate(user).refuse()
    }

    /// Whether answers to questions are asked for at all.
    pub(super) fn may_ask(&mut self, user: &str) -> bool {
        self.candidate(user).enabled(Method::KeyboardInteractive)
    }

    /// The methods that are offered at first, before a name is known.
    pub(super) fn first_methods(&self) -> MethodSet {
        methods(&self.config.server(), &[])
    }

    /// What the candidate may do, once in.
    pub(super) fn login(&mut self) -> Option<Login> {
        let candidate = self.candidate.take()?;
        let steps = candidate.done.into_iter().map(|(_, step)| step).collect();
        Some(Login {
            account: candidate.account.ok()?,
            config: candidate.config,
            options: candidate.options,
            steps,
            steps_file: None,
            origin: self.origin.clone(),
        })
    }
}

impl Candidate {
    fn new(user: &str, config: &SshdConfig, origin: Option<&Origin>) -> Self {
        // What follows a colon asked for a style of authentication once.
        let name = user.split(':').next().unwrap_or_default();
        let account = Account::find(name);
        let groups = account.as_ref().map(Account::groups).unwrap_or_default();
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
        let config = config.connection(&connection);
        let account = account.and_then(|account| {
            account.check(&config)?;
            config.allows(name, &groups, whence)?;
            Ok(account)
        });
        if let Err(reason) = &account {
            tracing::info!(user = name, "no login: {reason}");
        }
        Self { user: user.to_owned(), account, config, done: Vec::new(), keys: Vec::new(), options: None }
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
    async fn authorize(&self, offer: &Offer<'_>, whence: Whence<'_>) -> Option<KeyOptions> {
        let accepted = algorithms::accepted(&self.config.pubkey_accepted_algorithms);
        let fits = self.enabled(Method::PublicKey)
            && accepted.iter().any(|name| *name == offer.algorithm_name())
            && !self.keys.contains(&plain(offer.key));
        if !fits || !self.may_log_in(&Method::PublicKey) {
            return None;
        }
        let account = self.account.as_ref().ok()?;
        let options = keys::authorize(account, &self.config, offer, whence).await?;
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

    fn succeed(&mut self, method: Method, step: String) -> Auth {
        self.done.push((method, step));
        let lists = &self.config.authentication_methods;
        let taken: Vec<Method> = self.done.iter().map(|(method, _)| *method).collect();
        let complete = |list: &[MethodStep]| list.iter().map(|step| step.method).eq(taken.iter().copied());
        if lists.is_empty() || self.config.method_lists().any(complete) {
            return Auth::Accept;
        }
        Auth::Reject { proceed_with_methods: Some(methods(&self.config, &self.done)), partial_success: true }
    }

    fn refuse(&self) -> Auth {
        Auth::Reject { proceed_with_methods: Some(methods(&self.config, &self.done)), partial_success: false }
    }
}

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
fn methods(config: &Config, done: &[(Method, String)]) -> MethodSet {
    let all = [Method::PublicKey, Method::Password, Method::KeyboardInteractive];
    let next: Vec<Method> = if config.authentication_methods.is_empty() {
        all.to_vec()
    } else {
        let follows = |list: &[MethodStep]| {
            let begun = list.len() > done.len()
                && list.iter().zip(done).all(|(step, (method, _))| step.method == *method);
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
