//! Everything a person types: the host, its peers and invites, and the names of hosts.

mod agent;
mod ask;
mod authorities;
mod code_prompt;
mod comparing;
mod completion;
mod discover;
mod doctor;
mod ended;
mod escapes;
mod forward_spec;
mod host;
mod host_keys;
mod hosts;
mod init;
mod invites;
mod join;
mod listen;
mod man;
mod network;
mod pair;
mod passwd;
mod peers;
mod ping;
mod print;
mod programs;
mod progress;
mod proxy;
#[path = "../irosh-proxy/arguments.rs"]
mod proxy_arguments;
mod published_keys;
mod reload;
mod remote;
mod service;
mod sftp_server;
mod ssh_config;
#[cfg(test)]
mod ssh_server;
mod sshd;
mod status;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use irosh::{
    files::{OwnerError, Paths},
    host::{Admin, AdminError, running},
};

/// What a person wants to know who has typed `irosh` alone, above the next prompt.
const FIRST_STEPS: &str = "\
First steps:
  on the machine to be reached:     irosh service install    (or in a terminal of its own: irosh host)
                                    irosh pair               shows a code, such as 7-velvet-otter
  on the machine that you sit at:   irosh join 7-velvet-otter box
                                    ssh box
  where something is in the way:    irosh doctor";

/// Plain OpenSSH to a machine that has no address.
#[derive(Parser)]
#[command(name = "irosh", version, about, after_help = FIRST_STEPS, arg_required_else_help = true)]
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
    Service(service::ServiceArguments),
    Pair(pair::PairArguments),
    /// Print an invite, which admits a new peer; list those that are open, or take one back
    Invite(invites::InviteArguments),
    /// Print this host's ticket
    Ticket(invites::TicketArguments),
    /// Who may come in to this host
    Peers(peers::PeersArguments),
    /// The SSH host keys that this host announces
    HostKeys(host_keys::HostKeysArguments),
    /// Set the password with which ssh may log in to the built-in server
    Passwd,
    Reload(reload::ReloadArguments),
    Join(join::JoinArguments),
    /// Names for hosts to reach from here
    Hosts(hosts::HostsArguments),
    /// The lines of ssh_config that make `ssh NAME` work
    SshConfig(ssh_config::SshConfigArguments),
    /// Open a shell on a host
    Shell(remote::session::ShellArguments),
    /// Run a command on a host
    Exec(remote::session::ExecArguments),
    /// Copy files and folders to a host
    Put(remote::files::PutArguments),
    /// Copy files and folders from a host
    Get(remote::files::GetArguments),
    /// Forward ports and sockets until it is interrupted
    Forward(remote::forward::ForwardArguments),
    /// Listen at a port whose connections are sessions at a host
    Listen(listen::ListenArguments),
    /// How long a host takes to answer, and by which path it is reached
    Ping(ping::PingArguments),
    Status(status::StatusArguments),
    /// What is in the way to hosts, and what to do about it
    Doctor(doctor::DoctorArguments),
    /// What holds connections and sessions for ssh, in the background
    Agent(agent::AgentArguments),
    /// What irosh-proxy does, without an agent
    #[command(hide = true)]
    Proxy(proxy_arguments::ProxyArguments),
    /// Serve ssh on stdin and stdout, as `sshd -i` does
    Sshd(sshd::SshdArguments),
    /// Serve sftp on stdin and stdout, with the options of sftp-server(8)
    #[command(hide = true, name = "sftp-server", disable_help_flag = true)]
    SftpServer {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Write the manual pages
    Man(man::ManArguments),
}

