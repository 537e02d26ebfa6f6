//! bash, from 3.2 on.

use std::{ffi::OsString, io, path::Path};

use clap::Command;
use clap_complete::env::EnvCompleter;

use super::{
    bash_line::BashLine,
    candidates::{candidates, print, quoted, words},
};

/// Gets the line as it was typed, since bash splits words at `:` and `@`, and answers with text that
/// is quoted as the word was begun.
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> Result<(), io::Error> {
        // With nospace, the space behind a complete word is the candidate's own.
        let script = r#"_irosh_complete() {
    local candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
    done < <(VAR=bash COMPLETER -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null </dev/null)
}
complete -o nospace -F _irosh_complete BIN"#;
        let script = script.replace("VAR", var).replace("COMPLETER", &quoted(completer));
        writeln!(buf, "{}", script.replace("BIN", &quoted(bin)))
    }

    fn write_complete(
        &self,
        cmd: &mut Command,
        args: Vec<OsString>,
        _current_dir: Option<&Path>,
        buf: &mut dyn io::Write,
    ) -> Result<(), io::Error> {
        let args = words(args);
        let [line, breaks] = args.as_slice() else { return Ok(()) };
        let line = BashLine::read(line, breaks);
        print(candidates(cmd, &line.words).iter().filter_map(|text| line.reply(text)), buf)
    }
}
