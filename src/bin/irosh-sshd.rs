//! The built-in SSH server as a program of its own: `irosh sshd` and nothing else.
//!
//! `irosh host` runs one for each connection. A large program costs memory in each process, since what it
//! has to be told of its own addresses is written into pages that are no longer shared; this one is small.

#[path = "irosh/sshd.rs"]
mod sshd;

use std::process::ExitCode;

use clap::Parser;
use irosh::files::Paths;

/// Serve ssh on stdin and stdout, as `sshd -i` does.
#[derive(Parser)]
#[command(name = "irosh-sshd", version, about)]
struct Arguments {
    /// Use the files of the system service: /etc/irosh, /var/lib/irosh, /run/irosh
    #[arg(long)]
    system: bool,
    #[command(flatten)]
    sshd: sshd::SshdArguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = run(arguments);
    if let Err(error) = &result {
        irosh::log::complain_of("irosh-sshd", &**error);
    }
    irosh::log::flush();
    // As sshd does.
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(255) }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let paths = if arguments.system { Paths::of_system() } else { Paths::of_user()? };
    sshd::run(&paths, arguments.sshd)
}
