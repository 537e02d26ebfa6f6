//! Logins through PAM: ssh, the built-in server run by root, and Linux-PAM's own modules.
//!
//! Runs in mount namespaces with users and services of their own, so only as root.

mod harness;
mod machine;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use harness::{DEADLINE, IROSH, Said, feed, new_key, poll, program};
use machine::{Machine, UNIX, all, all_but};

/// The service of these tests.
const SERVICE: &str = "irosh-test";

/// A machine, and a server of it.
struct Place {
    machine: Machine,
    /// The program that serves, and its first arguments.
    server: String,
}

impl Place {
    /// Where this is not root, there is none.
    fn new(service: &str) -> Option<Self> {
        let machine = Machine::new()?;
        let place = Self { machine, server: format!("{IROSH} sshd") };
        place.serve(service);
        new_key(&place.machine.path("host_key"));
        let key = new_key(&place.machine.path("key"));
        fs::write(place.machine.path("authorized_keys"), key).expect("keys");
        place.configure("");
        Some(place)
    }

    fn serve(&self, service: &str) {
        self.machine.own_service(SERVICE, service);
    }

    fn configure(&self, lines: &str) {
        let path = |name: &str| self.machine.path(name).display().to_string();
        let text = format!(
            "{lines}\nUsePAM yes\nPAMServiceName {SERVICE}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
             PrintMotd no\n",
            path("host_key"),
            path("authorized_keys"),
        );
        fs::write(self.machine.path("sshd_config"), text).expect("sshd_config");
    }

    /// ssh as this user, by this method, with the answers to prompts in which these words are.
    fn ssh(&self, user: &str, method: &str, answers: &[(&str, &str)], arguments: &[&str]) -> Output {
        let home = self.machine.path("");
        let cases: String =
            answers.iter().map(|(prompt, answer)| format!("*\"{prompt}\"*) echo '{answer}';;\n")).collect();
        let script = self.machine.path("askpass");
        let text = format!("#!/bin/sh\ncase \"$1\" in\n{cases}*) exit 1;;\nesac\n");
        fs::write(&script, text).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut ssh: Command = program("ssh", &home);
        ssh.env("SSH_ASKPASS", script)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .args(["-F", "none", "-l", user, "-o"])
            .arg(format!(
                "ProxyCommand={} -i -f {} -E {}",
                self.server,
                self.machine.path("sshd_config").display(),
                self.machine.path("log").display()
            ))
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "NumberOfPasswordPrompts=1", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"])
            .args(["-o", &format!("PreferredAuthentications={method}"), "-i"])
            .arg(self.machine.path("key"))
            .args(arguments);
        // For the shell on a terminal, which would not end by itself.
        feed(&mut ssh, b"exit\n".to_vec())
    }

    fn by_password(&self, user: &str, password: &str) -> Output {
        self.ssh(user, "password", &[("assword", password)], &["box", "id -un"])
    }

    fn by_questions(&self, user: &str, answers: &[(&str, &str)]) -> Output {
        self.ssh(user, "keyboard-interactive", answers, &["box", "id -un"])
    }

    fn by_key(&self, user: &str, command: &str) -> Output {
        self.ssh(user, "publickey", &[], &["box", command])
    }

    /// What came of it, for a test that fails.
    fn told(&self, output: &Output) -> String {
        format!("{}\n{}", output.stderr.said(), self.machine.read("log"))
    }

    fn assert_in(&self, output: &Output, said: &str) {
        assert_eq!(output.stdout.said(), said, "{}", self.told(output));
    }

    fn assert_out(&self, output: &Output) {
        let result = (output.status.code(), output.stdout.said());
        assert_eq!(result, (Some(255), String::new()), "{}", self.told(output));
    }
}

#[test]
fn users_log_in_by_password_and_by_questions() {
    let Some(mut place) = Place::new(UNIX) else { return };
    for server in [format!("{IROSH} sshd"), env!("CARGO_BIN_EXE_irosh-sshd").to_owned()] {
        place.server = server;
        for (user, password) in [("alice", "right"), ("bob", "other")] {
            place.assert_in(&place.by_password(user, password), &format!("{user}\n"));
            place.assert_in(&place.by_questions(user, &[("Password: ", password)]), &format!("{user}\n"));
        }
    }
}

#[test]
fn a_wrong_password_is_refused() {
    let Some(place) = Place::new(UNIX) else { return };
    for (user, password) in [("alice", "other"), ("nobody-of-that-name", "right"), ("empty", "")] {
        place.assert_out(&place.by_password(user, password));
        place.assert_out(&place.by_questions(user, &[("Password: ", password)]));
    }
}

