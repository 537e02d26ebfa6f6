//! The examples run, each with a host of its own, without a network.

mod harness;

use std::process::Command;

use harness::{Said, folder, run};

/// Runs an example, which checks by itself what it shows.
fn example(name: &str) -> String {
    let test = std::env::current_exe().expect("this test");
    let program = test.ancestors().nth(2).expect("the target folder").join("examples").join(name);
    let home = folder();
    let output = run(Command::new(program).env("IROSH_EXAMPLE", home.path()));
    assert!(output.status.success(), "{name}: {}", output.stderr.said());
    output.stdout.said()
}

#[test]
fn run_command() {
    assert!(example("run_command").contains("exit status 3"));
}

#[test]
fn interactive_shell() {
    assert!(example("interactive_shell").contains("the shell ended with status 7"));
}

#[test]
fn tunnel() {
    assert!(example("tunnel").contains("remote forward on port"));
}

#[test]
fn transfer() {
    assert!(example("transfer").contains("101 files"));
}

#[test]
fn embed() {
    assert!(example("embed").ends_with("three\n"));
}
