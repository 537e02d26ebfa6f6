//! Whether what a user has running goes on when nobody is logged in (loginctl(1), `enable-linger`).

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::unistd::{User, geteuid};

use super::tool::{Tool, ToolError};

/// How long the user's manager may take to come up.
const COMES_UP: Duration = Duration::from_secs(15);

/// What came of asking for it.
pub(super) enum Lingering {
    /// It was so before.
    Was,
    /// It is so from now on.
    Begun,
    /// It is not allowed here, by these words.
    Refused(String),
}

/// Asks for it, without a question to anybody.
pub(super) fn begin() -> anyhow::Result<Lingering> {
    let name = name()?;
    if is_so(&name) {
        return Ok(Lingering::Was);
    }
    // The name that is asked for, and not the session's, which a `su` has left another user's.
    Ok(match loginctl("enable-linger", &name) {
        Ok(_) => Lingering::Begun,
        Err(error) => Lingering::Refused(error.said()),
    })
}

/// What is missing, where it does not linger, and what to do about it.
pub(super) fn lack() -> anyhow::Result<Option<String>> {
    let name = name()?;
    Ok((!is_so(&name)).then(|| format!("have it stay: sudo loginctl enable-linger {name}")))
}

pub(super) fn end() -> anyhow::Result<()> {
    loginctl("disable-linger", &name()?)?;
    Ok(())
}

/// Whether it is so. logind knows nobody who is neither logged in nor lingers.
fn is_so(name: &str) -> bool {
    let asking = Tool::new("loginctl").args(["show-user", name, "--property=Linger", "--value"]);
    asking.run().is_ok_and(|said| said.trim() == "yes")
}

fn loginctl(verb: &str, name: &str) -> Result<String, ToolError> {
    Tool::new("loginctl").args(["--no-ask-password", verb, name]).run()
}

fn name() -> anyhow::Result<String> {
    let user = User::from_uid(geteuid()).context("the list of users")?;
    Ok(user.with_context(|| format!("the user {} has no account", geteuid()))?.name)
}

/// The folder in which the user's manager listens; `su` and `sudo -u` do not name it.
pub(super) fn runtime_folder() -> PathBuf {
    let is_own = |folder: &PathBuf| {
        folder.metadata().is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
    };
    let set = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(is_own);
    set.unwrap_or_else(|| Path::new("/run/user").join(geteuid().to_string()))
}

/// Refuses where no manager of the user's answers there. That of a user who lingers is about to come up, at the latest.
pub(super) fn require_manager(folder: &Path) -> anyhow::Result<()> {
    let socket = folder.join("systemd/private");
    if socket.exists() {
        return Ok(());
    }
    let name = name()?;
    let comes = if is_so(&name) { COMES_UP } else { Duration::ZERO };
    let deadline = Instant::now() + comes;
    // Its folder is not there to be watched before it is.
    while !socket.exists() {
        ensure!(
            Instant::now() < deadline,
            "no systemd of this user's runs: there is no {}/systemd\n\
             log in anew (not by su or sudo), or have root type: loginctl enable-linger {name}",
            folder.display()
        );
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