#[test]
fn the_account_is_checked_whatever_the_proof() {
    let rule = "account required pam_succeed_if.so quiet user != bob\n";
    let Some(place) = Place::new(&(rule.to_owned() + UNIX)) else { return };
    place.assert_in(&place.by_key("alice", "id -un"), "alice\n");
    place.assert_out(&place.by_key("bob", "id -un"));
    place.assert_out(&place.by_password("bob", "other"));
    place.assert_out(&place.by_questions("bob", &[("Password: ", "other")]));
    let expired = place.by_key("gone", "id -un");
    place.assert_out(&expired);
    assert!(expired.stderr.said().contains("account has expired"), "{}", place.told(&expired));
    place.assert_out(&place.by_password("gone", "right"));
    // A locked password is no locked account (sshd_config(5), UsePAM): the key comes in.
    place.assert_out(&place.by_password("locked", "right"));
    place.assert_in(&place.by_key("locked", "id -un"), "locked\n");
}

#[test]
fn an_account_is_locked_by_pam_and_not_by_a_first_proof() {
    let rule = "account required pam_succeed_if.so quiet user != bob\n";
    let Some(place) = Place::new(&(rule.to_owned() + UNIX)) else { return };
    place.configure("AuthenticationMethods publickey,password password,publickey");
    let both = |user: &str, password: &str| {
        place.ssh(user, "publickey,password", &[("assword", password)], &["box", "id -un"])
    };
    place.assert_in(&both("alice", "right"), "alice\n");
    place.assert_out(&both("alice", "wrong"));
    place.assert_out(&both("bob", "other"));
    place.assert_out(&place.by_key("alice", "id -un"));
}

#[test]
fn two_questions_follow_one_another() {
    let second = "auth required $ask say=hello off=Code: is=123\n";
    let unix = UNIX.replace("account required", &format!("{second}account required"));
    let Some(place) = Place::new(&unix) else { return };
    let output = place.by_questions("alice", &[("Password: ", "right"), ("Code:", "123")]);
    place.assert_in(&output, "alice\n");
    assert!(output.stderr.said().contains("hello"), "{}", place.told(&output));
    place.assert_out(&place.by_questions("alice", &[("Password: ", "right"), ("Code:", "124")]));
    place.assert_out(&place.by_questions("alice", &[("Password: ", "wrong"), ("Code:", "123")]));
    // One password is no answer to two questions.
    place.assert_out(&place.by_password("alice", "right"));
}

#[test]
fn nobody_comes_in_who_may_not_whatever_pam_says() {
    let Some(place) = Place::new(&all("required pam_permit.so")) else { return };
    place.configure("DenyUsers bob");
    place.assert_in(&place.by_password("alice", "x"), "alice\n");
    for user in ["root", "bob", "nobody-of-that-name"] {
        place.assert_out(&place.by_password(user, "x"));
        place.assert_out(&place.by_questions(user, &[]));
    }
    place.assert_in(&place.by_key("root", "id -un"), "root\n");
    place.configure("PasswordAuthentication no\nKbdInteractiveAuthentication no");
    place.assert_out(&place.by_password("alice", "x"));
    place.assert_out(&place.by_questions("alice", &[]));
}

#[test]
fn without_use_pam_it_is_not_asked() {
    let Some(place) = Place::new(&all("required pam_permit.so")) else { return };
    place.configure("UsePAM no");
    place.assert_out(&place.by_password("alice", "x"));
    place.assert_out(&place.by_key("gone", "id -un"));
    place.assert_in(&place.by_key("locked", "id -un"), "locked\n");
    place.assert_in(&place.by_key("alice", "id -un"), "alice\n");
}

#[test]
fn the_environment_of_pam_reaches_the_session() {
    let Some(place) = Place::new("") else { return };
    let file = place.machine.path("environment");
    fs::write(&file, "COLOUR=\"dark red\"\nSHAPE=round\nASKED=by-pam\n").expect("a file");
    fs::write("/etc/environment", "NOT_PAMS=1\n").expect("a file");
    let pam_env = format!(
        "session required pam_env.so conffile=/dev/null readenv=0\n\
         session required pam_env.so conffile=/dev/null envfile={}\n",
        file.display()
    );
    place.serve(&(pam_env + &all_but("session")));
    place.configure("SetEnv SHAPE=square\nAcceptEnv ASKED");
    let asked = ["-o", "SetEnv=ASKED=by-client", "box"];
    let words = "echo \"$COLOUR $SHAPE $ASKED $USER\"; env | grep -E 'SSH_AUTH_INFO|NOT_PAMS|SSH_CONN'";
    let output = place.ssh("alice", "publickey", &[], &[&asked[..], &[words]].concat());
    place.assert_in(&output, "dark red square by-pam alice\nSSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535\n");
}

