//! The socket at which a running host does what it is asked, by its own user and by root.
//!
//! It is `control/host.sock` in the runtime folder, and nobody else gets into that folder; whose process a caller is,
//! the host asks the system as well. A call is a connection of its own:
//!
//! ```text
//! caller: {"hello":{"protocol":1,"config":"/etc/irosh","state":"/var/lib/irosh"}}
//! host:   {"hello":{"protocol":1,"version":"0.1.0","pid":4711}}
//! caller: {"revoke":{"who":"SHA256:..."}}
//! host:   {"done":{"gone":[...],"ended":[{"connections":1,"sessions":2,...}],...}}
//! ```
//!
//! Each line is at most 64 KiB of a caller's, and 16 MiB of a host's. A caller who is slow to speak or to listen is
//! left after 5 s, and so is a host that does not greet within 3 s. Whoever has gone before the host comes to what he
//! asked for has turned elsewhere, and it is not done.
//!
//! A host greets those alone who mean it, by its folders: two hosts of one user may share the runtime folder. To
//! others it says `"elsewhere"`. What went wrong is `{"failed":"a sentence\nand what to do next"}`.
//!
//! A host refuses what it does not know, a call or a part of one, with `{"unknown":{"version":"0.1.0"}}`, so that
//! nobody is allowed more than was meant by a host that is older than what restricts him. A caller ignores what it does
//! not know in an answer. So calls, their parts and parts of answers may be added; another meaning needs another
//! `protocol`. The first hosts know the line `"status"` alone, which is answered still, and say `"declined"` to all
//! else.

mod calls;
mod client;
mod message;
mod serve;

pub use client::{ControlError, Running, RunningHost, running};
pub(super) use serve::Control;
