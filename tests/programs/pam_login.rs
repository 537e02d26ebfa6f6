//! A server, as far as PAM is concerned: PROGRAM SERVICE USER FOLDER. It logs the user in, becomes the user,
//! says what it is then, and waits for the end of its stdin.

use std::io::{Read, Write};

use irosh::server::pam::{PamProcess, PamStep, Proof, Request};
use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::{Gid, Uid, User, setgroups, setresgid, setresuid},
};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, service, user, folder] = &arguments[..] else { panic!("PROGRAM SERVICE USER FOLDER") };
    let mut command = std::process::Command::new(program);
    command.arg("pam");
    let request = Request {
        service: service.clone(),
        user: user.clone(),
        rhost: None,
        tty: "ssh".to_owned(),
        connection: None,
        authentication: String::new(),
        proof: Proof::Elsewhere,
        permit_empty_passwords: false,
        services: Some(folder.into()),
    };
    let mut pam = PamProcess::start(command, request).expect("a PAM process");
    let step = pam.next().await.expect("decided");
    assert!(matches!(step, PamStep::Granted(_)), "{step:?}");
    let session = pam.open_session("ssh", "publickey").await.expect("a session");
    session.legacy.adopt(pam.id()).expect("adopted");
    let account = User::from_name(user).expect("asked").expect("a user");
    let groups: Vec<_> = session.legacy.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    assert!(groups.contains(&account.gid), "{groups:?}");
    setgroups(&groups).expect("groups");
    setresgid(account.gid, account.gid, account.gid).expect("a group");
    setresuid(account.uid, account.uid, account.uid).expect("a user");
    let mask = rustix::process::umask(rustix::fs::Mode::empty()).as_raw_mode();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
    let mut stdout = std::io::stdout();
    writeln!(stdout, "uid {} umask {mask:04o} files {soft} {hard}", Uid::current()).expect("said");
    stdout.flush().expect("said");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
