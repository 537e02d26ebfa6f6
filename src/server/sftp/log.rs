//! What a server logs of a session: the lines of OpenSSH's sftp-server, at its levels.
//!
//! Names are written as Rust's `Debug` has them: in quotes, with whatever could steer a terminal or begin
//! another line escaped.

use std::fmt;

use super::{handles::Closed, server::Server, status::Status};

/// How much is logged, by the words of LogLevel (sshd_config(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Nothing.
    Quiet,
    /// What ends the server.
    Fatal,
    /// What went wrong at its side.
    #[default]
    Error,
    /// Sessions, files that were opened and closed, what was changed, and what failed.
    Info,
    /// Also links and paths that were asked for, and requests that are not allowed.
    Verbose,
    /// As the next.
    Debug1,
    /// As the next.
    Debug2,
    /// Every request.
    Debug3,
}

impl LogLevel {
    /// The words there are.
    pub(super) const WORDS: &str = "QUIET, FATAL, ERROR, INFO, VERBOSE, DEBUG, DEBUG2 or DEBUG3";

    /// Reads a word, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "QUIET" => Self::Quiet,
            "FATAL" => Self::Fatal,
            "ERROR" => Self::Error,
            "INFO" => Self::Info,
            "VERBOSE" => Self::Verbose,
            "DEBUG" | "DEBUG1" => Self::Debug1,
            "DEBUG2" => Self::Debug2,
            "DEBUG3" => Self::Debug3,
            _ => return None,
        })
    }
}

impl Server {
    /// Logs a line, if there is to be so much.
    pub(super) fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        if level > self.options.log_level {
            return;
        }
        // As syslog has it: a connection of the built-in server is a process.
        let process = std::process::id();
        match level {
            LogLevel::Quiet | LogLevel::Fatal | LogLevel::Error => tracing::error!("sftp[{process}]: {line}"),
            LogLevel::Info | LogLevel::Verbose => tracing::info!("sftp[{process}]: {line}"),
            LogLevel::Debug1 | LogLevel::Debug2 | LogLevel::Debug3 => {
                tracing::debug!("sftp[{process}]: {line}")
            }
        }
    }

    /// Logs what a client is told, unless that is what it expects.
    pub(super) fn log_status(&self, status: Status, message: &str) {
        let expected = matches!(status, Status::Ok | Status::EndOfFile);
        let level = if expected { LogLevel::Debug1 } else { LogLevel::Info };
        self.log(level, format_args!("sent status {message}"));
    }

    /// Logs the end of a handle.
    pub(super) fn log_closed(&self, closed: &Closed<'_>) {
        let Closed { path, directory, read, written, forced } = closed;
        let forced = if *forced { "forced " } else { "" };
        if *directory {
            self.log(LogLevel::Info, format_args!("{forced}closedir {path:?}"));
        } else {
            let line = format_args!("{forced}close {path:?} bytes read {read} written {written}");
            self.log(LogLevel::Info, line);
        }
    }

    /// Logs the begin or the end of a session.
    pub(super) fn log_session(&self, what: &str) {
        let user = &self.options.user;
        let address = if user.address.is_empty() { "UNKNOWN" } else { &user.address };
        let (name, address) = (user.name.escape_debug(), address.escape_debug());
        self.log(LogLevel::Info, format_args!("session {what} for local user {name} from [{address}]"));
    }
}
