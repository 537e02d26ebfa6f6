//! Channels: what a client sends and is sent, and what stands behind it.

pub(super) mod environment;
mod idle;
pub(super) mod inbox;
mod process;
mod pty;
pub(super) mod relay;
pub(super) mod session;

pub(super) use inbox::{Inbox, Outlet, WINDOW};
pub(super) use session::{Request, SessionChannel};
