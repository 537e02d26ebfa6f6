//! `put`, `get` and `join` of a program that takes a folder here, `REMOTE_ROOT`, for the host's: for the tests
//! of completion.
#![allow(clippy::print_stdout, reason = "what it says is for its tests")]

#[path = "../../src/bin/irosh/completion/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "a part of it is enough here")]
mod completion;

use std::path::Path;

use clap::{Arg, Command};
use completion::{answer, codes, get_paths, put_paths, targets};

fn main() {
    answer(command);
    // What the shell made of the line.
    for argument in std::env::args().skip(1) {
        print!("<{argument}>");
    }
    println!("<end>");
}

fn command() -> Command {
    let target = || Arg::new("target").required(true).add(targets(names));
    let paths = || Arg::new("paths").required(true).num_args(2..);
    let verbose = || Arg::new("verbose").short('v').long("verbose").action(clap::ArgAction::SetTrue);
    let port = || Arg::new("port").short('p').long("port");
    let code = Arg::new("what").add(codes());
    Command::new("irosh").subcommand_required(true).subcommands([
        Command::new("join").args([code, Arg::new("name")]),
        Command::new("put").args([verbose(), port(), target(), paths().add(put_paths(remote))]),
        Command::new("get").args([verbose(), port(), target(), paths().add(get_paths(remote))]),
    ])
}

fn names() -> Vec<String> {
    ["box", "barn", "work"].map(str::to_owned).into()
}

/// What a lookup by SFTP gives.
fn remote(target: &str, start: &str) -> Vec<String> {
    match target {
        "slow" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "broken" => {
            eprintln!("cannot reach broken");
            return Vec::new();
        }
        _ => {}
    }
    let root = std::env::var("REMOTE_ROOT").unwrap_or_default();
    let folder = start.rfind('/').map_or("", |at| &start[..=at]);
    let Ok(entries) = Path::new(&root).join(folder).read_dir() else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .map(|entry| {
            let slash = if entry.path().is_dir() { "/" } else { "" };
            format!("{folder}{}{slash}", entry.file_name().to_string_lossy())
        })
        .collect();
    found.sort();
    found
}
