//! The PAM process, with the machine's real PAM: Linux-PAM's own modules, and one that asks.
//!
//! Runs in mount namespaces with users of their own, so only as root.

mod machine;

#[path = "pam/login.rs"]
mod login;
#[path = "pam/process.rs"]
mod process;
#[path = "pam/session.rs"]
mod session;
