//! A transfer of a thousand bytes in a second of its own time, for the tests of the progress line.

#[path = "../../src/bin/irosh/progress/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "a part of it is enough here")]
mod progress;
#[path = "../../src/bin/irosh/terminal/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "a part of it is enough here")]
mod terminal;

use std::time::{Duration, Instant};

use progress::{Progress, Snapshot};
use terminal::Terminal;

fn main() -> std::io::Result<()> {
    let what = std::env::args().nth(1);
    let screen = Terminal::of(std::io::stderr())?.map(|terminal| (terminal, std::io::stderr()));
    let start = Instant::now();
    let mut progress = Progress::new(screen, start);
    for moved in 0..=1000 {
        let (name, total) = ("file".to_owned(), Some(1000));
        let snapshot = Snapshot { name, done: moved, sent: moved, total, ..Snapshot::default() };
        progress.show(snapshot, start + Duration::from_millis(moved));
        if moved == 500 && what.as_deref() == Some("message") {
            progress.clear();
            eprintln!("hello");
        }
    }
    if what.as_deref() != Some("leave") {
        progress.end(start + Duration::from_secs(1));
    }
    Ok(())
}
