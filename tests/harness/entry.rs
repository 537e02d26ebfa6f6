//! Trying to come in, and what comes of it.

use std::process::Output;

use super::{Client, Line, Said, run};

/// Goes to a host by a target itself instead of a name for it.
pub(crate) fn ssh_to(client: &Client, target: &str) -> Output {
    run(client.ssh().args([target, "echo in"]))
}

pub(crate) fn stranger(line: &Line, name: &str) -> Client {
    let client = line.stranger(name);
    client.add_proxied("invite* endpoint*");
    client
}

#[track_caller]
pub(crate) fn is_in(output: &Output) {
    assert_eq!(output.stdout.said(), "in\n", "{}: {}", output.status, output.stderr.said());
}

#[track_caller]
pub(crate) fn is_refused(output: &Output, words: &str) {
    let said = output.stderr.said();
    assert_eq!(output.status.code(), Some(255), "{said}");
    assert!(said.contains(words), "not `{words}`: {said}");
    assert!(said.lines().any(|line| line.starts_with("irosh-proxy: ")), "{said}");
}
