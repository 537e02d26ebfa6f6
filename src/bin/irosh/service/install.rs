//! `irosh service install` and `uninstall`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use irosh::{files::Paths, host::BackendChoice, log::say};
use nix::unistd::{User, geteuid};
use serde_json::json;

use super::{
    account, by_hand,
    manager::{Manager, Written},
    plan::{Account, Plan, Whose},
};

/// How the host is to be started.
#[derive(clap::Args)]
pub(super) struct InstallArguments {
    /// Where sessions go, as `irosh host` takes it: the sshd of this machine if there is one. In the system's service,
    /// `builtin` runs as root
    #[arg(long)]
    backend: Option<BackendChoice>,
    /// What else to tell `irosh host`, after `--`
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct UninstallArguments {
    /// Remove the host's keys, lists and settings as well: whoever was admitted is not any more
    #[arg(long)]
    purge: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn install(
    whose: Whose,
    manager: &dyn Manager,
    arguments: InstallArguments,
) -> anyhow::Result<()> {
    let InstallArguments { backend, options, json } = arguments;
    refuse_anothers_files(whose)?;
    let paths = whose.paths()?;
    let runs_already = manager.state().is_ok_and(|state| state.has_process);
    if let Some(status) = by_hand::host(&paths).filter(|_| !runs_already) {
        bail!(
            "a host runs already, process {pid}, which nobody has started as a service\n\
             stop it first, and do this again: kill {pid}",
            pid = status.pid
        );
    }
    let plan = Plan::new(whose, backend, options)?;
    account::prepare(&plan, || if runs_already { manager.stop() } else { Ok(()) })?;
    plan.check()?;
    let written = manager.write(&plan)?;
    manager.enable()?;
    let goes = manager.state()?.is_running;
    // What runs may be of another version than what is on disk.
    let is_this = by_hand::host(&paths).is_some_and(|status| status.version == env!("CARGO_PKG_VERSION"));
    if written.changed || !goes || !is_this {
        manager.restart(written.changed)?;
    }
    tell(whose, manager, &plan, &written, json);
    Ok(())
}

fn tell(whose: Whose, manager: &dyn Manager, plan: &Plan, written: &Written, json: bool) {
    let Written { definition, changed, ends_at_logout } = written;
    if json {
        let program = plan.program.to_string_lossy();
        let command: Vec<_> =
            std::iter::once(&*program).chain(plan.arguments.iter().map(String::as_str)).collect();
        super::super::print::print(
            &json!({
                "service": whose.name(), "manager": manager.kind().name(), "definition": definition,
                "command": command, "changed": changed, "ends_at_logout": ends_at_logout,
            })
            .to_string(),
        );
        return;
    }
    let when = match ends_at_logout {
        Some(_) => "now, and whenever you are logged in",
        None => "now, and at each start of this machine",
    };
    let irosh = whose.irosh();
    // Somebody who has no keys here yet comes in by this.
    let user = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let login = match (plan.account, plan.backend(), user) {
        (Account::Own, Some("builtin"), Some(user)) => format!(" --login {user}"),
        (Account::Root, ..) => " --login USER".to_owned(),
        _ => String::new(),
    };
    super::super::print::print(&format!(
        "the host runs as {}, {when}\n  command     {}\n  defined in  {}, for {}\n\n\
         let another machine in, here:  {irosh} pair{login}\n\
         and there, with its code:      irosh join CODE",
        whose.service(),
        plan.line(),
        definition.display(),
        manager.kind().name(),
    ));
    if plan.account == Account::Root {
        say("irosh: it runs as root, and lets those whom you admit with --login be whom you name there\n");
    }
    if let Some(why) = ends_at_logout {
        say(&format!("irosh: it ends when you log out\n{}", lines(why)));
    }
}

pub(super) fn uninstall(
    whose: Whose,
    manager: Option<&dyn Manager>,
    arguments: &UninstallArguments,
) -> anyhow::Result<()> {
    let UninstallArguments { purge, json } = *arguments;
    refuse_anothers_files(whose)?;
    let (mut removed, mut of_package) = (Vec::new(), None);
    if let Some(manager) = manager {
        removed = manager.remove(purge)?;
        of_package = manager.state()?.definition;
    }
    let paths = whose.paths()?;
    let runs = by_hand::host(&paths);
    if let Some(status) = runs.as_ref().filter(|_| purge) {
        bail!(
            "a host still runs on these files, process {pid}, which nobody has started as a service\n\
             stop it first, and do this again: kill {pid}",
            pid = status.pid
        );
    }
    if runs.is_none() {
        remove_sockets(whose, &paths)?;
    }
    if purge {
        removed.extend(match whose {
            Whose::User => remove_files(&paths)?,
            Whose::System => account::purge()?,
        });
    }
    let kept = kept(whose, &paths);
    if json {
        let result = json!({
            "service": whose.name(), "removed": removed, "kept": kept, "of_package": of_package,
        });
        super::super::print::print(&result.to_string());
        return Ok(());
    }
    for path in removed.iter().filter(|path| path.extension().is_none_or(|extension| extension != "lock")) {
        super::super::print::print(&format!("removed {}", path.display()));
    }
    if removed.is_empty() && of_package.is_none() {
        super::super::print::print("nothing was installed");
    }
    if let Some(unit) = of_package {
        super::super::print::print(&format!("it does not start any more; {} is a package's", unit.display()));
    }
    if !kept.is_empty() {
        let kept = kept.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ");
        super::super::print::print(&format!(
            "kept the host's keys, lists and settings, in {kept}\n--purge removes them as well"
        ));
    }
    Ok(())
}

/// The folders that have something in them which is the host's own.
fn kept(whose: Whose, paths: &Paths) -> Vec<PathBuf> {
    let mut folders: Vec<_> = match whose {
        Whose::User => {
            let files = paths.files_of_host().into_iter().filter(|file| file.exists());
            files.filter_map(|file| Some(file.parent()?.to_owned())).collect()
        }
        Whose::System => account::folders().into_iter().filter(|folder| folder.exists()).collect(),
    };
    folders.dedup();
    folders
}

/// What a host leaves where it was to be called. The service manager sees to it where it has made the folder.
fn remove_sockets(whose: Whose, paths: &Paths) -> anyhow::Result<()> {
    let [_, _, runtime] = paths.folders();
    let folder = if whose == Whose::System { runtime.to_owned() } else { paths.host_control() };
    gone(fs::remove_dir_all(&folder), &folder)?;
    // Not where an agent's are.
    let _ = fs::remove_dir(runtime);
    Ok(())
}

/// The client of the same user has files in the same folders.
fn remove_files(paths: &Paths) -> anyhow::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for path in paths.files_of_host() {
        if gone(fs::remove_file(&path), &path)? {
            removed.push(path);
        }
    }
    let [config, state, _] = paths.folders();
    for folder in [state, config] {
        // Those that have nothing else in them.
        removed.extend(fs::remove_dir(folder).is_ok().then(|| folder.to_owned()));
    }
    Ok(removed)
}

/// Whether it was there.
fn gone(result: io::Result<()>, path: &Path) -> anyhow::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// `sudo -E` leaves another user's home directory, where root must be led by nobody.
fn refuse_anothers_files(whose: Whose) -> anyhow::Result<()> {
    if whose == Whose::System {
        return Ok(());
    }
    let paths = whose.paths()?;
    for folder in paths.folders() {
        let above = folder.ancestors().find_map(|folder| folder.metadata().ok());
        let owner = above.map_or(0, |found| found.uid());
        ensure!(
            owner == 0 || owner == geteuid().as_raw(),
            "{} is another user's\nrun this as that user, without sudo; the system's service is --system",
            folder.display()
        );
    }
    Ok(())
}

/// Each with the program's name before it.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("irosh: {line}\n")).collect()
}
