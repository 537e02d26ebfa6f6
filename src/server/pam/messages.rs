//! What is in the messages between the server and its PAM process.

use std::path::PathBuf;

use zeroize::Zeroizing;

/// An answer; its memory is overwritten when it is dropped.
pub type Secret = Zeroizing<String>;

/// Whom PAM is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// PAMServiceName: the file in /etc/pam.d.
    pub service: String,
    /// The login, as the client said it.
    pub user: String,
    /// PAM_RHOST: the client's name or address.
    pub rhost: Option<String>,
    /// PAM_TTY. There is no terminal yet and some modules want one: sshd says `ssh`.
    pub tty: String,
    /// The value of SSH_CONNECTION, which modules see in PAM's environment.
    pub connection: Option<String>,
    /// The steps of authentication so far, one a line, which modules see as SSH_AUTH_INFO_0.
    pub authentication: String,
    /// How the user proves who they are.
    pub proof: Proof,
    /// PermitEmptyPasswords.
    pub permit_empty_passwords: bool,
    /// A folder of services to use instead of the system's. Linux-PAM alone has such a thing.
    pub services: Option<PathBuf>,
}

/// How users prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By answers to PAM's questions, which may also change an expired password (keyboard-interactive).
    Answers,
    /// By one password. Nothing else can be asked, so an expired one is not changed (password).
    Password,
    /// By what PAM has no part in, such as a key: it is asked about the account alone.
    Elsewhere,
}

/// Questions for the user (RFC 4256 section 3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// PAM has no name for them; it is empty.
    pub name: String,
    /// What PAM's modules had to say before they asked.
    pub instructions: String,
    /// The questions, of which there is at least one.
    pub prompts: Vec<Prompt>,
}

/// One question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Such as `Password: `.
    pub text: String,
    /// Whether the answer is shown while it is typed.
    pub echo: bool,
}

/// The user may log in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// What PAM's modules had to say, for the user.
    pub messages: String,
    /// The password has expired, and could not be changed here: the session may do that and nothing else.
    pub change_password: bool,
}

/// PAM said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// What PAM's modules had to say, for the user.
    pub messages: String,
    /// What it was that failed.
    pub refusal: Refusal,
    /// Why, for the log alone: it tells who exists.
    pub reason: String,
}

/// What it is that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// PAM could not be used at all.
    Setup,
    /// The user did not prove who they are, and may try again.
    Authentication,
    /// No more tries: sshd takes no further password or answer in this connection.
    TooManyTries,
    /// The account may not be used, whoever proves to own it.
    Account,
    /// There is no session.
    Session,
}

/// An open session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// PAM's environment.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// What PAM's modules had to say, for the user.
    pub messages: String,
    /// What they changed of the process that they ran in.
    pub legacy: Legacy,
}

/// What PAM's modules leave to the process that they run in, for the session that follows in it. Here
/// that is another one, which takes it over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legacy {
    /// File mode creation mask (pam_umask).
    pub umask: u32,
    /// Nice value (pam_limits).
    pub nice: i32,
    /// Supplementary groups (pam_group).
    pub groups: Vec<u32>,
    /// Resource limits (pam_limits): the system's number of the resource, the soft and the hard limit.
    pub limits: Vec<(u32, u64, u64)>,
}
