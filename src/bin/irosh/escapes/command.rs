//! What may stand on the line of `~C`.

use std::str::FromStr;

use crate::forward_spec::{Forward, Listen, NotForward};

/// A line of `~C`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// A blank line: go back to the session.
    Leave,
    /// `help`, `?`, `-h`: print [`super::text::command_help`].
    Help,
    /// `-L`, `-R` or `-D`: forward from now on.
    Forward(Forward),
    /// `-KL`: end a local forward.
    CancelLocal(Listen),
    /// `-KR`: end a remote forward.
    CancelRemote(Listen),
    /// `-KD`: end a dynamic forward.
    CancelDynamic(Listen),
    /// `!command`: run it here, by the user's shell. ssh does so with `PermitLocalCommand` alone.
    Local(String),
}

/// A line that `~C` does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotCommand {
    /// It has no known start.
    #[error(
        "invalid command `{0}`\nexpected -L, -R, -D, -KL, -KR, -KD, !COMMAND or help, such as -L 8080:localhost:80"
    )]
    Unknown(String),
    /// It has no forward behind its start.
    #[error(transparent)]
    Forward(#[from] NotForward),
}

impl FromStr for Command {
    type Err = NotCommand;

    /// Reads a line as ssh does: blanks around are nothing, `-` may be left out, whatever starts with
    /// `h` or `?` is for help.
    fn from_str(line: &str) -> Result<Self, NotCommand> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(Self::Leave);
        }
        let unknown = || NotCommand::Unknown(line.to_owned());
        if let Some(command) = line.strip_prefix('!') {
            let command = command.trim();
            return if command.is_empty() { Err(unknown()) } else { Ok(Self::Local(command.to_owned())) };
        }
        let start = line.strip_prefix('-').unwrap_or(line);
        if start.starts_with(['h', 'H', '?']) {
            return Ok(Self::Help);
        }
        let behind = |prefix: &str| start.strip_prefix(prefix).map(str::trim_start);
        Ok(if let Some(text) = behind("L") {
            Self::Forward(Forward::local(text)?)
        } else if let Some(text) = behind("R") {
            Self::Forward(Forward::remote(text)?)
        } else if let Some(text) = behind("D") {
            Self::Forward(Forward::dynamic(text)?)
        } else if let Some(text) = behind("KL") {
            Self::CancelLocal(Listen::parse(text)?)
        } else if let Some(text) = behind("KR") {
            Self::CancelRemote(Listen::parse(text)?)
        } else if let Some(text) = behind("KD") {
            Self::CancelDynamic(Listen::parse(text)?)
        } else {
            return Err(unknown());
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, NotCommand> {
        line.parse()
    }

    #[test]
    fn forwards_are_added_and_cancelled() {
        let local = Forward::local("34567:localhost:22").expect("a forward");
        for line in ["-L 34567:localhost:22", "  -L34567:localhost:22 ", "L 34567:localhost:22"] {
            assert_eq!(parse(line), Ok(Command::Forward(local.clone())), "{line}");
        }
        assert_eq!(parse("-R 1080"), Ok(Command::Forward(Forward::remote("1080").expect("a forward"))));
        assert_eq!(parse("-D1080"), Ok(Command::Forward(Forward::dynamic("1080").expect("a forward"))));
        let listen = |text| Listen::parse(text).expect(text);
        assert_eq!(parse("-KL 80"), Ok(Command::CancelLocal(listen("80"))));
        assert_eq!(parse("-KR[::1]:80"), Ok(Command::CancelRemote(listen("[::1]:80"))));
        assert_eq!(parse("-KD/s"), Ok(Command::CancelDynamic(listen("/s"))));
    }

    #[test]
    fn help_has_many_names_and_blanks_leave() {
        for line in ["help", "?", "-h", "-?", "h", "HELP"] {
            assert_eq!(parse(line), Ok(Command::Help), "{line}");
        }
        assert_eq!((parse(""), parse("   ")), (Ok(Command::Leave), Ok(Command::Leave)));
    }

    #[test]
    fn a_command_is_run_here() {
        assert_eq!(parse("! echo  hi"), Ok(Command::Local("echo  hi".into())));
    }

    #[test]
    fn what_is_unknown_is_said() {
        for line in ["foo", "-X", "-K", "-KX 1", "!", "-K L 1", "-k"] {
            assert_eq!(parse(line), Err(NotCommand::Unknown(line.to_owned())), "{line}");
        }
        for line in ["-L", "-Lfoo:bar", "-KL", "-KL 0", "-D foo", "-L 1:localhost:22 x"] {
            assert!(matches!(parse(line), Err(NotCommand::Forward(_))), "{line}");
        }
    }
}
