//! Who asks to come in, and how far they have got.

use std::sync::Arc;

use jiff::Timestamp;
use russh::{
    MethodKind, MethodSet,
    keys::ssh_key::{HashAlg, PublicKey},
    server::Auth,
};

use super::{
    authenticator::{Authenticator, LoginRequest},
    keys,
    offer::Offer,
};
use crate::server::{
    account::{Account, NoLogin, Password},
    algorithms,
    config::{
        Config, Connection, SshdConfig,
        value::{Method, MethodStep, RootLogin},
    },
    key_options::{KeyOptions, Whence},
    origin::Origin,
    signatures::is_long_enough,
};

/// Who asks to come in, and how far they have got.
pub(super) struct Candidate {
    /// The login as the client names it.
    name: String,
    request: LoginRequest,
    account: Result<Account, NoLogin>,
    password: Password,
    config: Arc<Config>,
    /// The methods that have succeeded, as many as there are steps in the request.
    done: Vec<Method>,
    keys: Vec<PublicKey>,
    /// What it may do before it has shown any key.
    restrictions: Option<KeyOptions>,
    options: Option<KeyOptions>,
}

/// What an attempt comes to, before the authenticator has had the last word.
pub(super) enum Outcome {
    Refused,
    /// Right, and more is wanted.
    Partial,
    Complete,
}

impl Candidate {
    pub(super) fn new(name: &str, config: &SshdConfig, origin: Option<&Origin>, reads_shadow: bool) -> Self {
        // OpenSSH's authentication style follows a colon; there is none here to choose.
        let login = name.split_once(':').map_or(name, |(login, _style)| login);
        let found = Account::find(login).and_then(|account| {
            // Some machines cannot tell the groups of everybody.
            let groups = if config.speaks_of_groups() { account.groups()? } else { Vec::new() };
            Ok((groups, account))
        });
        let (groups, account) = match found {
            Ok((groups, account)) => (groups, Ok(account)),
            Err(reason) => (Vec::new(), Err(reason)),
        };
        let whence = Origin::whence(origin);
        let server = origin.and_then(Origin::server);
        let connection = Connection {
            user: Some(login.to_owned()),
            groups: groups.clone(),
            host: whence.host.map(str::to_owned),
            address: whence.address,
            local_address: server.map(|server| server.ip()),
            local_port: server.map(|server| server.port()),
            ..Connection::default()
        };
        let config = Arc::new(config.connection(&connection));
        let mut password = Password::Open;
        let known = account.as_ref().map_or(login, |account| &account.name).to_owned();
        let account = account.and_then(|account| {
            account.check(&config)?;
            if reads_shadow {
                password = account.check_shadow()?;
            }
            // By the name that the system knows it by: directories may have others for it.
            config.allows(&account.name, &groups, whence)?;
            Ok(account)
        });
        let request = LoginRequest {
            user: known,
            uid: account.as_ref().ok().map(|account| account.uid.as_raw()),
            address: whence.address,
            steps: Vec::new(),
            config: Arc::clone(&config),
        };
        Self {
            name: name.to_owned(),
            request,
            account,
            password,
            config,
            done: Vec::new(),
            keys: Vec::new(),
            restrictions: None,
            options: None,
        }
    }

    /// The candidate with what it may do at most, if it may be where it is.
    pub(super) fn restricted(self, restrictions: Option<&KeyOptions>, whence: Whence<'_>) -> Self {
        let checked = restrictions.map_or(Ok(()), |options| options.check(Timestamp::now(), whence, false));
        let account = self.account.and_then(|account| checked.map(|()| account).map_err(NoLogin::from));
        Self { account, restrictions: restrictions.cloned(), options: restrictions.cloned(), ..self }
    }