fn main() -> ExitCode {
    completion::answer(Arguments::command);
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(if error.use_stderr() { status_of_misuse() } else { 0 })
    });
    match &arguments.command {
        Command::Host(_) => irosh::log::start("info"),
        // Its configuration says how much it logs.
        Command::Sshd(_) => {}
        // Its log is a file.
        Command::Agent(arguments) if arguments.serves() => {}
        _ => irosh::log::start("warn"),
    }
    let status = arguments.command.status_of_failure();
    // It takes the place of the program that ssh has run.
    let name = if matches!(arguments.command, Command::Proxy(_)) { "irosh-proxy" } else { "irosh" };
    let code = run(arguments).unwrap_or_else(|error| {
        irosh::log::complain_of(name, &*error);
        ExitCode::from(status(&error))
    });
    irosh::log::flush();
    code
}

impl Command {
    /// Whether it is the client's, which has nothing to do with the system's service.
    fn is_a_users_own(&self) -> bool {
        use Command::{
            Agent, Doctor, Exec, Forward, Get, Hosts, Join, Listen, Ping, Proxy, Put, Shell, SshConfig,
        };
        matches!(
            self,
            Agent(_)
                | Proxy(_)
                | Hosts(_)
                | Join(_)
                | SshConfig(_)
                | Shell(_)
                | Exec(_)
                | Put(_)
                | Get(_)
                | Forward(_)
                | Ping(_)
                | Listen(_)
                | Doctor(_)
        )
    }

    /// Whether it needs the rights of who runs it, and not those of whose the files are.
    fn stays_who_it_is(&self) -> bool {
        use Command::{Host, Man, Service, SftpServer, Sshd};
        matches!(self, Host(_) | Service(_) | Sshd(_) | SftpServer { .. } | Man(_)) || self.asks_the_host()
    }

    /// Whether it is about who may come in to the host of this machine, and where it is.
    fn looks_after_a_host(&self) -> bool {
        use Command::{HostKeys, Invite, Pair, Passwd, Peers, Reload, Ticket};
        matches!(self, Pair(_) | Invite(_) | Ticket(_) | Peers(_) | HostKeys(_) | Reload(_) | Passwd)
    }

    /// Whether it asks the host that runs, and turns to the files only where there is none.
    fn asks_the_host(&self) -> bool {
        use Command::{HostKeys, Invite, Peers, Reload, Ticket};
        match self {
            Peers(arguments) => !arguments.read_settings(),
            _ => matches!(self, Ticket(_) | Invite(_) | HostKeys(_) | Reload(_)),
        }
    }

    /// What the command exits with after an error.
    fn status_of_failure(&self) -> fn(&anyhow::Error) -> u8 {
        match self {
            // As sshd and ssh do.
            Self::Sshd(_) | Self::Shell(_) | Self::Exec(_) => |_| 255,
            Self::Put(_) | Self::Get(_) | Self::Forward(_) | Self::Ping(_) => remote::exit::code_of,
            _ => |_| 1,
        }
    }
}

/// What a command line that is wrong leaves to exit with: with `shell` and `exec`, all but 255 is what runs
/// there.
fn status_of_misuse() -> i32 {
    match command_word().as_deref() {
        Some("shell" | "exec") => remote::session::FAILED.into(),
        _ => 2,
    }
}

