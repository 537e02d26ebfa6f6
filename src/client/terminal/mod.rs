//! The terminal of this process, for programs that give somebody a shell on a host.
//!
//! ```no_run
//! # async fn run() -> irosh::Result<()> {
//! use std::io::Write as _;
//! use irosh::{client::{SessionEvent, terminal::Terminal}, stdio::Input};
//!
//! let terminal = Terminal::of(std::io::stdin())?.expect("a terminal");
//! let mut shell = irosh::connect("alice@box").await?.open_session().await?;
//! shell.request_pty(&terminal.pty_options()).await?;
//! shell.start_shell().await?;
//! let raw = terminal.raw()?; // until it is dropped
//! let (mut typed, mut sizes) = (Input::stdin()?, terminal.sizes(Some(&raw))?);
//! loop {
//!     tokio::select! {
//!         event = shell.next_event() => match event? {
//!             Some(SessionEvent::Stdout(bytes)) => {
//!                 std::io::stdout().write_all(&bytes)?;
//!                 std::io::stdout().flush()?;
//!             }
//!             Some(_) => {}
//!             None => return Ok(()),
//!         },
//!         bytes = typed.next() => match bytes? {
//!             gone if gone.is_empty() => return Ok(()),
//!             bytes => shell.send_bytes(bytes).await?,
//!         },
//!         size = sizes.next() => shell.resize(size).await?,
//!     }
//! }
//! # }
//! ```

mod modes;
mod raw;
mod sizes;
mod tty;

pub use raw::{RawMode, restore};
pub use sizes::Sizes;
pub use tty::Terminal;