    /// The command that is run whatever it asks for, by what it has shown so far.
    pub(super) fn forced(&self) -> Option<&str> {
        self.options.as_ref()?.command.as_deref()
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    pub(super) fn account(&self) -> Result<&Account, &NoLogin> {
        self.account.as_ref()
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn request(&self) -> &LoginRequest {
        &self.request
    }

    /// What a login is made of, where the account may log in.
    pub(super) fn into_login(self) -> Option<(Account, Arc<Config>, Option<KeyOptions>, LoginRequest)> {
        Some((self.account.ok()?, self.config, self.options, self.request))
    }

    /// Succeeds without a proof.
    pub(super) fn vouch(&mut self) -> Outcome {
        self.take_step(Method::None, "none".to_owned());
        Outcome::Complete
    }

    /// Why no password is right, for the log.
    pub(super) fn why_no_password(&self) -> Option<String> {
        let locked = self.account.is_ok() && self.password == Password::Locked;
        locked.then(|| "the account's password is locked".to_owned())
    }

    /// What an authenticator is asked about a method by which this account may come in or not.
    pub(super) fn request_by(&self, method: Method) -> LoginRequest {
        let uid = self.request.uid.filter(|_| self.may_log_in(method));
        LoginRequest { uid, ..self.request.clone() }
    }

    pub(super) fn begin_anew(&mut self) {
        self.done.clear();
        self.request.steps.clear();
        self.keys.clear();
        self.options.clone_from(&self.restrictions);
    }

    pub(super) fn enabled(&self, method: Method) -> bool {
        let next = methods(&self.config, &self.done);
        let wanted = kind(method);
        next.iter().any(|kind| Some(*kind) == wanted)
    }

    /// Whether this account may come in by a method at all.
    pub(super) fn may_log_in(&self, method: Method) -> bool {
        let Ok(account) = &self.account else { return false };
        if self.password == Password::Locked
            && matches!(method, Method::Password | Method::KeyboardInteractive)
        {
            return false;
        }
        if !account.uid.is_root() {
            return true;
        }
        match self.config.permit_root_login {
            RootLogin::Yes => true,
            RootLogin::No => false,
            RootLogin::ProhibitPassword | RootLogin::ForcedCommandsOnly => method == Method::PublicKey,
        }
    }

    /// What the key may do, if it may log in.
    pub(super) async fn authorize(
        &self,
        offer: &Offer<'_>,
        whence: Whence<'_>,
        authenticator: &mut dyn Authenticator,
    ) -> Option<KeyOptions> {
        let accepted = algorithms::accepted(&self.config.pubkey_accepted_algorithms);
        let fits = self.enabled(Method::PublicKey)
            && accepted.iter().any(|name| *name == offer.algorithm_name())
            && !self.keys.contains(&plain(offer.key))
            && is_long_enough(offer.key.key_data(), self.config.required_rsa_size);
        if !fits || !self.may_log_in(Method::PublicKey) {
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
    pub(super) fn may_run(&self, forced: Option<&str>) -> bool {
        let only_forced = self.config.permit_root_login == RootLogin::ForcedCommandsOnly
            && self.account.as_ref().is_ok_and(|account| account.uid.is_root());
        if only_forced && forced.is_none() {
            tracing::info!("root may log in with a forced command alone");
        }
        !only_forced || forced.is_some()
    }

    /// Whether somebody was at the security key as is asked for, if it is one: touched it, and for
    /// `verify-required` gave a PIN or a finger as well.
    pub(super) fn present_enough(&self, options: &KeyOptions, offer: &Offer<'_>, flags: Option<u8>) -> bool {
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
    pub(super) fn take_key(&mut self, offer: &Offer<'_>, options: KeyOptions) -> Outcome {
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
        if merged.tunnel.is_some() {
            tracing::warn!(user, "tunnel= of the key has no effect: there are no tun devices here");
        }
        self.options = Some(merged);
        self.succeed(Method::PublicKey, format!("publickey {}", offer.text()))
    }

    /// A password or answers that were right, which need not be enough for this account.
    pub(super) fn prove(&mut self, method: Method) -> Outcome {
        if self.enabled(method) && self.may_log_in(method) {
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

    pub(super) fn reject(&self, partial_success: bool) -> Auth {
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
pub(super) fn methods(config: &Config, done: &[Method]) -> MethodSet {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_password_bars_passwords_and_no_key() {
        let own = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("asked").expect("a user");
        let mut config = SshdConfig::default();
        config.add_option("PermitRootLogin=yes").expect("a configuration");
        let mut candidate = Candidate::new(&own.name, &config, None, false);
        for (password, right) in [(Password::Open, true), (Password::Locked, false)] {
            candidate.password = password;
            assert!(candidate.may_log_in(Method::PublicKey));
            for method in [Method::Password, Method::KeyboardInteractive] {
                assert_eq!(candidate.may_log_in(method), right, "{method}");
                assert_eq!(candidate.request_by(method).uid.is_some(), right, "{method}");
            }
            assert_eq!(candidate.why_no_password().is_none(), right);
        }
    }

    /// OpenSSH takes what follows a colon for an authentication style, which is of use on OpenBSD alone.
    #[test]
    fn a_login_is_called_as_its_account_whatever_style_it_asks_for() {
        let own = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("asked").expect("a user");
        let config = SshdConfig::default();
        let name = |login: &str| {
            let candidate = Candidate::new(login, &config, None, false);
            let request = candidate.request();
            (request.user.clone(), request.uid.is_some())
        };
        assert_eq!(name(&own.name).0, own.name);
        assert_eq!(name(&format!("{}:x", own.name)), name(&own.name));
        assert_eq!(name("nobody-of-that-name:x"), ("nobody-of-that-name".to_owned(), false));
    }
}
