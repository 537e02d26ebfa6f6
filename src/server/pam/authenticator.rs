//! PAM as the one who decides on logins.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, process::Command};

use super::{
    client::{PamError, PamProcess, PamStep},
    messages::{Denied, Granted, Proof, Refusal, Request},
};
use crate::{
    questions::{BoxFuture, Questions, Secret},
    server::{
        auth::{Authenticator, Entrance, Interaction, LoginRequest, NotAdmitted},
        origin::Origin,
    },
};

/// PAM_TTY, which some modules want before there is a terminal: as sshd has it.
const TTY: &str = "ssh";

/// PAM_RHOST of who did not come over TCP. Without any, pam_access takes a login for one at the machine itself;
/// sshd says UNKNOWN, which libpam looks up in the DNS several times a login.
const NOBODYS_ADDRESS: &str = "0.0.0.0";

/// sshd's own bound on a password, in bytes.
const LONGEST_PASSWORD: usize = 1024;

/// What those are told who come by password or key.
const PASSWORD_HAS_EXPIRED: &str = "Your password has expired. Log in by keyboard-interactive to change it \
                                    (ssh -o PreferredAuthentications=keyboard-interactive).\n";

/// Asks PAM: whether a password or the answers to its questions are right, whether an account may be used,
/// whatever has proven to be its owner, and for the session. Each attempt has a process of its own.
#[derive(Debug)]
pub struct PamAuthenticator {
    program: PathBuf,
    origin: Option<Origin>,
    /// Asks the user.
    asking: Option<PamProcess>,
    /// Has granted the login of this name.
    granted: Option<(String, PamProcess)>,
    /// For the client, as soon as it can be told.
    notice: String,
    /// PAM is asked no more in this connection.
    has_enough: bool,
}

impl PamAuthenticator {
    /// Runs this program with the argument `pam`, which must call [`run`](super::run) at once.
    #[must_use]
    pub fn new(program: PathBuf, origin: Option<Origin>) -> Self {
        Self { program, origin, asking: None, granted: None, notice: String::new(), has_enough: false }
    }

    fn start(&self, login: &LoginRequest, proof: Proof) -> Result<PamProcess, PamError> {
        let [_, (_, connection)] = Origin::variables(self.origin.as_ref());
        let request = Request {
            service: login.config.pam_service_name.clone(),
            user: login.user.clone(),
            rhost: Some(
                login.address.map_or_else(|| NOBODYS_ADDRESS.to_owned(), |address| address.to_string()),
            ),
            tty: TTY.to_owned(),
            connection: Some(connection),
            authentication: lines(&login.steps),
            proof,
            permit_empty_passwords: login.config.permit_empty_passwords,
            services: None,
        };
        let mut command = Command::new(&self.program);
        command.arg("pam");
        let process = PamProcess::start(command, request).map_err(PamError::Start)?;
        Ok(if login.uid.is_none() { process.in_vain() } else { process })
    }

    async fn try_password(&mut self, login: &LoginRequest, password: Secret) -> Result<bool, PamError> {
        let mut pam = self.start(login, Proof::Password)?;
        let step = pam.password(password).await?;
        Ok(self.decide(login, pam, step).is_ok())
    }

    async fn next_questions(
        &mut self,
        login: &LoginRequest,
        answers: Option<Vec<Secret>>,
    ) -> Result<Interaction, PamError> {
        let mut pam = match (self.asking.take(), answers) {
            (Some(mut pam), Some(answers)) => {
                pam.answer(answers)?;
                pam
            }
            (None, Some(_)) => return Err(PamError::NotAsked),
            (_, None) => self.start(login, Proof::Answers)?,
        };
        match pam.next().await? {
            PamStep::Ask(asked) => {
                self.asking = Some(pam);
                let questions = asked.prompts.into_iter().map(|prompt| (prompt.text, prompt.echo)).collect();
                let (name, instructions) = (asked.name, asked.instructions);
                Ok(Interaction::Ask(Questions { name, instructions, questions }))
            }
            step => {
                let decided = self.decide(login, pam, step);
                Ok(decided.map_or(Interaction::Refuse, |()| Interaction::Accept))
            }
        }
    }

    /// Asks about the account of somebody whom PAM has not seen yet (OpenSSH's `do_pam_account`).
    async fn check_account(&mut self, login: &LoginRequest) -> Result<(), NotAdmitted> {
        let failed = |error: PamError| NotAdmitted(error.to_string());
        let mut pam = self.start(login, Proof::Elsewhere).map_err(failed)?;
        let step = pam.next().await.map_err(failed)?;
        self.decide(login, pam, step)
    }

