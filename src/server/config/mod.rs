//! The server's configuration: the keywords of sshd_config(5), out of files in its syntax, `-o` options
//! and the table `[sshd]` of `host.toml`.
//!
//! Everything is read into one [`SshdConfig`], first what counts first. It gives the [`Config`] of the
//! server, and of a connection once it is known who comes ([`Connection`]).

pub mod access;
pub mod algorithms;
pub mod condition;
mod include;
pub mod keyword;
mod lists;
mod print;
mod problem;
pub mod set;
pub mod settings;
mod sshd_config;
mod table;
pub mod text;
pub mod tokens;
pub mod units;
pub mod value;
mod value_error;
pub mod words;

pub use condition::Connection;
pub use include::include_files;
pub use print::{Offer, Offers};
pub use problem::{ConfigError, Problem};
pub use settings::Config;
pub use sshd_config::SshdConfig;
pub use value_error::ValueError;

#[cfg(test)]
mod tests;
