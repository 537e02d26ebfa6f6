//! Names: aliases for targets, and the lines of ssh_config that make `ssh NAME` work.

mod aliases;
mod place;
pub mod ssh_config;

use aliases::is_name;
pub use aliases::{AliasError, Aliases, Listens, without_secret};
pub use place::{NoPlace, Place};
