//! Says what happens on its terminal: `q` leaves, `p` panics, `z` suspends. For the tests of raw mode.
#![allow(clippy::print_stdout, reason = "what it says is for its tests")]

#[path = "../../src/bin/irosh/terminal/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "a part of it is enough here")]
mod terminal;

use std::io::Write;

use terminal::{Events, Terminal, TerminalEvent, restore, suspend};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let terminal = Terminal::of(std::io::stdin())?;
    let raw = terminal.as_ref().map(Terminal::raw).transpose()?;
    let mut events = Events::new(terminal.as_ref(), raw.as_ref(), tokio::io::stdin())?;
    say("ready");
    loop {
        let event = events.next().await;
        say(&format!("{event:?}"));
        match event {
            TerminalEvent::Typed(bytes) => match bytes[0] {
                b'q' => break,
                b'p' => panic!("asked for"),
                b'z' => {
                    if let Some(raw) = &raw {
                        suspend(raw).await?;
                        say("back");
                    }
                }
                _ => {}
            },
            TerminalEvent::Eof => break,
            TerminalEvent::Killed(_) => {
                restore();
                std::process::exit(255);
            }
            TerminalEvent::Resized(_) => {}
        }
    }
    // A read of stdin may wait in a thread that nothing else ends.
    drop((events, raw));
    std::process::exit(0)
}

fn say(line: &str) {
    print!("<{line}>\r\n");
    let _ = std::io::stdout().flush();
}
