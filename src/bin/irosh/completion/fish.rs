//! fish.

use std::{ffi::OsString, io, path::Path};

use clap::Command;
use clap_complete::env::EnvCompleter;

use super::candidates::{candidates, print, words};

/// fish quotes candidates by itself, and puts no space behind a `/` or a `-`.
pub(super) struct Fish;

impl EnvCompleter for Fish {
    fn name(&self) -> &'static str {
        "fish"
    }

    fn is(&self, name: &str) -> bool {
        name == "fish"
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> Result<(), io::Error> {
        // A word whose quote is open is closed before its quotes are taken off.
        let script = r#"function __irosh_complete
    set -l current (commandline --current-token --cut-at-cursor)
    set -l word (string unescape -- $current)
    test -z "$word"; and set word (string unescape -- $current"'")
    test -z "$word"; and set word (string unescape -- $current'"')
    VAR=fish COMPLETER -- (commandline --current-process --tokenize --cut-at-cursor) "$word" 2>/dev/null </dev/null
end
complete --keep-order --no-files --command BIN --arguments '(__irosh_complete)'"#;
        let completer = fish_quoted(completer);
        let script = script.replace("VAR", var).replace("COMPLETER", &completer);
        writeln!(buf, "{}", script.replace("BIN", &fish_quoted(bin)))
    }

    fn write_complete(
        &self,
        cmd: &mut Command,
        args: Vec<OsString>,
        _current_dir: Option<&Path>,
        buf: &mut dyn io::Write,
    ) -> Result<(), io::Error> {
        print(candidates(cmd, &words(args)), buf)
    }
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
