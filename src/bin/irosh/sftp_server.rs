//! `irosh sftp-server`: SFTP on stdin and stdout.

use std::process::ExitCode;

use irosh::server::sftp::{self, Command, User};
use nix::sys::{
    resource::{Resource, getrlimit},
    stat::{Mode, umask},
};

/// Descriptors that OpenSSH takes as open before a client opens any.
const TAKEN: u64 = 5;

pub(super) fn run(arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let mut options = match Command::parse(arguments, User::of_process())? {
        Command::Serve(options) => options,
        Command::ListRequests => {
            let names: Vec<_> = sftp::requests().collect();
            super::print::print(&(names.join("\n") + "\n"));
            return Ok(ExitCode::SUCCESS);
        }
        Command::Usage => {
            eprintln!("{}", Command::USAGE);
            return Ok(ExitCode::FAILURE);
        }
    };
    // The process serves one client, and what it has is that client's.
    if let Some(mask) = options.umask.take() {
        umask(Mode::from_bits_truncate(mask as libc::mode_t));
    }
    options.max_handles = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft.saturating_sub(TAKEN));
    sftp::serve_fds(sftp::Server::new(options), std::io::stdin(), std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
