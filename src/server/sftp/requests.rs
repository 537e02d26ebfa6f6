//! The requests there are, by the names under which they are allowed and denied.

use std::fmt;

use super::{
    extensions,
    server::{Options, Server},
    status::Status,
    wire::kind,
};
use crate::server::log_level::LogLevel;

/// Packet type, name, and whether it changes something. `OPEN` decides that for itself.
const REQUESTS: [(u8, &str, bool); 18] = [
    (kind::OPEN, "open", false),
    (kind::CLOSE, "close", false),
    (kind::READ, "read", false),
    (kind::WRITE, "write", true),
    (kind::LSTAT, "lstat", false),
    (kind::FSTAT, "fstat", false),
    (kind::SETSTAT, "setstat", true),
    (kind::FSETSTAT, "fsetstat", true),
    (kind::OPENDIR, "opendir", false),
    (kind::READDIR, "readdir", false),
    (kind::REMOVE, "remove", true),
    (kind::MKDIR, "mkdir", true),
    (kind::RMDIR, "rmdir", true),
    (kind::REALPATH, "realpath", false),
    (kind::STAT, "stat", false),
    (kind::RENAME, "rename", true),
    (kind::READLINK, "readlink", false),
    (kind::SYMLINK, "symlink", true),
];

/// The names of all requests, extensions last, as `sftp-server -Q requests` prints them.
pub fn requests() -> impl Iterator<Item = &'static str> {
    REQUESTS.iter().map(|(_, name, _)| *name).chain(extensions::short_names())
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    ReadOnly,
    Denied,
    NotAllowed,
}

impl Server {
    /// Refuses a packet of a type that may not be carried out. `EXTENDED` is checked by its name.
    pub(super) fn check_packet(&self, id: u32, request: u8) -> Result<(), Status> {
        let known = REQUESTS.iter().find(|(kind, _, _)| *kind == request);
        let Some((_, name, changes)) = known else { return Ok(()) };
        self.log(LogLevel::Debug3, format_args!("request {id}: {name}"));
        self.check(name, *changes)
    }

    /// Refuses a request of a name that may not be carried out, which is logged in OpenSSH's words.
    pub(super) fn check(&self, name: &str, changes: bool) -> Result<(), Status> {
        let log = |line: fmt::Arguments<'_>| self.log(LogLevel::Verbose, line);
        match self.refusal(name, changes) {
            None => return Ok(()),
            Some(Refusal::ReadOnly) => log(format_args!("Refusing {name} request in read-only mode")),
            Some(Refusal::Denied) => log(format_args!("Refusing denylisted {name} request")),
            Some(Refusal::NotAllowed) => log(format_args!("Refusing non-allowlisted {name} request")),
        }
        Err(Status::PermissionDenied)
    }

    /// Whether a request of this name, which changes something or does not, is carried out.
    pub(super) fn permits(&self, name: &str, changes: bool) -> bool {
        self.refusal(name, changes).is_none()
    }

    fn refusal(&self, name: &str, changes: bool) -> Option<Refusal> {
        let Options { read_only, denied, allowed, .. } = &self.options;
        let listed = |list: &Vec<String>| list.iter().any(|one| one == name);
        if *read_only && changes {
            Some(Refusal::ReadOnly)
        } else if listed(denied) {
            Some(Refusal::Denied)
        } else if !allowed.as_ref().is_none_or(listed) {
            Some(Refusal::NotAllowed)
        } else {
            None
        }
    }
}
