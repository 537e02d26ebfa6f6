//! stderr: lines of ours, and of the programs that we run.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Stdio,
    sync::{LazyLock, OnceLock},
    thread,
    time::Duration,
};

use super::text::{printable, with_causes};
use crate::outlet::Outlet;

/// How long the last lines may take, where nobody seems to read them.
const LAST_LINES: Duration = Duration::from_millis(250);

/// A longer line of others is said in pieces.
const LONGEST_LINE: u64 = 4 << 10;

/// stderr, for all that is said there besides a terminal's own conversation.
pub(super) static STDERR: LazyLock<Outlet> = LazyLock::new(|| {
    Outlet::new(rustix::stdio::stderr(), |lines| format!("({lines} lines dropped: stderr took no more)\n"))
});

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

/// Prints a message as `program: message`, with what to do next on the lines after it.
pub fn complain(program: &str, message: &dyn std::fmt::Display) {
    let message = printable(message.to_string().trim_end()).replace('\n', &format!("\n{program}: "));
    say(&format!("{program}: {message}\n"));
}

/// Prints an error in the same way, with its causes.
pub fn complain_of(program: &str, error: &(dyn Error + 'static)) {
    complain(program, &with_causes(error));
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
