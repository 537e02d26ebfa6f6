//! zsh.

use std::{ffi::OsString, io, path::Path};

use clap::Command;
use clap_complete::env::EnvCompleter;

use super::candidates::{candidates, print, quoted, words};

/// zsh takes quotes off and puts them on by itself, with `compadd`.
pub(super) struct Zsh;

impl EnvCompleter for Zsh {
    fn name(&self) -> &'static str {
        "zsh"
    }

    fn is(&self, name: &str) -> bool {
        name == "zsh"
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> Result<(), io::Error> {
        let script = r#"#compdef irosh
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
compdef _irosh_complete BIN"#;
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
        print(candidates(cmd, &words(args)), buf)
    }
}
