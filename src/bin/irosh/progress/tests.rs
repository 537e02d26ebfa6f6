use std::{cell::RefCell, rc::Rc};

use super::*;
use crate::terminal::pty::Pty;

/// What was written, seen from outside.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn take(&self) -> String {
        String::from_utf8(self.0.take()).expect("UTF-8")
    }
}

#[test]
fn without_a_terminal_nothing_is_drawn() {
    let now = Instant::now();
    let mut progress = Progress::<Written>::new(None, now);
    progress.show(Snapshot { done: 1, ..Snapshot::default() }, now);
    progress.clear();
    progress.end(now);
}

#[test]
fn the_rate_is_of_what_was_sent() {
    let start = Instant::now();
    let mut progress = Progress::<Written>::new(None, start);
    let snapshot = Snapshot { done: 50 << 30, sent: 1 << 20, total: Some(100 << 30), ..Snapshot::default() };
    progress.show(snapshot, start + Duration::from_secs(1));
    assert_eq!((progress.now.done, progress.now.rate), (50 << 30, 1 << 20));
}

#[test]
fn from_the_background_nothing_is_drawn() {
    // The terminal of another session has none of our process groups in its foreground.
    let pty = Pty::open();
    let written = Written::default();
    let terminal = Terminal::of(pty.slave()).expect("asked").expect("a terminal");
    let now = Instant::now();
    let mut progress = Progress::new(Some((terminal, written.clone())), now);
    progress.show(Snapshot { name: "a".into(), ..Snapshot::default() }, now);
    progress.end(now);
    drop(progress);
    assert_eq!(written.take(), "");
}

/// Runs `examples/progress_line.rs` on a terminal; returns all it wrote.
fn run(script: &str) -> String {
    let mut pty = Pty::open();
    let test = std::env::current_exe().expect("this program");
    let program = test.ancestors().nth(2).expect("the target folder").join("examples/progress_line");
    let program = program.to_str().expect("UTF-8").to_owned();
    let mut child = pty.run("sh", &["-c", &format!("stty cols 40; P={program}; {script}; echo finished")]);
    let seen = pty.wait_for("finished");
    child.wait().expect("ended");
    seen
}

#[test]
fn a_line_is_drawn_at_most_ten_times_a_second_and_ended() {
    // The program says a thousand times within a second of its own clock that bytes were moved.
    let seen = run("$P");
    let draws = seen.matches("\x1b[K").count();
    assert!((10..=13).contains(&draws), "{draws}: {seen:?}");
    assert!(
        seen.ends_with("100%  1000B  999.0B/s     00:01\x1b[K\r\r\n") || seen.ends_with("\x1b[K\r\r\n"),
        "{seen:?}"
    );
    assert_eq!(seen.matches('\n').count(), 1);
}

#[test]
fn a_job_in_the_background_draws_nothing() {
    let seen = run("set -m; $P & wait $!");
    assert!(!seen.contains("\x1b[K") && !seen.contains("file"), "{seen:?}");
}

#[test]
fn a_message_takes_the_place_of_the_line() {
    let seen = run("$P message");
    assert!(seen.contains("\r\x1b[Khello\r\n\rfile"), "{seen:?}");
}

#[test]
fn a_line_that_is_left_is_ended() {
    let seen = run("$P leave");
    assert!(seen.ends_with("\x1b[K\r\r\n"), "{seen:?}");
}
