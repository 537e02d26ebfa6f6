//! What ssh runs: `ProxyCommand irosh-proxy %h`.
//!
//! It hands ssh's pipes to the user's agent and waits for the outcome. It starts with every ssh, so it knows nothing of
//! networks: where no agent hears it, it becomes `irosh proxy`, which dials itself.

mod arguments;

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::Parser;
use irosh::{
    agent::{Called, call_for_known_hosts, call_for_session},
    files::Paths,
    settings::{AgentUse, agent_use},
};

use crate::arguments::ProxyArguments;

/// The program that knows of networks.
const IROSH: &str = "irosh";

fn main() -> ExitCode {
    let arguments = ProxyArguments::parse();
    // Ctrl-C and Ctrl-Z in the terminal are for ssh: with direct ssh, there is no process here. Who leads a group
    // cannot leave it, and was not started by ssh.
    let _ = nix::unistd::setsid();
    // libssh leaves the other end of stdin open here, whose end is how a client's own shows.
    let _ = irosh::descriptors::close_inherited();
    let code = run(&arguments).unwrap_or_else(|error| {
        irosh::log::complain("irosh-proxy", &error);
        ExitCode::FAILURE
    });
    irosh::log::flush();
    code
}

fn run(arguments: &ProxyArguments) -> anyhow::Result<ExitCode> {
    let irosh = irosh()?;
    let called = match agent_paths(arguments)? {
        Some(paths) => call(arguments, &paths, &irosh)?,
        None => Called::NotHeard,
    };
    match called {
        Called::Done => Ok(ExitCode::SUCCESS),
        Called::Text(text) => {
            irosh::stdio::print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Called::Failed(why) => Err(anyhow::Error::msg(why)),
        Called::NotHeard => {
            let error = Command::new(&irosh).arg("proxy").args(std::env::args_os().skip(1)).exec();
            Err(cannot_run(&irosh, &error))
        }
    }
}

/// The files of the user whose agent it is, where there is to be one.
fn agent_paths(arguments: &ProxyArguments) -> anyhow::Result<Option<Paths>> {
    if arguments.no_agent {
        return Ok(None);
    }
    let paths = Paths::of_owner(Paths::of_user)?;
    Ok((agent_use(&paths) == AgentUse::Auto).then_some(paths))
}

fn call(arguments: &ProxyArguments, paths: &Paths, irosh: &Path) -> io::Result<Called> {
    match &arguments.known_hosts {
        Some(sought) => {
            Ok(call_for_known_hosts(paths, arguments.network(), &arguments.target, sought.as_deref()))
        }
        None => call_for_session(paths, irosh, arguments.network(), &arguments.target, arguments.fdpass),
    }
}

/// Where the other program is: beside this one.
fn irosh() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(OsString::from(IROSH)))
}

fn cannot_run(irosh: &Path, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot run {}: {error}\ninstall `irosh` beside `irosh-proxy`", irosh.display())
}
