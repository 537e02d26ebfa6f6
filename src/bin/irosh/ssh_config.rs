//! `irosh ssh-config`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use irosh::{
    files::Paths,
    names::{Aliases, ssh_config},
};

#[derive(clap::Args)]
#[command(arg = super::no_system())]
pub(super) struct SshConfigArguments {
    #[command(subcommand)]
    command: Option<SshConfigCommand>,
}

#[derive(Subcommand)]
enum SshConfigCommand {
    /// Print the lines
    Print,
    /// Put them into ~/.ssh/irosh_config, and include that at the top of ~/.ssh/config
    Install,
    /// Take both away again
    Remove,
}

pub(super) fn run(paths: &Paths, arguments: SshConfigArguments) -> anyhow::Result<()> {
    match arguments.command.unwrap_or(SshConfigCommand::Print) {
        SshConfigCommand::Print => super::print(&lines(paths)?),
        SshConfigCommand::Install => {
            let installed = ssh_config::install(&ssh_folder()?, &lines(paths)?)?;
            super::print(&format!("wrote {}", installed.own_file.display()));
            match installed.backup {
                Some(backup) => super::print(&format!(
                    "included it in {}, which was copied to {}",
                    installed.user_file.display(),
                    backup.display()
                )),
                None => super::print(&format!("{} includes it", installed.user_file.display())),
            }
        }
        SshConfigCommand::Remove => {
            let removed = ssh_config::remove(&ssh_folder()?)?;
            super::print(if removed { "removed" } else { "nothing was installed" });
        }
    }
    Ok(())
}

/// Follows a change of the aliases, where our lines are installed.
pub(super) fn refresh(paths: &Paths) -> anyhow::Result<()> {
    ssh_config::refresh(&ssh_folder()?, &lines(paths)?)?;
    Ok(())
}

fn lines(paths: &Paths) -> anyhow::Result<String> {
    let aliases = Aliases::load(&paths.aliases())?;
    let proxy = std::env::current_exe()?.with_file_name("irosh-proxy");
    Ok(ssh_config::render(&proxy, &aliases.hosts))
}

/// ssh takes the home directory of the password database and does not look at HOME; who sets HOME
/// for a try-out means that folder all the same.
fn ssh_folder() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    Ok(PathBuf::from(home.context("no home directory\nset HOME")?).join(".ssh"))
}