#[test]
fn a_session_is_opened_and_closed_by_root() {
    let Some(place) = Place::new("") else { return };
    let script =
        place.machine.script("log_session", "echo $PAM_TYPE $PAM_USER $PAM_RHOST $(id -u) >>log.was");
    place.serve(&(format!("session required pam_exec.so {script}\n") + &all_but("session")));
    let words = format!("cat {}; id -u", place.machine.path("log.was").display());
    place.assert_in(&place.by_key("alice", &words), "open_session alice 0.0.0.0 0\n41001\n");
    let expected = "open_session alice 0.0.0.0 0\nclose_session alice 0.0.0.0 0\n";
    poll("a closed session", DEADLINE, || (place.machine.read("log.was") == expected).then_some(()));
}

#[test]
fn the_shell_is_the_users_with_what_modules_add() {
    let Some(place) = Place::new("") else { return };
    let limits = place.machine.path("limits");
    fs::write(&limits, "alice hard nofile 777\nalice soft nofile 555\n").expect("limits");
    fs::write("/etc/security/group.conf", "*;*;alice;Al0000-2400;games\n").expect("groups");
    place.serve(&format!(
        "auth required pam_permit.so\nauth optional pam_group.so\naccount required pam_permit.so\n\
         session required pam_umask.so umask=0027\nsession required pam_limits.so conf={}\n",
        limits.display()
    ));
    let games = nix::unistd::Group::from_name("games").expect("asked").expect("a group").gid;
    let groups = |more: &str| {
        let mut all: Vec<u32> =
            more.split_whitespace().map(|group| group.parse().expect("a number")).collect();
        all.sort_unstable();
        all.iter().map(|group| format!("{group} ")).collect::<String>()
    };
    let words = "awk '/^Uid|^Gid|^Groups/' /proc/$$/status; umask; ulimit -S -n; ulimit -H -n";
    for (user, id, more) in [("alice", 41001, format!("41001 {games}")), ("bob", 41006, "41006".to_owned())] {
        let output = place.by_key(user, words);
        let said = output.stdout.said();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.len() == 6, "{said}{}", place.told(&output));
        assert_eq!(
            lines[..2],
            [format!("Uid:\t{id}\t{id}\t{id}\t{id}"), format!("Gid:\t{id}\t{id}\t{id}\t{id}")]
        );
        assert_eq!(lines[2].trim_start_matches("Groups:\t"), groups(&more));
        assert_eq!(lines[3], "0027");
        assert_eq!(lines[4..] == ["555", "777"], user == "alice", "{said}");
    }
}

#[test]
fn an_expired_password_is_changed_by_questions_alone() {
    let Some(place) = Place::new(UNIX) else { return };
    for output in [place.by_password("stale", "right"), place.by_key("stale", "id -un")] {
        place.assert_out(&output);
        let said = output.stderr.said();
        assert!(
            said.contains("password has expired. Log in by keyboard-interactive"),
            "{}",
            place.told(&output)
        );
    }
    let answers = [
        ("Current password", "right"),
        ("Retype new", "Fresh-2-you"),
        ("New password", "Fresh-2-you"),
        ("Password: ", "right"),
    ];
    place.assert_in(&place.by_questions("stale", &answers), "stale\n");
    place.assert_in(&place.by_password("stale", "Fresh-2-you"), "stale\n");
    place.assert_out(&place.by_password("stale", "right"));
}

#[test]
fn what_modules_say_is_shown() {
    let says = "account required $ask say=welcome\nsession required $ask say=today\n";
    let Some(place) = Place::new(&(says.to_owned() + &all("required pam_permit.so"))) else { return };
    let output = place.by_key("alice", "echo in");
    place.assert_in(&output, "in\n");
    // A command is shown no messages of the session.
    let said = output.stderr.said();
    assert!(said.contains("welcome") && !said.contains("today"), "{}", place.told(&output));
    let shell = place.ssh("alice", "publickey", &[], &["-tt", "box"]);
    assert!(shell.stdout.said().starts_with("today\r\n"), "{}{}", shell.stdout.said(), place.told(&shell));
}

#[test]
fn without_a_session_there_is_no_login() {
    let Some(place) = Place::new("") else { return };
    place.serve(&("session required $ask fail\n".to_owned() + &all_but("session")));
    place.assert_out(&place.by_key("alice", "echo in"));
    assert!(place.machine.read("log").contains("no session"), "{}", place.machine.read("log"));
}
