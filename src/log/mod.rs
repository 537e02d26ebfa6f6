//! What programs say on stderr. stdout is for results, and for ssh's bytes.

#[cfg(feature = "cli")]
mod lines;
mod stderr;
mod text;
mod who;

#[cfg(feature = "cli")]
pub use lines::{start, start_in};
pub use stderr::{complain, complain_of, flush, say};
pub(crate) use stderr::{inherit_pipe_of_children, pipe_of_children, stderr_of_children};
pub(crate) use text::with_causes;
pub use text::{one_line, printable, steers};
pub use who::{machine_name, who};
