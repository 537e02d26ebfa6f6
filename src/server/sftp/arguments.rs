//! The options of sftp-server(8), and of `internal-sftp` in a configuration.

use std::path::PathBuf;

use super::{requests::requests, server::Options, user::User};
use crate::server::{
    config::tokens::{TokenError, Tokens},
    log_level::LogLevel,
};

/// What is wrong with an argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// No such option.
    #[error("-{0} is not an option: use -R, -d DIRECTORY, -l LEVEL, -P REQUESTS, -p REQUESTS, -u UMASK")]
    Unknown(char),
    /// Nothing follows an option that needs a value.
    #[error("-{0} needs a value")]
    NoValue(char),
    /// Given twice, where one would undo the other.
    #[error("-{0} is given twice: list all requests after one")]
    Twice(char),
    /// Not an octal number.
    #[error("`{0}` is not a umask")]
    Umask(String),
    /// Not a level of the log.
    #[error("`{0}` is not a log level: use {levels}", levels = LogLevel::WORDS)]
    LogLevel(String),
    /// Not a facility of syslog.
    #[error("`{0}` is not a log facility: use DAEMON, USER, AUTH, AUTHPRIV or LOCAL0 to LOCAL7")]
    Facility(String),
    /// No request has this name.
    #[error("`{0}` is not a request\nthe names are printed by: irosh sftp-server -Q requests")]
    Request(String),
    /// Nothing that can be asked for.
    #[error("-Q prints `requests`, not `{0}`")]
    Query(String),
    /// A `%` that stands for nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// `~name` of nobody.
    #[error("there is no user `{0}`")]
    NoUser(String),
}

/// What a command line asks for.
pub enum Command {
    /// Serve a client.
    Serve(Options),
    /// Print the names of [`requests`].
    ListRequests,
    /// Say how it is used.
    Usage,
}

impl Command {
    /// How it is used.
    pub const USAGE: &str = "usage: sftp-server [-ehR] [-d start_directory] [-f log_facility] [-l log_level]\n\
                             \t[-P denied_requests] [-p allowed_requests] [-u umask]\n\
                             \x20      sftp-server -Q requests";

    /// Reads options as getopt does: letters may be joined, and a value may follow its letter at once.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`].
    pub fn parse(arguments: impl IntoIterator<Item = String>, user: User) -> Result<Self, ArgumentError> {
        let mut arguments = arguments.into_iter();
        let mut options = Options { user, ..Options::default() };
        while let Some(argument) = arguments.next() {
            let letters = argument.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-");
            // What follows is not looked at: `scp -D` passes the host.
            let Some(letters) = letters else { break };
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let mut value = || {
                    let rest: String = letters.by_ref().collect();
                    let value = if rest.is_empty() { arguments.next() } else { Some(rest) };
                    value.ok_or(ArgumentError::NoValue(letter))
                };
                match letter {
                    'R' => options.read_only = true,
                    // Where the log goes is the program's affair, or that of whoever started it.
                    'e' => {}
                    'h' => return Ok(Self::Usage),
                    // As an account's shell: what follows is a command, and none of this server's.
                    'c' => return Ok(Self::Serve(options)),
                    'Q' => match value()? {
                        what if what.eq_ignore_ascii_case("requests") => return Ok(Self::ListRequests),
                        other => return Err(ArgumentError::Query(other)),
                    },
                    'd' | 'f' | 'l' | 'P' | 'p' | 'u' => options.set(letter, value()?)?,
                    other => return Err(ArgumentError::Unknown(other)),
                }
            }
        }
        Ok(Self::Serve(options))
    }
}

impl Options {
    /// Reads the options of a server that does nothing but serve, as `internal-sftp`.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`].
    pub fn parse(arguments: impl IntoIterator<Item = String>, user: User) -> Result<Self, ArgumentError> {
        match Command::parse(arguments, user)? {
            Command::Serve(options) => Ok(options),
            Command::ListRequests => Err(ArgumentError::Unknown('Q')),
            Command::Usage => Err(ArgumentError::Unknown('h')),
        }
    }

    fn set(&mut self, letter: char, value: String) -> Result<(), ArgumentError> {
        match letter {
            'd' => self.start = self.user.folder(&value)?,
            'f' => check_facility(value)?,
            'l' => self.log_level = LogLevel::parse(&value).ok_or(ArgumentError::LogLevel(value))?,
            'P' if self.denied.is_empty() => self.denied = names(&value)?,
            'p' if self.allowed.is_none() => self.allowed = Some(names(&value)?),
            'u' => {
                let mask = u32::from_str_radix(&value, 8).ok().filter(|mask| *mask <= 0o777);
                self.umask = Some(mask.ok_or(ArgumentError::Umask(value))?);
            }
            again => return Err(ArgumentError::Twice(again)),
        }
        Ok(())
    }
}

