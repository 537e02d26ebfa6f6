//! The PAM process: one user's transaction, from the first question to the end of the session.
//!
//! It stays what it was when it was started, which is root, whatever becomes of the server. It does as
//! OpenSSH's auth-pam.c does.

use std::{
    cell::RefCell,
    ffi::{CString, NulError},
    io,
    rc::Rc,
};

use libpam_sys as sys;

use super::{
    conversation::{LinkError, ServerLink},
    legacy,
    libpam::{Failure, Transaction},
    messages::{Denied, Granted, Proof, Refusal, Request, Session},
    surroundings,
    wire::{LONGEST_TEXT, MOST_VARIABLES, PamMessage, ServerMessage},
};

/// The PAM process could not do its work. PAM's own refusals are not among this: the server is told those.
#[derive(Debug, thiserror::Error)]
pub enum PamProcessError {
    /// It was not started by the server.
    #[error("cannot start: {0}")]
    Surroundings(#[source] io::Error),
    /// The server cannot be heard, or not be understood.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Serves one login on stdin, which is a socket of the server's, and returns when the server has closed
/// it, or after PAM said no. A session that was opened is closed by then.
///
/// This must be the first thing that a process does: it closes all files but the first three, and sets
/// signals to their defaults.
///
/// # Errors
///
/// [`PamProcessError`]; a session that was opened is closed then, too.
pub fn run() -> Result<(), PamProcessError> {
    let socket = surroundings::prepare().map_err(PamProcessError::Surroundings)?;
    match serve(ServerLink::new(socket)) {
        // Clients leave while they are asked; that is no error.
        Ok(()) | Err(LinkError::Gone) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn serve(mut link: ServerLink) -> Result<(), LinkError> {
    let ServerMessage::Start(request) = link.receive()? else { return Err(LinkError::OutOfTurn) };
    let link = Rc::new(RefCell::new(link));
    let mut login = match Login::start(request, Rc::clone(&link)) {
        Ok(login) => login,
        Err(refused) => return refused.tell(&link, PamMessage::Denied),
    };
    let granted = match login.grant() {
        Ok(granted) => granted,
        Err(refused) => return refused.tell(&link, PamMessage::Denied),
    };
    link.borrow_mut().send(&PamMessage::Granted(granted))?;
    login.serve_session()
}

/// A user who logs in.
struct Login {
    transaction: Transaction<ServerLink>,
    link: Rc<RefCell<ServerLink>>,
    request: Request,
    user: CString,
    has_credentials: bool,
    has_session: bool,
}

/// Why there is no login, or no session.
struct Refused {
    refusal: Refusal,
    reason: String,
}

impl Refused {
    fn new(refusal: Refusal) -> impl Fn(Failure) -> Self {
        move |failure| Self { refusal, reason: failure.to_string() }
    }

    /// Tells the server, with what the modules had to say.
    fn tell(
        self,
        link: &RefCell<ServerLink>,
        message: impl FnOnce(Denied) -> PamMessage,
    ) -> Result<(), LinkError> {
        let mut link = link.borrow_mut();
        let messages = link.take_messages();
        link.send(&message(Denied { messages, refusal: self.refusal, reason: self.reason }))
    }
}

impl From<NulError> for Refused {
    fn from(_: NulError) -> Self {
        Self { refusal: Refusal::Setup, reason: "a name with a NUL in it".to_owned() }
    }
}

impl Login {
    fn start(request: Request, link: Rc<RefCell<ServerLink>>) -> Result<Self, Refused> {
        let service = CString::new(request.service.as_str())?;
        let user = CString::new(request.user.as_str())?;
        let setup = Refused::new(Refusal::Setup);
        let services = request.services.as_deref();
        let mut transaction =
            Transaction::start(&service, &user, services, Rc::clone(&link)).map_err(&setup)?;
        if let Some(host) = &request.rhost {
            transaction.set_rhost(&CString::new(host.as_str())?).map_err(&setup)?;
        }
        transaction.set_tty(&CString::new(request.tty.as_str())?).map_err(&setup)?;
        if let Some(connection) = &request.connection {
            let variable = CString::new(format!("SSH_CONNECTION={connection}"))?;
            transaction.put_environment(&variable).map_err(&setup)?;
        }
        let authentication = request.authentication.clone();
        let mut login = Self { transaction, link, request, user, has_credentials: false, has_session: false };
        login.expose(&authentication)?;
        Ok(login)
    }

    /// Tells the modules by which steps the user has come so far (sshd's `expose_authinfo`).
    fn expose(&mut self, authentication: &str) -> Result<(), Refused> {
        let variable = CString::new(format!("SSH_AUTH_INFO_0={authentication}"))?;
        self.transaction.put_environment(&variable).map_err(Refused::new(Refusal::Setup))
    }

    /// Whether the user may log in.
    fn grant(&mut self) -> Result<Granted, Refused> {
        self.link.borrow_mut().asks = self.request.proof != Proof::Elsewhere;
        if self.request.proof != Proof::Elsewhere {
            let permit_empty = self.request.permit_empty_passwords;
            self.transaction.authenticate(permit_empty).map_err(|failure| {
                let refusal = match failure.code {
                    sys::PAM_MAXTRIES => Refusal::TooManyTries,
                    _ => Refusal::Authentication,
                };
                Refused::new(refusal)(failure)
            })?;
            self.check_user()?;
        }
        let expired = match self.transaction.check_account() {
            Ok(()) => false,
            Err(failure) if failure.code == sys::PAM_NEW_AUTHTOK_REQD => true,
            Err(failure) => return Err(Refused::new(Refusal::Account)(failure)),
        };
        self.check_user()?;
        let changes_here = expired && self.request.proof == Proof::Answers;
        if changes_here {
            let change = self.transaction.change_expired_password();
            change.map_err(Refused::new(Refusal::Authentication))?;
            self.check_user()?;
        }
        let mut link = self.link.borrow_mut();
        link.asks = false;
        Ok(Granted { messages: link.take_messages(), change_password: expired && !changes_here })
    }

    /// sshd refuses a login whose name a module has changed: everything else goes by the first one.
    fn check_user(&mut self) -> Result<(), Refused> {
        let now = self.transaction.user().map_err(Refused::new(Refusal::Authentication))?;
        if now.as_ref() == Some(&self.user) {
            return Ok(());
        }
        Err(Refused { refusal: Refusal::Authentication, reason: "a module changed the user".to_owned() })
    }

    /// Opens a session when the server asks for one, and waits until the server closes the socket.
    fn serve_session(mut self) -> Result<(), LinkError> {
        let next = self.link.borrow_mut().next()?;
        let (tty, authentication) = match next {
            Some(ServerMessage::OpenSession { tty, authentication }) => (tty, authentication),
            None => return Ok(()),
            Some(_) => return Err(LinkError::OutOfTurn),
        };
        match self.open_session(tty, &authentication) {
            Ok(session) => self.link.borrow_mut().send(&PamMessage::SessionOpened(session))?,
            Err(refused) => return refused.tell(&self.link, PamMessage::SessionFailed),
        }
        // The server is a user's from here on, so nothing that it says counts any more.
        let next = self.link.borrow_mut().next()?;
        match next {
            None => Ok(()),
            Some(_) => Err(LinkError::OutOfTurn),
        }
    }

    fn open_session(&mut self, tty: String, authentication: &str) -> Result<Session, Refused> {
        let failed = Refused::new(Refusal::Session);
        let io_failed = |error: io::Error| Refused { refusal: Refusal::Session, reason: error.to_string() };
        surroundings::outlive_signals().map_err(io_failed)?;
        self.transaction.set_tty(&CString::new(tty)?).map_err(&failed)?;
        self.expose(authentication)?;
        // pam_group adds to what the process has.
        legacy::enter_groups(&self.user).map_err(io_failed)?;
        match self.transaction.establish_credentials() {
            Ok(()) => self.has_credentials = true,
            // As sshd: where PAM had no part in the proof, it may have no credentials either.
            Err(failure) if self.request.proof == Proof::Answers => return Err(failed(failure)),
            Err(failure) => tracing::debug!("{failure}"),
        }
        self.transaction.open_session().map_err(&failed)?;
        self.has_session = true;
        let mut environment = self.transaction.environment();
        environment.truncate(MOST_VARIABLES);
        environment.retain(|(name, value)| name.len().max(value.len()) <= LONGEST_TEXT);
        let messages = self.link.borrow_mut().take_messages();
        Ok(Session { environment, messages, legacy: legacy::of_this_process().map_err(io_failed)? })
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // sshd closes before it deletes the credentials, and lets modules say nothing more.
        if self.has_session
            && let Err(failure) = self.transaction.close_session()
        {
            tracing::warn!("{failure}");
        }
        if self.has_credentials
            && let Err(failure) = self.transaction.delete_credentials()
        {
            tracing::debug!("{failure}");
        }
    }
}
