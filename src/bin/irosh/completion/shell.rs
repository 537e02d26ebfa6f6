//! What a shell has of its own: its script, how it quotes, and what it is answered.

use std::{ffi::OsString, io, path::Path};

use clap::Command;
use clap_complete::env::EnvCompleter;

use super::{bash_line::BashLine, candidates::candidates};

/// A shell that lines are completed in.
pub(super) struct Shell {
    name: &'static str,
    /// Its script, in which VAR, COMPLETER and BIN are put in.
    script: &'static str,
    quoted: fn(&str) -> String,
    /// The lines of an answer to the words that the script gives behind `--`.
    answer: fn(&mut Command, &[String]) -> Vec<String>,
}

/// bash, from 3.2 on. It gets the line as it was typed, since bash splits words at `:` and `@`, and answers with text that
/// is quoted as the word was begun. With nospace, the space behind a complete word is the candidate's own.
pub(super) const BASH: Shell = Shell {
    name: "bash",
    script: r#"_irosh_complete() {
    local candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
    done < <(VAR=bash COMPLETER -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null </dev/null)
}
complete -o nospace -F _irosh_complete BIN"#,
    quoted,
    answer: |command, words| {
        let [line, breaks] = words else { return Vec::new() };
        let line = BashLine::read(line, breaks);
        candidates(command, &line.words).iter().filter_map(|text| line.reply(text)).collect()
    },
};

/// zsh takes quotes off and puts them on by itself, with `compadd`.
pub(super) const ZSH: Shell = Shell {
    name: "zsh",
    script: r#"#compdef irosh
_irosh_complete() {
    local current=$PREFIX
    [[ -z $compstate[quote] ]] && current=${(Q)PREFIX}
    local -a found begun whole
    found=("${(@f)$(VAR=zsh COMPLETER -- "${(@Q)words[1,CURRENT-1]}" "$current" 2>/dev/null </dev/null)}")
    begun=("${(@M)found:#*[/-]}")
    whole=("${(@)found:#(*[/-]|)}")
    (( $#whole )) && compadd -- "${(@)whole}"
    (( $#begun )) && compadd -S '' -- "${(@)begun}"
}
compdef _irosh_complete BIN"#,
    quoted,
    answer: candidates,
};

/// fish quotes candidates by itself, and puts no space behind a `/` or a `-`. A word whose quote is open is closed before
/// its quotes are taken off.
pub(super) const FISH: Shell = Shell {
    name: "fish",
    script: r#"function __irosh_complete
    set -l current (commandline --current-token --cut-at-cursor)
    set -l word (string unescape -- $current)
    test -z "$word"; and set word (string unescape -- $current"'")
    test -z "$word"; and set word (string unescape -- $current'"')
    VAR=fish COMPLETER -- (commandline --current-process --tokenize --cut-at-cursor) "$word" 2>/dev/null </dev/null
end
complete --keep-order --no-files --command BIN --arguments '(__irosh_complete)'"#,
    quoted: fish_quoted,
    answer: candidates,
};

impl EnvCompleter for Shell {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is(&self, name: &str) -> bool {
        name == self.name
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        let script = self.script.replace("VAR", var).replace("COMPLETER", &(self.quoted)(completer));
        writeln!(buf, "{}", script.replace("BIN", &(self.quoted)(bin)))
    }

    fn write_complete(
        &self,
        cmd: &mut Command,
        args: Vec<OsString>,
        _current_dir: Option<&Path>,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        let words: Vec<_> = args.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
        (self.answer)(cmd, &words).iter().try_for_each(|line| writeln!(buf, "{line}"))
    }
}

/// A text as one word of a shell's script.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