impl User {
    /// A folder as `-d` has it: `~` and `~name` at its start are homes, and then come the tokens `%d` (the
    /// home), `%u` (the login), `%U` (its number) and `%%`.
    fn folder(&self, text: &str) -> Result<PathBuf, ArgumentError> {
        let home = self.home.to_string_lossy();
        let text = match text.strip_prefix('~') {
            None => text.to_owned(),
            Some(rest) => {
                let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                if name.is_empty() {
                    format!("{home}{rest}")
                } else {
                    let found = Self::find(name).ok_or_else(|| ArgumentError::NoUser(name.to_owned()))?;
                    format!("{}{rest}", found.home.to_string_lossy())
                }
            }
        };
        Ok(Tokens::of_sftp(&self.name, &home, self.uid).expand(&text)?.into())
    }
}

/// Names of requests. One that is misspelt would deny nothing.
fn names(text: &str) -> Result<Vec<String>, ArgumentError> {
    let known = |name: &str| requests().any(|request| request == name);
    let checked = |name: &str| {
        if known(name) { Ok(name.to_owned()) } else { Err(ArgumentError::Request(name.to_owned())) }
    };
    text.split(',').map(checked).collect()
}

/// The log does not go to syslog from here; a configuration that is wrong for sftp-server is wrong all the
/// same.
fn check_facility(name: String) -> Result<(), ArgumentError> {
    let known = ["DAEMON", "USER", "AUTH", "AUTHPRIV"];
    let upper = name.to_ascii_uppercase();
    let local = upper.strip_prefix("LOCAL").is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'7']));
    if local || known.contains(&upper.as_str()) { Ok(()) } else { Err(ArgumentError::Facility(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User { name: "bob".to_owned(), uid: 1000, home: "/home/bob".into(), address: String::new() }
    }

    fn command(line: &str) -> Result<Command, ArgumentError> {
        Command::parse(line.split(' ').map(str::to_owned), user())
    }

    fn parse(line: &str) -> Result<Options, ArgumentError> {
        Options::parse(line.split(' ').map(str::to_owned), user())
    }

    #[test]
    fn letters_may_be_joined_and_values_follow_at_once() {
        let options = parse("-el debug3 -Rd/srv -u 027 -f local0 -P remove,rename").expect("options");
        assert!(options.read_only);
        assert_eq!((options.start, options.umask), (PathBuf::from("/srv"), Some(0o27)));
        assert_eq!(
            (options.log_level, options.denied),
            (LogLevel::Debug3, vec!["remove".into(), "rename".into()])
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, error) in [
            ("-x", ArgumentError::Unknown('x')),
            ("-d", ArgumentError::NoValue('d')),
            ("-u 9", ArgumentError::Umask("9".into())),
            ("-l loud", ArgumentError::LogLevel("loud".into())),
            ("-f local8", ArgumentError::Facility("local8".into())),
            ("-P remove,renam", ArgumentError::Request("renam".into())),
            ("-p remove -p stat", ArgumentError::Twice('p')),
            ("-d ~no-such-user/x", ArgumentError::NoUser("no-such-user".into())),
            ("-Q ciphers", ArgumentError::Query("ciphers".into())),
            ("-h", ArgumentError::Unknown('h')),
        ] {
            assert_eq!(parse(line).err(), Some(error), "{line}");
        }
        assert!(matches!(parse("-d /srv/%h").err(), Some(ArgumentError::Token(_))));
    }

    #[test]
    fn the_start_has_tokens_and_a_tilde() {
        for (asked, start) in [
            ("/srv/%u-%U%%", "/srv/bob-1000%"),
            ("%d/files", "/home/bob/files"),
            ("~", "/home/bob"),
            ("~/files", "/home/bob/files"),
            ("a~", "a~"),
        ] {
            let options = parse(&format!("-d {asked}")).expect("options");
            assert_eq!(options.start, PathBuf::from(start), "{asked}");
        }
    }

    #[test]
    fn requests_can_be_listed_and_a_shell_s_command_is_none_of_ours() {
        assert!(matches!(command("-Q Requests"), Ok(Command::ListRequests)));
        assert!(matches!(command("-eh"), Ok(Command::Usage)));
        assert!(matches!(command("-Rc -x"), Ok(Command::Serve(Options { read_only: true, .. }))));
    }
}
