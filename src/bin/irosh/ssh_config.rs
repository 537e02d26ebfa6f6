//! `irosh ssh-config`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Context;
use clap::Subcommand;
use irosh::{
    files::Paths,
    names::{
        Aliases,
        ssh_config::{self, Proxy},
    },
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
    let proxy = proxy()?;
    // A path that no line of a configuration can hold.
    let path = proxy.to_str().filter(|path| !path.contains(char::is_control));
    let path = path.with_context(|| format!("ssh can be told of no program at {}", proxy.display()))?;
    Ok(ssh_config::render(Proxy::At(path), &aliases.hosts, ssh_has_known_hosts_command()))
}

/// Where `irosh-proxy` is: not by the name that a link leads to, which the next version may not have.
fn proxy() -> std::io::Result<PathBuf> {
    const NAME: &str = "irosh-proxy";
    let beside = std::env::current_exe()?.with_file_name(NAME);
    let is_it = |path: &PathBuf| match (path.canonicalize(), beside.canonicalize()) {
        (Ok(path), Ok(beside)) => path == beside,
        _ => false,
    };
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).filter(|folder| folder.is_absolute());
    // As it was called, where that was by a path.
    let called =
        std::env::args_os().next().map(PathBuf::from).filter(|called| called.components().count() > 1);
    let called =
        called.and_then(|called| std::path::absolute(called).ok()).map(|path| path.with_file_name(NAME));
    let found = on_path.map(|folder| folder.join(NAME)).chain(called).find(is_it);
    Ok(found.unwrap_or(beside))
}

/// Where there is no ssh yet, the one that comes will have it.
fn ssh_has_known_hosts_command() -> bool {
    let said = Command::new("ssh").arg("-V").stdin(Stdio::null()).output();
    said.map_or(true, |said| ssh_config::has_known_hosts_command(&String::from_utf8_lossy(&said.stderr)))
}

/// ssh takes the home directory of the password database and does not look at HOME; who sets HOME
/// for a try-out means that folder all the same.
fn ssh_folder() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    Ok(PathBuf::from(home.context("no home directory\nset HOME")?).join(".ssh"))
}
