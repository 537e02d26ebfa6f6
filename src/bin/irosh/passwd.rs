//! `irosh passwd`: the password of the built-in SSH server.

use std::io::{IsTerminal, stdin};

use irosh::{
    client::auth::{Answer, Secret},
    files::Paths,
    server::set_password,
};

use zeroize::Zeroizing;

use super::ask::ask;

pub(super) fn run(paths: &Paths) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let password = if stdin().is_terminal() { runtime.block_on(typed()) } else { read() };
    // A thread may still wait for a line of the terminal.
    runtime.shutdown_background();
    Ok(set_password(&paths.password(), &password?)?)
}

/// Twice, by somebody at the terminal.
async fn typed() -> anyhow::Result<Secret> {
    let mut typed = Vec::new();
    for prompt in ["new password: ", "again: "] {
        match ask(prompt, false).await? {
            Answer::Given(password) => typed.push(password),
            Answer::Cancelled | Answer::None => anyhow::bail!("no password was given\nnothing was changed"),
        }
    }
    anyhow::ensure!(typed[0] == typed[1], "the two are not the same\nnothing was changed");
    Ok(typed.swap_remove(0))
}

/// A line of a program's.
fn read() -> anyhow::Result<Secret> {
    let mut line = Zeroizing::new(String::with_capacity(4096));
    stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches('\n').into())
}
