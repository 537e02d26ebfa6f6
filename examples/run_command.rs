//! Runs a command on a host and ends as it ends: `cargo run --example run_command alice@box 'uname -a'`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is an example")]

use std::process::ExitCode;

#[tokio::main]
async fn main() -> irosh::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(command)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: run_command [USER@]HOST COMMAND [ARGUMENT...]");
        return Ok(ExitCode::from(2));
    };
    let host = irosh::connect(target).await?;
    let output = host.command(command).args(arguments).output().await?;
    print!("{}", output.stdout_lossy());
    eprint!("{}", output.stderr_lossy());
    host.disconnect().await;
    Ok(if output.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
