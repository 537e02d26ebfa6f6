//! A session: one SSH connection's bytes, both ways, for as long as ssh lives.
//!
//! It belongs to neither a process's connection nor a path: it has two local ends, ssh's and sshd's, and at most one
//! *leg* at a time, a QUIC stream that carries a part of it. Legs come, are lost and are replaced, and the local ends
//! notice a pause and nothing else.
//!
//! What a session is, on either side, is a [`machine`](Role) without any I/O: a *tail* of bytes that were sent and may have to
//! be sent again, a *queue* of bytes that were received and not delivered yet, and the rules. [`Session`] drives it. At rest it is
//! [`Frozen`], which is how a host's process leaves it to the next.

mod driver;
mod ended;
mod frozen;
mod leg;
mod local;
mod machine;
#[cfg(any(test, fuzzing))]
mod model;
mod queue;
mod tail;

pub use driver::{Counters, News, Session, Word};
pub use ended::{Ended, Report};
pub use frozen::{Frozen, Written};
pub use leg::{FrameReadError, LegEnd, Lost, NewLeg, Receiving, read_frame};
pub use local::{LocalReader, LocalWriter};
pub use machine::{Broken, Delivered, LegNumber, Role};
#[cfg(fuzzing)]
pub use model::drive;
