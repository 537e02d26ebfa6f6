//! A terminal for a program, and somebody who types on it.

use std::{process::Command, time::Duration};

use super::{DEADLINE, Said, feed_within};

/// Runs a program on a terminal of its own and says what comes on stdout; talks by `send`, `wait` and
/// `size` on the lines of its script.
const TERMINAL: &str = r#"
import fcntl, os, pty, select, struct, sys, termios, time

deadline = time.monotonic() + float(os.environ.pop("TERMINAL_DEADLINE"))
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""

def size(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

def send(text):
    os.write(terminal, text.encode())

def wait(text):
    global seen
    while text.encode() not in seen:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            sys.exit("no %r in %r" % (text, seen))
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            sys.exit("it ended before %r: %r" % (text, seen))
    seen = seen.split(text.encode(), 1)[1]

def end():
    while True:
        try:
            if not os.read(terminal, 65536):
                break
        except OSError:
            break
    print("code", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

size(30, 90)
exec(sys.stdin.read())
"#;

/// Runs a script against a program on a terminal; returns what the script printed.
pub(crate) fn on_a_terminal(program: &Command, script: &str) -> String {
    on_a_terminal_for(Duration::ZERO, program, script)
}

/// The same with a script that does nothing for so long.
pub(crate) fn on_a_terminal_for(pause: Duration, program: &Command, script: &str) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL]).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    let seconds = (pause + DEADLINE - Duration::from_secs(10)).as_secs();
    python.env("TERM", "xterm").env("TERMINAL_DEADLINE", seconds.to_string());
    let output = feed_within(pause + DEADLINE, &mut python, script.as_bytes().to_vec());
    assert!(output.status.success(), "{}", output.stderr.said());
    output.stdout.said()
}
