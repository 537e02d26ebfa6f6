//! What programs say on stderr. stdout is for results, and for ssh's bytes.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, IsTerminal, PipeReader, PipeWriter, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Stdio,
    sync::{LazyLock, OnceLock},
    thread,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use crate::outlet::Outlet;

/// How long the last lines may take, where nobody seems to read them.
const LAST_LINES: Duration = Duration::from_millis(250);

/// A longer line of others is said in pieces.
const LONGEST_LINE: u64 = 4 << 10;

/// stderr, for all that is said there besides a terminal's own conversation.
static STDERR: LazyLock<Outlet> = LazyLock::new(|| {
    Outlet::new(rustix::stdio::stderr(), |lines| format!("({lines} lines dropped: stderr took no more)\n"))
});

/// Sends log lines to stderr, at `level` and above unless `IROSH_LOG` says otherwise
/// (`IROSH_LOG=debug`, or any filter of the tracing crate).
pub fn start(level: &str) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(|| &*STDERR)
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

/// A pipe whose lines come out between ours.
struct Repeated {
    said: PipeReader,
    ours: PipeWriter,
}

/// What children have for their stderr.
static OF_CHILDREN: OnceLock<io::Result<Repeated>> = OnceLock::new();

impl Repeated {
    fn start(said: PipeReader, ours: PipeWriter) -> io::Result<Self> {
        let reader = BufReader::new(said.try_clone()?);
        thread::Builder::new().name("stderr".to_owned()).spawn(move || repeat(reader))?;
        Ok(Self { said, ours })
    }
}

/// A stderr for what this program runs: a program that waits for the reader of ours would keep its session
/// waiting. What it says comes out between our lines.
pub(crate) fn stderr_of_children() -> Stdio {
    let made = OF_CHILDREN.get_or_init(|| io::pipe().and_then(|(said, ours)| Repeated::start(said, ours)));
    let ours = made.as_ref().ok().and_then(|made| made.ours.try_clone().ok());
    ours.map_or_else(Stdio::inherit, Stdio::from)
}

/// The ends of that pipe, to read and to write, for the program that is to read what children say when this one does
/// not any more. Nothing where there are none.
pub(crate) fn pipe_of_children() -> Option<[BorrowedFd<'static>; 2]> {
    let made = OF_CHILDREN.get()?.as_ref().ok()?;
    Some([made.said.as_fd(), made.ours.as_fd()])
}

/// Reads what the children of an earlier program say.
pub(crate) fn inherit_pipe_of_children(said: OwnedFd, ours: OwnedFd) {
    OF_CHILDREN.get_or_init(|| Repeated::start(said.into(), ours.into()));
}

/// Says line by line what others say, which may be a stranger's words.
fn repeat(mut said: impl BufRead) {
    let mut line = Vec::new();
    while matches!((&mut said).take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(1..)) {
        // sshd ends its lines as for a terminal in raw mode.
        STDERR.put(printable(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])) + "\n");
        line.clear();
    }
}

fn filter(level: &str) -> EnvFilter {
    // What iroh logs is about its inner life; the programs say what a person needs.
    // What sftp logs of its sessions is as much as its own -l says.
    let default = format!("irosh={level},irosh::server::sftp::log=debug");
    let filter = std::env::var("IROSH_LOG").ok().filter(|filter| !filter.is_empty());
    EnvFilter::new(filter.unwrap_or(default))
}

/// Prints a message as `program: message`, with what to do next on the lines after it.
pub fn complain(program: &str, message: &dyn std::fmt::Display) {
    let message = printable(message.to_string().trim_end()).replace('\n', &format!("\n{program}: "));
    say(&format!("{program}: {message}\n"));
}

/// Prints an error in the same way, with its causes.
pub fn complain_of(program: &str, error: &(dyn Error + 'static)) {
    complain(program, &with_causes(error));
}

/// An error and its causes, each said once: many an error says its cause itself.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        next = cause.source();
    }
    said
}

/// Prints text on stderr as it is. Never blocks, and nobody is left to tell when stderr is gone; see
/// [`Outlet`].
pub fn say(text: &str) {
    STDERR.put(text);
}

/// Waits for what was said to be written, but not for a reader that stands still. Has to be called before
/// the program ends, or asks something.
pub fn flush() {
    STDERR.flush(LAST_LINES);
}

/// Text that may be a stranger's, for a terminal or a log: characters that could steer it, or show what follows
/// in another order than it is written, are escaped, but for ends of lines and tabs.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The same as one line, and no more of it than fits one: what the other side of a connection said.
#[must_use]
pub fn one_line(text: &str) -> String {
    let text = printable(&text.replace(['\n', '\t'], " "));
    text.chars().take(200).collect()
}

/// Whether a character is one of Unicode's controls (Cc), formats (Cf) or separators of lines and paragraphs
/// (Zl, Zp), as of Unicode 17: nothing of it is seen but what it does to others.
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped_and_everything_else_stays() {
        for (text, shown) in [
            ("a\tb\nc", "a\tb\nc"),
            ("é 漢字\u{3000}e\u{301} 😀", "é 漢字\u{3000}e\u{301} 😀"),
            ("\u{1b}]0;x\u{7}\u{9b}2J\r", "\\u{1b}]0;x\\u{7}\\u{9b}2J\\r"),
            ("exe.\u{202e}txt", "exe.\\u{202e}txt"),
            ("\u{2066}x\u{2069}\u{200f}", "\\u{2066}x\\u{2069}\\u{200f}"),
            ("a\u{2028}b\u{e0041}", "a\\u{2028}b\\u{e0041}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::other("the disk is full");
        let says_its_cause = crate::names::AliasError::Io(cause());
        assert_eq!(with_causes(&says_its_cause), "cannot use the list of hosts: the disk is full");
        let does_not = anyhow::Error::new(cause()).context("the invite was not made");
        assert_eq!(with_causes(&*does_not), "the invite was not made: the disk is full");
        let both = anyhow::Error::new(says_its_cause).context("no name was given");
        assert_eq!(with_causes(&*both), "no name was given: cannot use the list of hosts: the disk is full");
    }
}
