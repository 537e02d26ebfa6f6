//! The user of the system's service, and the folders that are that user's.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use irosh::files::Paths;
use nix::unistd::User;

use super::{
    plan::{Account, Plan},
    tool::{Tool, find},
    user::{NAME, user},
};

/// What systemd-sysusers reads of it.
const SYSUSERS: &str = include_str!("../../../../contrib/sysusers.d/irosh.conf");

/// Where a package has put the same, whose user it is then.
const OF_A_PACKAGE: &str = "/usr/lib/sysusers.d/irosh.conf";

/// Sees to the user as whom the service is to run. Its folders are made that user's where they were another's, before
/// which `stop` has to end the service.
pub(super) fn prepare(plan: &Plan, stop: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let owner = match plan.account {
        Account::Own => return Ok(()),
        Account::Irosh => {
            make()?;
            let user = user()?;
            (user.uid.as_raw(), user.gid.as_raw())
        }
        Account::Root => (0, 0),
    };
    let mut stopped = false;
    for folder in folders() {
        let Ok(found) = fs::symlink_metadata(&folder) else { continue };
        if found.is_dir() && found.uid() != owner.0 {
            if !stopped {
                stop()?;
                stopped = true;
            }
            give(&folder, owner)?;
        }
    }
    Ok(())
}

/// The folders that it owns: settings and lists, and keys.
pub(super) fn folders() -> [PathBuf; 2] {
    let paths = Paths::of_system();
    let [config, state, _] = paths.folders();
    [config.to_owned(), state.to_owned()]
}

/// With all that is in it, whatever links there lead to.
pub(super) fn give(folder: &Path, (uid, gid): (u32, u32)) -> anyhow::Result<()> {
    let folder = folder.to_string_lossy();
    Tool::new("chown").args(["-hR", &format!("{uid}:{gid}"), &folder]).run()?;
    Ok(())
}

/// Makes the user, by what the machine has for it.
fn make() -> anyhow::Result<()> {
    let home = Paths::of_system().folders()[1].to_owned();
    if let Some(user) = User::from_name(NAME).context("the list of users")? {
        ensure!(
            user.dir == home,
            "there is a user {NAME} already, who is somebody else: the home directory is {}\n\
             the service's own user has that name, and the home directory {}",
            user.dir.display(),
            home.display()
        );
        return Ok(());
    }
    let home = home.to_string_lossy();
    let is_there = |program: &str| find(program).is_some();
    if cfg!(target_os = "macos") {
        return make_on_macos(&home);
    }
    if is_there("systemd-sysusers") {
        Tool::new("systemd-sysusers").args(["-"]).input(SYSUSERS).run()?;
    } else if is_there("useradd") {
        let shell = ["--shell", "/usr/sbin/nologin", "--comment", "irosh host", NAME];
        let words = ["--system", "--user-group", "--no-create-home", "--home-dir", &home];
        Tool::new("useradd").args(words).args(shell).run()?;
    } else if is_there("adduser") {
        // As busybox has them.
        Tool::new("addgroup").args(["-S", NAME]).run()?;
        let words =
            ["-S", "-D", "-H", "-h", &home, "-s", "/sbin/nologin", "-G", NAME, "-g", "irosh host", NAME];
        Tool::new("adduser").args(words).run()?;
    } else {
        bail!(
            "no program is here to make the user {NAME} (systemd-sysusers, useradd, adduser)\n\
             make it yourself, with the home directory {home}, and no shell"
        );
    }
    Ok(())
}

/// Apple's own services have numbers below 300.
fn make_on_macos(home: &str) -> anyhow::Result<()> {
    let dscl = |words: &[&str]| Tool::new("dscl").args(["."]).args(words.iter().copied()).run();
    let taken = dscl(&["-list", "/Users", "UniqueID"])? + &dscl(&["-list", "/Groups", "PrimaryGroupID"])?;
    let taken: Vec<u32> =
        taken.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
    let free = (300..400).rev().find(|number| !taken.contains(number));
    let number = free.context("no number is left for a user of a service")?.to_string();
    let (group, user) = (format!("/Groups/{NAME}"), format!("/Users/{NAME}"));
    dscl(&["-create", &group, "PrimaryGroupID", &number])?;
    for (key, value) in [
        ("UniqueID", number.as_str()),
        ("PrimaryGroupID", &number),
        ("RealName", "irosh host"),
        ("NFSHomeDirectory", home),
        ("UserShell", "/usr/bin/false"),
        ("IsHidden", "1"),
    ] {
        dscl(&["-create", &user, key, value])?;
    }
    Ok(())
}

/// Removes the keys and the lists, and the user, who owns nothing then, unless a package has brought it.
pub(super) fn purge() -> anyhow::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for folder in folders() {
        match fs::remove_dir_all(&folder) {
            Ok(()) => removed.push(folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
        }
    }
    let is_ours = user().is_ok_and(|user| user.dir == folders()[1]) && !Path::new(OF_A_PACKAGE).exists();
    if is_ours {
        remove()?;
    }
    Ok(removed)
}

fn remove() -> anyhow::Result<()> {
    if cfg!(target_os = "macos") {
        for record in ["/Users", "/Groups"] {
            Tool::new("dscl").args([".", "-delete", &format!("{record}/{NAME}")]).run()?;
        }
        return Ok(());
    }
    let program = ["userdel", "deluser"].into_iter().find(|program| find(program).is_some());
    let program = program.with_context(|| format!("no program is here to remove the user {NAME}"))?;
    Tool::new(program).args([NAME]).run()?;
    Ok(())
}
