//! `irosh ssh-config`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Context;
use clap::Subcommand;
use irosh::{
    files::{Paths, home},
    names::{
        Aliases,
        ssh_config::{self, Installed, Lines, Proxy, SshVersion},
    },
};

#[derive(clap::Args)]
#[command(arg = super::network::no_system())]
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
        SshConfigCommand::Print => super::print::print(&lines(paths)?),
        SshConfigCommand::Install => super::print::print(&install(paths)?.join("\n")),
        SshConfigCommand::Remove => {
            let removed = ssh_config::remove(&ssh_folder()?)?;
            super::print::print(if removed { "removed" } else { "nothing was installed" });
        }
    }
    Ok(())
}

/// Has ssh read our lines; says what was done.
pub(super) fn install(paths: &Paths) -> anyhow::Result<[String; 2]> {
    let Installed { own_file, user_file, backup } = ssh_config::install(&ssh_folder()?, &lines(paths)?)?;
    let (wrote, user_file) = (format!("wrote {}", own_file.display()), user_file.display());
    let included = match backup {
        Some(backup) => format!("included it in {user_file}, which was copied to {}", backup.display()),
        None => format!("{user_file} includes it"),
    };
    Ok([wrote, included])
}

/// Follows a change of the aliases, where our lines are installed.
pub(super) fn refresh(paths: &Paths) -> anyhow::Result<()> {
    ssh_config::refresh(&ssh_folder()?, &lines(paths)?)?;
    Ok(())
}

fn lines(paths: &Paths) -> anyhow::Result<String> {
    let aliases = Aliases::load(&paths.aliases())?;
    let proxy = super::programs::beside_this_one("irosh-proxy")?;
    // A path that no line of a configuration can hold.
    let path = proxy.to_str().filter(|path| !path.contains(char::is_control));
    let path = path.with_context(|| format!("ssh can be told of no program at {}", proxy.display()))?;
    let lines = Lines { proxy: Proxy::At(path), version: version_of_ssh(), aes: has_aes() };
    Ok(lines.render(paths, &aliases))
}

/// Where there is no ssh yet, the one that comes will be a new one.
fn version_of_ssh() -> SshVersion {
    let said = Command::new("ssh").arg("-V").stdin(Stdio::null()).output();
    said.map_or(SshVersion::NEWEST, |said| SshVersion::read(&String::from_utf8_lossy(&said.stderr)))
}

/// Whether this processor has instructions for AES-GCM.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

/// ssh takes the home directory of the password database and does not look at HOME; who sets HOME
/// for a try-out means that folder all the same.
fn ssh_folder() -> anyhow::Result<PathBuf> {
    Ok(home().context("no home directory\nset HOME")?.join(".ssh"))
}