    /// Keeps a process that has granted the login, and what the user is to know.
    fn decide(&mut self, login: &LoginRequest, pam: PamProcess, step: PamStep) -> Result<(), NotAdmitted> {
        let (messages, decided) = match step {
            PamStep::Granted(Granted { messages, change_password: false }) => {
                self.granted = Some((login.user.clone(), pam));
                (messages, Ok(()))
            }
            PamStep::Granted(Granted { messages, change_password: true }) => {
                (messages + PASSWORD_HAS_EXPIRED, Err(NotAdmitted("the password has expired".to_owned())))
            }
            PamStep::Denied(Denied { messages, refusal, reason }) => {
                // As sshd, which asks no more then.
                self.has_enough |= matches!(refusal, Refusal::TooManyTries | Refusal::Account);
                (messages, Err(NotAdmitted(reason)))
            }
            PamStep::Ask(_) => {
                (String::new(), Err(NotAdmitted("PAM asks where nobody can answer".to_owned())))
            }
        };
        if let Err(reason) = &decided {
            tracing::info!(user = login.user, "PAM: {reason}");
        }
        self.notice.push_str(&messages);
        decided
    }

    async fn open_session(&mut self, login: &LoginRequest) -> Result<Entrance, PamError> {
        let Some((_, pam)) = self.granted.as_mut().filter(|(user, _)| *user == login.user) else {
            return Err(PamError::NotAsked);
        };
        let session = pam.open_session(TTY, &lines(&login.steps)).await?;
        session.legacy.adopt(pam.id()).map_err(PamError::Legacy)?;
        let environment = session.environment.into_iter();
        let environment = environment
            // What modules were told, which is not for the user.
            .filter(|(name, _)| !name.starts_with(b"SSH_AUTH_INFO"))
            .map(|(name, value)| (OsString::from_vec(name), OsString::from_vec(value)));
        Ok(Entrance {
            environment: environment.collect(),
            // It is read by pam_env, where the administrator wants it.
            knows_etc_environment: true,
            groups: Some(session.legacy.groups),
            messages: session.messages,
        })
    }
}

impl Authenticator for PamAuthenticator {
    fn password<'a>(&'a mut self, login: &'a LoginRequest, password: Secret) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let empty = password.is_empty() && !login.config.permit_empty_passwords;
            if self.has_enough || empty || password.len() > LONGEST_PASSWORD {
                return false;
            }
            let tried = self.try_password(login, password).await;
            tried.unwrap_or_else(|error| {
                tracing::error!("{error}");
                false
            })
        })
    }

    fn interact<'a>(
        &'a mut self,
        login: &'a LoginRequest,
        answers: Option<Vec<Secret>>,
    ) -> BoxFuture<'a, Interaction> {
        Box::pin(async move {
            if self.has_enough {
                return Interaction::Refuse;
            }
            let next = self.next_questions(login, answers).await;
            next.unwrap_or_else(|error| {
                tracing::error!("{error}");
                Interaction::Refuse
            })
        })
    }

    fn checks_accounts(&self) -> bool {
        true
    }

    fn admit<'a>(&'a mut self, login: &'a LoginRequest) -> BoxFuture<'a, Result<(), NotAdmitted>> {
        Box::pin(async move {
            if self.granted.as_ref().is_some_and(|(user, _)| *user == login.user) {
                return Ok(());
            }
            if self.has_enough {
                return Err(NotAdmitted("PAM has refused this connection before".to_owned()));
            }
            self.check_account(login).await
        })
    }

    fn take_notice(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.notice)).filter(|notice| !notice.is_empty())
    }

    fn enter<'a>(&'a mut self, login: &'a LoginRequest) -> BoxFuture<'a, Result<Entrance, NotAdmitted>> {
        Box::pin(async move {
            self.asking = None;
            self.open_session(login).await.map_err(|error| NotAdmitted(error.to_string()))
        })
    }

    fn end(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some((_, pam)) = self.granted.take() else { return };
            match pam.end().await {
                Ok(status) if status.success() => {}
                Ok(status) => tracing::warn!("the PAM process ended with {status}"),
                Err(error) => tracing::warn!("the PAM process cannot be waited for: {error}"),
            }
        })
    }
}

fn lines(steps: &[String]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}
