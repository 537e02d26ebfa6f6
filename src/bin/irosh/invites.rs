//! `irosh ticket` and `irosh invite`.

use std::{str::FromStr, time::Duration};

use clap::Subcommand;
use iroh::{EndpointAddr, EndpointId};
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    files::Paths,
    host::{Admin, InviteStatus, OpenInvite, Restrictions, Terms},
    log::printable,
    transport::{KeyFile, Target},
};
use serde_json::json;

#[derive(clap::Args)]
pub(super) struct TicketArguments {
    /// As short as it can be: the endpoint id and one relay. The addresses of this machine are not in it
    #[arg(long)]
    short: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct InviteArguments {
    #[command(subcommand)]
    command: Option<InviteCommand>,
    #[command(flatten)]
    issue: IssueArguments,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Args)]
struct IssueArguments {
    /// How long it may be used, such as 30m, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = duration)]
    ttl: Duration,
    /// How many peers it may admit
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// The login that the peer needs no further proof for at the built-in server
    #[arg(long)]
    login: Option<String>,
    /// An option of authorized_keys that restricts the peer at the built-in server, such as restrict or
    /// command="backup"; may be given again
    #[arg(long = "option", value_name = "OPTION")]
    options: Vec<String>,
}

#[derive(Subcommand)]
enum InviteCommand {
    /// List the invites that can still be used: id, uses left, end, and what they admit to
    List,
    /// Take an invite back
    Revoke {
        /// Its id, or the invite itself
        which: String,
    },
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time span: use 90s, 30m, 24h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(split);
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    count.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// The endpoint id of this host, which has one from now on.
pub(super) fn own_id(paths: &Paths) -> anyhow::Result<EndpointId> {
    // The system's service makes its key itself, so that it is the service's.
    let key = if *paths == Paths::of_system() {
        KeyFile::load(&paths.host_key())?
    } else {
        let name = irosh::log::machine_name();
        KeyFile::load_or_create(&paths.host_key(), &format!("irosh host {name}"))?
    };
    Ok(key.secret().public())
}

/// Its id and a relay: by that, all other ways to it are found.
fn short(addr: &EndpointAddr) -> EndpointAddr {
    let bare = EndpointAddr::new(addr.id);
    addr.relay_urls().take(1).cloned().fold(bare, EndpointAddr::with_relay_url)
}

pub(super) fn ticket(host: &Admin, arguments: &TicketArguments) -> anyhow::Result<()> {
    let addr = host.ticket()?;
    let addr = if arguments.short { short(&addr) } else { addr };
    let id = addr.id.to_string();
    let ticket = EndpointTicket::new(addr).to_string();
    if arguments.json {
        super::print::print(&json!({ "endpoint_id": id, "ticket": ticket }).to_string());
    } else {
        super::print::print(&ticket);
    }
    Ok(())
}

pub(super) fn invite(host: &Admin, arguments: InviteArguments) -> anyhow::Result<()> {
    let InviteArguments { command, issue, json } = arguments;
    match command {
        None => make(host, issue, json)?,
        Some(InviteCommand::List) => host.invites()?.iter().for_each(|invite| show(invite, json)),
        Some(InviteCommand::Revoke { which }) => {
            // The secret of an invite is nobody's to tell.
            let shown =
                Target::from_str(&which).ok().and_then(|target| target.secret().map(OpenInvite::name_of));
            let gone = host.revoke_invite(&shown.unwrap_or(which))?;
            gone.iter().for_each(|invite| show(invite, json));
        }
    }
    Ok(())
}

fn make(host: &Admin, arguments: IssueArguments, json: bool) -> anyhow::Result<()> {
    let IssueArguments { ttl, uses, login, options } = arguments;
    let restrictions = Restrictions::parse(&options.join(",")).map_err(anyhow::Error::msg)?;
    let made = host.invite(&Terms { ttl, uses, login, restrictions })?;
    super::print::print(&if json { json!(made).to_string() } else { made.invite });
    Ok(())
}

/// Prints an invite without its secret, which nobody has any more.
fn show(invite: &InviteStatus, json: bool) {
    if json {
        return super::print::print(&json!(invite).to_string());
    }
    let InviteStatus { id, uses, expires, login, options } = invite;
    let end = expires.strftime("%Y-%m-%d %H:%M UTC");
    let login = login.as_ref().map(|login| format!("login={login}")).unwrap_or_default();
    let line = format!("{id}  {uses} left  until {end}  {login}  {options}");
    super::print::print(&printable(line.trim_end()));
}
