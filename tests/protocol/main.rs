//! PROTOCOL.md is kept honest by a second implementation, in Python and from the document alone: what it says, a
//! host and a client understand, and what they say, it does.

#[path = "../harness/mod.rs"]
mod harness;

mod client;
mod host;
mod pair;

use std::path::Path;

use harness::{DEADLINE, have};
use tokio::{process::Command, runtime::Runtime, time::timeout};

/// What the scripts need.
fn can_run() -> bool {
    have(&["python3", "openssl"])
}

/// Goes on carrying while the test waits for something else.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// A script of this folder.
fn script(name: &str, arguments: &[&str]) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
    let mut python = Command::new("python3");
    python.arg("-B").arg(folder.join(name)).args(arguments);
    python
}

async fn in_time<T>(doing: impl Future<Output = T>) -> T {
    timeout(DEADLINE, doing).await.expect("in time")
}
