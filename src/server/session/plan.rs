//! What becomes of a request.

use super::environment::What;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    Run(What),
    /// With the arguments after `internal-sftp`.
    Sftp(Vec<String>),
    /// To say that there is nothing but sftp, where that is forced and something else was asked for.
    SftpAlone,
}

impl Plan {
    pub(super) fn of_command(command: &str) -> Self {
        let mut words = command.split_ascii_whitespace();
        if words.next() == Some("internal-sftp") {
            return Self::Sftp(words.map(str::to_owned).collect());
        }
        Self::Run(What::Command(command.into()))
    }
}