/// The command's name, as it was typed.
fn command_word() -> Option<String> {
    let mut words = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok());
    words.find(|word| !word.starts_with('-'))
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.system && arguments.command.is_a_users_own() {
        anyhow::bail!("names and ssh's configuration are each user's own\nleave out --system");
    }
    let system = arguments.system || means_the_systems(&arguments.command)?;
    let paths = paths(system, &arguments.command)?;
    match arguments.command {
        Command::Host(_) if std::process::id() == 1 => return init::run(),
        Command::Host(arguments) => host::run(paths, arguments)?,
        Command::Ticket(arguments) => invites::ticket(&admin(system, paths)?, &arguments)?,
        Command::Invite(arguments) => invites::invite(&admin(system, paths)?, arguments)?,
        Command::Pair(arguments) => return remote::run(|| pair::run(paths, arguments)),
        Command::Peers(arguments) => {
            let settings = paths.host_settings();
            peers::peers(&admin(system, paths)?, &settings, arguments)?;
        }
        Command::HostKeys(arguments) => host_keys::run(&admin(system, paths)?, &arguments)?,
        Command::Reload(arguments) => reload::run(admin(system, paths)?, &arguments)?,
        Command::Join(arguments) => return remote::run(|| join::run(paths, arguments)),
        Command::Hosts(arguments) => return hosts::run(&paths, arguments),
        Command::SshConfig(arguments) => ssh_config::run(&paths, arguments)?,
        Command::Shell(arguments) => return remote::session::run_shell(paths, arguments),
        Command::Exec(arguments) => return remote::session::run_exec(paths, arguments),
        Command::Put(arguments) => return remote::run(|| remote::files::put(paths, arguments)),
        Command::Get(arguments) => return remote::run(|| remote::files::get(paths, arguments)),
        Command::Forward(arguments) => return remote::run(|| remote::forward::run(paths, arguments)),
        Command::Ping(arguments) => return remote::run(|| ping::run(paths, arguments)),
        Command::Listen(arguments) => return remote::run(|| listen::run(paths, arguments)),
        Command::Doctor(arguments) => return remote::run(|| doctor::run(paths, arguments)),
        Command::Status(arguments) => return status::run(system, paths, &arguments),
        Command::Service(arguments) => return service::run(system, arguments),
        Command::Agent(arguments) => agent::run(paths, arguments)?,
        Command::Proxy(arguments) => return proxy::run(&paths, &arguments),
        Command::Sshd(arguments) => sshd::run(&paths, arguments)?,
        Command::SftpServer { arguments } => return sftp_server::run(arguments),
        Command::Man(arguments) => man::run(&arguments, Arguments::command())?,
        Command::Passwd => passwd::run(&paths)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the host that is meant is the system's, because it is the one that runs: root's is, and others are told.
fn means_the_systems(command: &Command) -> anyhow::Result<bool> {
    if !command.looks_after_a_host() || std::env::var_os("IROSH_HOME").is_some() {
        return Ok(false);
    }
    let own = Paths::of_user()?;
    if running(&own).is_some() || running(&Paths::of_system()).is_none() {
        return Ok(false);
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(true);
    }
    if own.host_key().exists() {
        return Ok(false);
    }
    let word = command_word().unwrap_or_default();
    anyhow::bail!(
        "no host of yours runs here, and the system's does\nfor that one: sudo irosh --system {word}"
    );
}

fn paths(system: bool, command: &Command) -> Result<Paths, OwnerError> {
    match (system, command.stays_who_it_is()) {
        (true, true) => Ok(Paths::of_system()),
        (false, true) => Ok(Paths::of_user()?),
        (_, false) => owned(system),
    }
}

/// The folders, of whose owner root has taken the place.
fn owned(system: bool) -> Result<Paths, OwnerError> {
    if system { Paths::of_systems_owner() } else { Paths::of_owner(Paths::of_user) }
}

/// Who looks after the host's lists: the host that runs, or this process.
fn admin(system: bool, paths: Paths) -> Result<Admin, AdminError> {
    Admin::of_owner(paths, || owned(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_the_system_does_not_offer_it() {
        let mut irosh = Arguments::command();
        irosh.build();
        for name in [
            "hosts",
            "join",
            "ssh-config",
            "shell",
            "exec",
            "put",
            "get",
            "forward",
            "ping",
            "listen",
            "doctor",
        ] {
            let mut command = irosh.find_subcommand(name).expect("a command").clone();
            assert!(!command.render_long_help().to_string().contains("--system"), "{name}");
            let words = ["irosh", "--system", name, "box", "a", "b"];
            let parsed = Arguments::try_parse_from(words).map(|arguments| arguments.system);
            assert!(parsed.unwrap_or(true), "{name}");
        }
        let mut host = irosh.find_subcommand("host").expect("a command").clone();
        assert!(host.render_long_help().to_string().contains("--system"));
    }
}
