//! A machine with users and PAM services of its own, in a mount namespace.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use irosh::server::pam::{PamError, PamProcess, PamStep, Proof, Request, Secret};
use nix::sched::{CloneFlags, unshare};

/// The program that is the PAM process.
pub(crate) const IROSH: &str = env!("CARGO_BIN_EXE_irosh");

/// The longest that an event is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Users: name, id, password, and what follows the hash in shadow(5).
const USERS: [(&str, u32, &str, &str); 6] = [
    ("alice", 41001, "right", "19000:0:99999:7:::"),
    ("locked", 41002, "right", "19000:0:99999:7:::"),
    ("gone", 41003, "right", "19000:0:99999:7::1:"),
    ("stale", 41004, "right", "0:0:99999:7:::"),
    ("empty", 41005, "", "19000:0:99999:7:::"),
    ("bob", 41006, "other", "19000:0:99999:7:::"),
];

/// A service that asks for the password of shadow(5), without a pause after a wrong one.
pub(crate) const UNIX: &str = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n\
                               password required pam_unix.so sha512\nsession required pam_permit.so\n";

/// A machine with these users and services, for one test.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// Where this is not root, there is none.
    pub(crate) fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() || unshare(CloneFlags::CLONE_NEWNS).is_err() {
            eprintln!("skipped: not root");
            return None;
        }
        succeed(Command::new("mount").args(["--make-rprivate", "/"]));
        let folder = tempfile::Builder::new().prefix("irosh-pam-").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let machine = Self { folder };
        // All of /etc, because a password is changed by renaming a file there.
        let etc = machine.path("etc");
        succeed(Command::new("cp").arg("-a").arg("/etc").arg(&etc));
        let (mut passwd, mut shadow) = (String::new(), String::new());
        for (name, id, password, rest) in USERS {
            let hash = match (name, password) {
                ("locked", _) => format!("!{}", hash(password)),
                (_, "") => String::new(),
                _ => hash(password),
            };
            passwd += &format!("{name}:x:{id}:{id}::/:/bin/sh\n");
            shadow += &format!("{name}:{hash}:{rest}\n");
        }
        for (name, lines) in [("passwd", passwd), ("shadow", shadow)] {
            let path = etc.join(name);
            let old = fs::read_to_string(&path).expect("a list");
            fs::write(path, old + &lines).expect("a list");
        }
        let _ = fs::create_dir(etc.join("pam.d"));
        succeed(Command::new("mount").arg("--bind").arg(&etc).arg("/etc"));
        fs::create_dir(machine.path("services")).expect("a folder");
        machine.service("unix", UNIX);
        // What the text of a service leaves out is forbidden.
        machine.service("other", &all("required pam_deny.so"));
        Some(machine)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of a file that a module made.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Makes a service. `$ask` is the module that asks.
    pub(crate) fn service(&self, name: &str, text: &str) {
        let text = text.replace("$ask", &pam_ask().display().to_string());
        fs::write(self.path("services").join(name), text).expect("a service");
    }

    /// Makes a program for pam_exec.
    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let text = format!("#!/bin/sh\ncd {}\n{text}\n", self.folder.path().display());
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path.display().to_string()
    }

    /// Makes a service of the machine's own, in /etc/pam.d, with `$ask` as above.
    pub(crate) fn own_service(&self, name: &str, text: &str) {
        let text = text.replace("$ask", &pam_ask().display().to_string());
        fs::write(Path::new("/etc/pam.d").join(name), text).expect("a service");
    }

    pub(crate) fn request(&self, service: &str, user: &str, proof: Proof) -> Request {
        Request {
            service: service.to_owned(),
            user: user.to_owned(),
            rhost: Some("192.0.2.1".to_owned()),
            tty: "ssh".to_owned(),
            connection: Some("192.0.2.1 40000 192.0.2.2 22".to_owned()),
            authentication: String::new(),
            proof,
            permit_empty_passwords: false,
            services: Some(self.path("services")),
        }
    }

    /// A login that answers questions.
    pub(crate) fn login(&self, service: &str, user: &str) -> PamProcess {
        start(self.request(service, user, Proof::Answers))
    }
}

pub(crate) fn start(request: Request) -> PamProcess {
    let mut command = Command::new(IROSH);
    command.arg("pam");
    PamProcess::start(command, request).expect("a PAM process")
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Answers each question with the next of these, and says what was asked, and what came of it.
pub(crate) async fn answer_all(pam: &mut PamProcess, answers: &[&str]) -> (Vec<String>, PamStep) {
    let mut answers = answers.iter();
    let mut asked = Vec::new();
    loop {
        match step(pam).await.expect("a step") {
            PamStep::Ask(questions) => {
                let given = questions.prompts.iter().map(|prompt| {
                    asked.push(format!("{}{}", questions.instructions, prompt.text));
                    secret(answers.next().expect("a question too many"))
                });
                let given = given.collect();
                pam.answer(given).expect("answered");
            }
            decided => {
                assert_eq!(answers.next(), None, "a question too few: {decided:?}");
                return (asked, decided);
            }
        }
    }
}

pub(crate) async fn step(pam: &mut PamProcess) -> Result<PamStep, PamError> {
    in_time(pam.next()).await
}

pub(crate) async fn in_time<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, event).await.expect("it takes too long")
}

/// A service that says this to all that PAM asks.
pub(crate) fn all(line: &str) -> String {
    ["auth", "account", "password", "session"].map(|kind| format!("{kind} {line}\n")).concat()
}

/// The lines of a service that permit all but one kind.
pub(crate) fn all_but(kind: &str) -> String {
    let mut text = all("required pam_permit.so");
    text.replace_range(
        text.find(kind).map(|at| at..at + text[at..].find('\n').map_or(0, |end| end + 1)).expect("a kind"),
        "",
    );
    text
}

fn hash(password: &str) -> String {
    let output = Command::new("openssl").args(["passwd", "-6", password]).output().expect("openssl");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// The module in pam_ask.c, built once.
fn pam_ask() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/pam_ask.c");
        let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pam_ask.so");
        let new = module.with_extension(std::process::id().to_string());
        succeed(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&new).arg(source).arg("-lpam"));
        fs::rename(new, &module).expect("a module");
        module
    })
}

pub(crate) fn succeed(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().expect("it runs");
    assert!(status.success(), "{command:?}: {status}");
}
