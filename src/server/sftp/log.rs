//! What a server logs of a session: the lines of OpenSSH's sftp-server, at its levels.
//!
//! Names are written as Rust's `Debug` has them: in quotes, with whatever could steer a terminal or begin
//! another line escaped.

use std::fmt;

use super::{handles::Closed, server::Server, status::Status};
use crate::server::log_level::LogLevel;

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
