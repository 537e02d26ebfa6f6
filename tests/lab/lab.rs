//! Runs a program beside two hosts that are joined by an emulated link.

#[cfg(all(test, target_os = "linux"))]
mod hosts_test;
#[cfg(target_os = "linux")]
#[path = "mod.rs"]
mod lab;
#[cfg(all(test, target_os = "linux"))]
mod link_test;
#[cfg(target_os = "linux")]
mod program;
#[cfg(all(test, target_os = "linux"))]
mod router_test;
#[cfg(all(test, target_os = "linux"))]
mod spec_test;
#[cfg(target_os = "linux")]
mod supervise;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    program::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("lab: network namespaces are Linux's alone");
    ExitCode::from(77)
}
