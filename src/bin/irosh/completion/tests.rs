//! Real shells on a terminal: keys in, the words that a program was given out.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command},
};

use tempfile::TempDir;

use crate::terminal::pty::Pty;

/// An interactive shell that knows how to complete for `irosh`, which is `examples/complete_paths.rs`.
struct Shell {
    pty: Pty,
    child: Child,
    folder: TempDir,
}

impl Shell {
    /// `None`, with a message, where there is no such shell.
    fn start(name: &str) -> Option<Self> {
        if Command::new(name).arg("--version").output().is_err() {
            eprintln!("skipped: {name} is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        for sub in ["bin", "remote", "local"] {
            fs::create_dir(folder.path().join(sub)).expect("created");
        }
        let test = std::env::current_exe().expect("this program");
        let program: PathBuf =
            test.ancestors().nth(2).expect("the target folder").join("examples/complete_paths");
        symlink(program, folder.path().join("bin/irosh")).expect("linked");
        let path = folder.path().to_str().expect("UTF-8").to_owned();
        let environment = format!(
            "export PATH={path}/bin:$PATH REMOTE_ROOT={path}/remote LC_ALL=C.UTF-8 HOME={path} HISTFILE= TERM=xterm; cd {path}/local; "
        );
        let (start, learn) = match name {
            "bash" => (
                "exec bash --norc --noprofile -i",
                "PS1=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; bind 'set completion-query-items 0'; . <(IROSH_COMPLETE=bash irosh)",
            ),
            "zsh" => (
                "exec zsh -f -i",
                "PS1=; unsetopt zle_bracketed_paste prompt_cr prompt_sp; setopt no_beep; autoload -U compinit; compinit -u -D; . <(IROSH_COMPLETE=zsh irosh)",
            ),
            _ => {
                ("exec fish --no-config -i", "function fish_prompt; end; IROSH_COMPLETE=fish irosh | source")
            }
        };
        let mut pty = Pty::open();
        pty.resize(400, 24);
        let child = pty.run("sh", &["-c", &format!("{environment}{start}")]);
        pty.type_in(format!("{learn}; echo le''arned\r").as_bytes());
        pty.wait_for("learned");
        Some(Self { pty, child, folder })
    }

    fn remote(&self, name: &str) {
        Self::create(&self.folder.path().join("remote").join(name));
    }

    fn local(&self, name: &str) {
        Self::create(&self.folder.path().join("local").join(name));
    }

    fn create(path: &std::path::Path) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, "").expect("created");
    }

    /// The words that the program gets once these keys and return are pressed.
    fn words(&mut self, keys: &str) -> String {
        self.pty.type_in(format!("{keys}\r").as_bytes());
        // Of the shell's echo, the words are not in angle brackets.
        let output = self.pty.wait_for("<end>");
        output[output.find('<').unwrap_or(output.len())..].to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Names with all that a shell takes for something else; the first two characters are plain.
const NAMES: &[&str] = &[
    "aa blank",
    "ab'single",
    "ac\"double",
    "ad$HOME",
    "ae;semi",
    "af:colon",
    "ag\\back",
    "ah*star",
    "ai[x]",
    "ajünï 日本",
    "ak@at",
    "al=equal",
    "am~tilde",
    "an(p)",
    "ao&and",
    "ap`tick`",
    "aq!bang",
    "ar#hash",
    "as{a,b}",
    "at,comma",
    "au%p",
];

fn names_are_completed(name: &str) {
    let Some(mut shell) = Shell::start(name) else { return };
    NAMES.iter().for_each(|name| shell.remote(name));
    for path in NAMES {
        for quote in ["", "'", "\""] {
            let keys = format!("irosh get box {quote}{}\t", &path[..2]);
            assert_eq!(shell.words(&keys), format!("<get><box><{path}>"), "{name}: {keys:?}");
        }
        // From the middle of the name on.
        if path.starts_with("aa") {
            assert_eq!(shell.words("irosh get box aa\\ bl\t"), "<get><box><aa blank>");
        }
    }
}

fn folders_go_on(name: &str) {
    let Some(mut shell) = Shell::start(name) else { return };
    shell.remote("folder one/inner file");
    shell.remote("folder one/other");
    shell.remote("new\nline");
    shell.remote("esc\x1bape");
    assert_eq!(shell.words("irosh get box fo\tin\t x"), "<get><box><folder one/inner file><x>");
    assert_eq!(shell.words("irosh get me@box fo\tot\t"), "<get><me@box><folder one/other>");
    // Neither of these can be typed, and neither is offered.
    assert_eq!(shell.words("irosh get box ne\t"), "<get><box><ne>");
    assert_eq!(shell.words("irosh get box es\t"), "<get><box><es>");
}

fn everything_else_is_completed(name: &str) {
    let Some(mut shell) = Shell::start(name) else { return };
    shell.local("local file");
    shell.remote("remote");
    assert_eq!(shell.words("irosh pu\tme@bo\tlo\tre\t"), "<put><me@box><local file><remote>");
    assert_eq!(
        shell.words("irosh get --ver\t-p 22 wo\tre\tlo\t"),
        "<get><--verbose><-p><22><work><remote><local file>"
    );
    assert_eq!(shell.words("irosh join 7-velv\tott\tden"), "<join><7-velvet-otter><den>");
    assert_eq!(shell.words("irosh get broken re\t"), "<get><broken><re>");
    assert_eq!(shell.words("irosh get slow re\t"), "<get><slow><re>");
}

#[test]
fn bash_completes_names() {
    names_are_completed("bash");
}

#[test]
fn bash_goes_on_in_folders() {
    folders_go_on("bash");
}

#[test]
fn bash_completes_commands_options_targets_and_local_paths() {
    everything_else_is_completed("bash");
}

#[test]
fn zsh_completes_names() {
    names_are_completed("zsh");
}

#[test]
fn zsh_goes_on_in_folders() {
    folders_go_on("zsh");
}

#[test]
fn zsh_completes_commands_options_targets_and_local_paths() {
    everything_else_is_completed("zsh");
}

#[test]
fn fish_completes_names() {
    names_are_completed("fish");
}

#[test]
fn fish_goes_on_in_folders() {
    folders_go_on("fish");
}

#[test]
fn fish_completes_commands_options_targets_and_local_paths() {
    everything_else_is_completed("fish");
}
