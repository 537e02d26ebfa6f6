//! What programs say on stderr. stdout is for results, and for ssh's bytes.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// Sends log lines to stderr, at `level` and above unless `IROSH_LOG` says otherwise
/// (`IROSH_LOG=debug`, or any filter of the tracing crate).
pub fn start(level: &str) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal has the time already.
    if journal { lines.without_time().init() } else { lines.init() }
}

/// Sends log lines to a file, in the same way.
pub fn start_in(level: &str, file: std::fs::File) {
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(std::sync::Mutex::new(file));
    lines.with_target(false).with_ansi(false).init();
}

fn filter(level: &str) -> EnvFilter {
    // What iroh logs is about its inner life; the programs say what a person needs.
    // What sftp logs of its sessions is as much as its own -l says.
    let default = format!("irosh={level},irosh::server::sftp::log=debug");
    let filter = std::env::var("IROSH_LOG").ok().filter(|filter| !filter.is_empty());
    EnvFilter::new(filter.unwrap_or(default))
}

/// Prints an error as `program: message`, with what to do next on the lines after it.
pub fn complain(program: &str, error: &dyn std::fmt::Display) {
    // With the causes of an error that has some.
    let message = printable(format!("{error:#}").trim_end()).replace('\n', &format!("\n{program}: "));
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{program}: {message}");
}

/// Prints text on stderr as it is; nobody is left to tell when stderr is gone.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Text that may be a stranger's, for a terminal: control characters, which could steer it, are escaped, but
/// for ends of lines and tabs.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// `user@machine`: the comment of a new key.
#[must_use]
pub fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let machine = machine_name();
    if user.is_empty() { machine } else { format!("{user}@{machine}") }
}

/// The machine's name.
#[must_use]
pub fn machine_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into_owned())
}
