//! The client library, each scenario against three servers: OpenSSH's sshd behind a host, the built-in
//! server, and `irosh::server::serve` within the test.

#[path = "../harness/mod.rs"]
mod harness;
#[macro_use]
mod servers;

mod auth;
mod commands;
mod dialled;
mod exec;
mod failure;
mod flow;
mod forward;
mod memory;
mod pty;
