//! `irosh get` from file servers that mean ill: what they cost is bounded, and the copy ends with an error that says
//! why. See `tests/programs/hostile_sftp.rs`.

mod harness;

use std::{fs, process::Stdio, time::Instant};

use harness::{Line, Route, example, number, subfolder};
use nix::sys::resource::{UsageWho, getrusage};

/// KiB of memory that a copy may take, whatever the server does.
const MOST: i64 = 256 << 10;

/// KiB of memory that any program which this one has waited for took at most.
fn peak() -> i64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("asked").max_rss()
}

/// What `irosh get` exits with and says.
fn got(kind: &str, count: usize) -> (Option<i32>, String) {
    let line = Line::new(Route::Exec);
    let program = example("hostile_sftp");
    line.server.serve_files_by(&format!("{} {kind} {count}", program.display()));
    let there = subfolder(line.folder.path(), "there");
    let said = line.folder.path().join("said");
    let mut get = line.client.native("get");
    get.args(["box", "/t"]).arg(&there).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let status = get.stderr(fs::File::create(&said).expect("a file")).status().expect("a program");
    let said = fs::read_to_string(said).expect("text");
    eprintln!("{kind} {count}: {:?} and {} MiB, {said}", begun.elapsed(), peak() >> 10);
    (status.code(), said)
}

/// `IROSH_TEST_ENDLESS_FILES=1000` has as many of them, for nextest's profile `long`.
#[test]
fn files_that_say_they_are_empty_and_have_no_end() {
    let (code, said) = got("endless", number("IROSH_TEST_ENDLESS_FILES", 100));
    assert!(code == Some(7) && said.contains("is longer than it says, and has no end"), "{code:?} {said}");
    assert!(peak() < MOST, "{} KiB", peak());
}

#[test]
fn folders_nested_without_end() {
    let (code, said) = got("nested", 40_000);
    assert!(code == Some(1) && said.contains("folders are nested too deeply"), "{code:?}");
    assert!(peak() < MOST, "{} KiB", peak());
}

#[test]
fn folders_in_folders_without_end() {
    let (code, said) = got("wide", 20_000);
    assert!(code == Some(7) && said.contains("no more are remembered"), "{code:?} {said}");
    assert!(peak() < MOST, "{} KiB", peak());
}

/// `IROSH_TEST_NAMES=4000000` lists as many, of which a million are looked at, for nextest's profile `long`.
#[test]
fn a_folder_of_more_names_than_any() {
    let names = number("IROSH_TEST_NAMES", 50_000);
    let (code, said) = got("names", names);
    if names > 1_000_000 {
        assert!(code == Some(7) && said.contains("more than 1000000 entries"), "{code:?} {said}");
    } else {
        assert!(code == Some(1) && said.contains(&format!("and {} more", names - 10)), "{code:?}");
    }
    assert!(peak() < MOST, "{} KiB", peak());
}

#[test]
fn refusals_of_many_words() {
    let (code, said) = got("wordy", 2000);
    assert!(code == Some(1) && said.contains("and 1990 more"), "{code:?}");
    assert!(peak() < MOST, "{} KiB", peak());
}

#[test]
fn sizes_that_no_file_has() {
    let (code, said) = got("huge", 20);
    assert!(code == Some(11) && said.contains("is larger than a local file may be"), "{code:?} {said}");
    assert!(peak() < MOST, "{} KiB", peak());
}
