//! AuthorizedKeysCommand and AuthorizedPrincipalsCommand.

use std::{os::unix::fs::MetadataExt, path::Path, process::Stdio, time::Duration};

use nix::unistd::{Uid, User};
use tokio::{process::Command, time::timeout};

use crate::server::{
    account::Account,
    config::{tokens::Tokens, words::split_words},
};

/// How long a command may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a command prints; `None`, with a line in the log, when it may not be run or fails.
pub(super) async fn output(line: &str, user: &str, account: &Account, tokens: &Tokens) -> Option<Vec<u8>> {
    let wrong = |reason: String| {
        tracing::warn!("{line}: {reason}");
        None
    };
    let Ok(Ok(Some(user))) = tokens.expand(user).map(|name| User::from_name(&name)) else {
        return wrong(format!("there is no user {user}"));
    };
    let Some(words) = split_words(line, false) else {
        return wrong("a quote is not closed".to_owned());
    };
    let mut arguments = Vec::new();
    for word in words.iter().skip(1) {
        match tokens.expand(word) {
            Ok(argument) => arguments.push(argument),
            Err(error) => return wrong(error.to_string()),
        }
    }
    let Some(program) = words.first().filter(|program| program.starts_with('/')) else {
        return wrong("it needs an absolute path".to_owned());
    };
    if let Err(reason) = is_safe(Path::new(program)) {
        return wrong(reason);
    }
    // As sshd: without arguments, the login is the only one.
    if words.len() == 1 {
        arguments.push(account.name.clone());
    }
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/games")
        .env("USER", &user.name)
        .env("LOGNAME", &user.name)
        .env("HOME", &user.dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if Uid::effective().is_root() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    match timeout(DEADLINE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Some(output.stdout),
        Ok(Ok(output)) => wrong(format!("it failed: {}", output.status)),
        Ok(Err(error)) => wrong(error.to_string()),
        Err(_) => wrong("it takes too long".to_owned()),
    }
}

/// Nobody but root may be able to change what decides who comes in.
fn is_safe(program: &Path) -> Result<(), String> {
    let real = program.canonicalize().map_err(|error| error.to_string())?;
    for part in real.ancestors() {
        let found = part.metadata().map_err(|error| error.to_string())?;
        let own = Uid::effective();
        if (found.uid() != 0 && found.uid() != own.as_raw()) || found.mode() & 0o022 != 0 {
            return Err(format!("bad ownership or modes for {}", part.display()));
        }
    }
    Ok(())
}
