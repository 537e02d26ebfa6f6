//! `irosh man`: the manual pages, made from what `--help` says.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::proxy_arguments::ProxyArguments;

#[derive(Args)]
pub(super) struct ManArguments {
    /// The folder to write irosh.1, irosh-put.1 and the others to, such as ~/.local/share/man/man1
    folder: PathBuf,
}

pub(super) fn run(arguments: &ManArguments, mut irosh: Command) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("cannot make {}", arguments.folder.display()))?;
    irosh.build();
    write_with_subcommands(&irosh, "irosh", &arguments.folder)?;
    // The server on stdin and stdout, irosh-sshd, is `irosh sshd` by another name, and has its page.
    write(&ProxyArguments::command(), "irosh-proxy", &arguments.folder)
}

/// The page of a command, and those of its own commands, such as `irosh-hosts-add`.
fn write_with_subcommands(command: &Command, name: &str, folder: &Path) -> anyhow::Result<()> {
    write(command, name, folder)?;
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for subcommand in command.get_subcommands().filter(shown) {
        write_with_subcommands(subcommand, &format!("{name}-{}", subcommand.get_name()), folder)?;
    }
    Ok(())
}

fn write(command: &Command, name: &str, folder: &Path) -> anyhow::Result<()> {
    let mut page = Vec::new();
    render(command, &mut page)?;
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn render(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let statuses = command.get_after_long_help().map(ToString::to_string);
    // clap_mangen would print them as one paragraph.
    let plain = command.clone().after_long_help(None).after_help(None);
    let man = Man::new(plain).manual("irosh");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(page)?;
    }
    let mut roff = Roff::new();
    if let Some(statuses) = &statuses {
        roff.control("SH", ["EXIT STATUS"]);
        for (status, meaning) in rows(statuses) {
            roff.control("TP", []).text([bold(status)]).text([roman(meaning)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("ssh"), roman("(1), "), bold("ssh_config"), roman("(5), "), bold("irosh"), roman("(1)")]);
    roff.to_writer(page)
}

/// The rows of a table whose first column is a number.
fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.lines().filter_map(|line| {
        let (number, text) = line.trim_start().split_once(' ')?;
        number.parse::<u8>().is_ok().then(|| (number, text.trim_start()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_copies_have_their_exit_statuses() {
        let folder = tempfile::tempdir().expect("a folder");
        let commands = crate::Arguments::command();
        run(&ManArguments { folder: folder.path().to_owned() }, commands.clone()).expect("written");
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a page");
        for command in commands.get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(page(&format!("irosh-{}.1", command.get_name())).contains(".SH SYNOPSIS"));
        }
        assert!(page("irosh-proxy.1").contains("fdpass"));
        for name in ["irosh-put.1", "irosh-get.1", "irosh-forward.1", "irosh-ping.1"] {
            let page = page(name);
            assert!(page.contains(".SH \"EXIT STATUS\"") || page.contains(".SH EXIT STATUS"), "{page}");
            assert!(page.contains("the host was not reached, or refused"), "{page}");
        }
        let put =
            commands.find_subcommand("put").expect("put").get_after_long_help().expect("a table").to_string();
        let statuses: Vec<_> = rows(&put).map(|(status, _)| status).collect();
        assert_eq!(statuses, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "130"]);
    }
}
