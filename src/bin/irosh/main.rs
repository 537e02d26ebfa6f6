//! Everything a person types: the host, its peers and invites, and the names of hosts.

mod host;
mod hosts;
mod peers;
mod ssh_config;
mod sshd;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use irosh::{
    files::{NoHome, Paths},
    settings::NetworkChoice,
    transport::{Bind, NameService, Relay},
};

/// Plain OpenSSH to a machine that has no address.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Arguments {
    /// Use the files of the system service: /etc/irosh, /var/lib/irosh, /run/irosh
    #[arg(long, global = true)]
    system: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host in the foreground: accept ssh from admitted peers
    Host(host::HostArguments),
    /// Print this host's ticket
    Ticket(peers::TicketArguments),
    /// Print an invite, which admits a new peer
    Invite(peers::InviteArguments),
    /// Who may come in to this host
    Peers(peers::PeersArguments),
    /// Names for hosts to reach from here
    Hosts(hosts::HostsArguments),
    /// The lines of ssh_config that make `ssh NAME` work
    SshConfig(ssh_config::SshConfigArguments),
    /// Serve ssh on stdin and stdout, as `sshd -i` does
    Sshd(sshd::SshdArguments),
    /// Serve sftp on stdin and stdout, with the options of sftp-server(8)
    #[command(hide = true, name = "sftp-server")]
    SftpServer {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set the password with which ssh may log in to the built-in server
    Passwd,
}

/// How to reach the network.
#[derive(clap::Args)]
struct NetworkArguments {
    /// Relay servers: default, none or URLs with commas between them
    #[arg(long, env = "IROSH_RELAY", value_name = "WHICH")]
    relay: Option<Relay>,
    /// Name service: default, none or `PKARR-URL,ORIGIN[,NAMESERVER]`
    #[arg(long, env = "IROSH_DNS", value_name = "WHICH")]
    dns: Option<NameService>,
    /// Addresses to bind: `ADDRESS:PORT[,ADDRESS:PORT]`
    #[arg(long, env = "IROSH_BIND", value_name = "ADDRESS")]
    bind: Option<Bind>,
}

impl From<NetworkArguments> for NetworkChoice {
    fn from(arguments: NetworkArguments) -> Self {
        Self { relay: arguments.relay, dns: arguments.dns, bind: arguments.bind }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Command::Host(_) => irosh::log::start("info"),
        Command::Sshd(arguments) => arguments.start_log(),
        _ => irosh::log::start("warn"),
    }
    let is_sshd = matches!(arguments.command, Command::Sshd(_));
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            irosh::log::complain("irosh", &error);
            // sshd's own status of a connection that failed.
            if is_sshd { ExitCode::from(255) } else { ExitCode::FAILURE }
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.system && matches!(arguments.command, Command::Hosts(_) | Command::SshConfig(_)) {
        anyhow::bail!("names and ssh's configuration are each user's own\nleave out --system");
    }
    let paths = paths(arguments.system)?;
    match arguments.command {
        Command::Host(arguments) => host::run(paths, arguments),
        Command::Ticket(arguments) => peers::ticket(&paths, &arguments),
        Command::Invite(arguments) => peers::invite(&paths, arguments),
        Command::Peers(arguments) => peers::peers(&paths, arguments),
        Command::Hosts(arguments) => hosts::run(&paths, arguments),
        Command::SshConfig(arguments) => ssh_config::run(&paths, arguments),
        Command::Sshd(arguments) => sshd::run(&paths, arguments),
        Command::SftpServer { arguments } => sshd::sftp_server(arguments),
        Command::Passwd => sshd::passwd(&paths),
    }
}

fn paths(system: bool) -> Result<Paths, NoHome> {
    if system { Ok(Paths::of_system()) } else { Paths::of_user() }
}

/// Prints a result. A reader that has gone is no error (`irosh peers | head`), a full disk is.
fn print(text: &str) {
    use std::io::{ErrorKind, Write};
    if let Err(error) = writeln!(std::io::stdout(), "{}", text.trim_end())
        && error.kind() != ErrorKind::BrokenPipe
    {
        irosh::log::complain("irosh", &format!("cannot write to stdout: {error}"));
        std::process::exit(1);
    }
}
