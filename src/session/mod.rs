//! A session: one SSH connection's bytes, both ways, for as long as ssh lives.
//!
//! Bytes move in one place, [`relay`]. It knows its two sides by role: the *client side* is towards
//! ssh, the *server side* towards sshd. In `irosh-proxy` the client side is stdin and stdout and
//! the server side a leg; in the host the client side is a leg and the server side the backend.

mod batch;
mod copy;
mod io;
mod leg;

pub use batch::Batch;
pub use copy::{Counters, Ended, Report, Side, Sink, Source, relay};
pub use io::{ReadSource, WriteSink};
pub use leg::{FrameReadError, LegSink, LegSource, Lost, read_frame};
