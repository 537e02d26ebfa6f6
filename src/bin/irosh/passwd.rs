//! `irosh passwd`: the password of the built-in SSH server.

use std::io::{IsTerminal, Write};

use irosh::{files::Paths, server::set_password};

pub(super) fn run(paths: &Paths) -> anyhow::Result<()> {
    let ask = |prompt: &str| -> anyhow::Result<String> {
        if !std::io::stdin().is_terminal() {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)?;
            return Ok(line.trim_end_matches('\n').to_owned());
        }
        write!(std::io::stderr(), "{prompt}: ")?;
        let line = irosh::stdio::read_hidden_line();
        writeln!(std::io::stderr())?;
        Ok(line?)
    };
    let password = ask("new password")?;
    if std::io::stdin().is_terminal() && ask("again")? != password {
        anyhow::bail!("the two are not the same\nnothing was changed");
    }
    Ok(set_password(&paths.password(), &password)?)
}
