//! Teams: who has a certificate of an authority comes in, as whom it names, for as long as it is valid.

mod harness;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Output, time::Duration};

use harness::{
    Authority, Client, DEADLINE, Echo, Host, HostSetup, Line, Mode, Route, Said, Server, descendants, folder,
    is_in, is_refused, login, poll, run, ssh_to,
};
use nix::sys::signal::{Signal, kill};

/// How soon a change has to reach who is here.
const SOON: Duration = Duration::from_secs(20);

/// A host with the built-in server that lets a team in, and a new laptop: in no list, with no key that could log in.
struct Team {
    host: Host,
    laptop: Client,
    authority: Authority,
    _server: Server,
    folder: tempfile::TempDir,
}

impl Team {
    /// A host with these settings, and this before the key of the team's authority.
    fn with_settings(settings: &str, options: &str) -> Self {
        let folder = folder();
        let server = Server::new(folder.path());
        let authority = Authority::new(folder.path(), "team");
        let setup = HostSetup::new(&folder.path().join("host"), "builtin");
        let nobody = folder.path().join("nobody");
        let sshd = format!("[sshd]\nAuthorizedKeysFile = '{}'\nStrictModes = false\n", nobody.display());
        let host = setup.settings(&format!("{settings}{sshd}")).start();
        let laptop = Client::new(folder.path(), "laptop", &server);
        laptop.add_host("box", &host.ticket());
        let team = Self { host, laptop, authority, _server: server, folder };
        team.list(&format!("cert-authority{options} {}\n", team.authority.public));
        team
    }

    fn new(options: &str) -> Self {
        Self::with_settings("", options)
    }

    /// Has the host's list be this.
    fn list(&self, text: &str) {
        let path = self.host.home().join("authorized_peers");
        let scratch = path.with_extension("new");
        fs::write(&scratch, text).expect("written");
        fs::set_permissions(&scratch, PermissionsExt::from_mode(0o600)).expect("a mode");
        fs::rename(scratch, path).expect("renamed");
    }

    fn identity(&self) -> PathBuf {
        self.laptop.home().join("identity.pub")
    }

    /// Gives the laptop a certificate.
    fn certify(&self, arguments: &[&str]) {
        self.authority.sign(&self.identity(), arguments);
    }

    /// One for who logs in, and this besides.
    fn certify_login(&self, arguments: &[&str]) {
        self.certify(&[&["-n", &login()], arguments].concat());
    }

    fn ssh(&self) -> Output {
        ssh_to(&self.laptop, "box")
    }

    fn ssh_with(&self, words: &[&str]) -> Output {
        run(self.laptop.ssh().args(words))
    }

    #[track_caller]
    fn is_not_logged_in(&self, output: &Output) {
        let said = output.stderr.said();
        assert!(said.contains("Permission denied"), "{said}");
    }
}

#[test]
fn a_new_laptop_with_a_certificate_and_no_line_in_any_list_comes_in_as_its_principal() {
    let team = Team::new(",login");
    is_refused(&team.ssh(), "this host does not know you");
    team.certify_login(&["-z", "7"]);
    is_in(&team.ssh());
    let said = team.host.daemon.stderr.wait_for("admitted by a certificate");
    let principals = format!("principals=[\"{}\"]", login());
    assert!(said.contains("laptop of the team (serial 7)") && said.contains(&principals), "{said}");
    // Nobody was written down for that.
    let listed = team.host.irosh(&["peers", "list", "--json"]).stdout.said();
    let authority: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert!(authority["authority"].as_str().is_some_and(|print| print.starts_with("SHA256:")), "{listed}");
    assert_eq!(authority["options"], "cert-authority,login");
}

#[test]
fn a_certificate_gives_no_login_but_those_that_it_and_the_line_name() {
    let team = Team::new(",login");
    team.certify(&["-n", "somebody-else"]);
    team.is_not_logged_in(&team.ssh());
    // Where the line does not say so, it lets its holder reach ssh, which then asks who they are.
    team.certify_login(&[]);
    is_in(&team.ssh());
    team.list(&format!("cert-authority {}\n", team.authority.public));
    team.is_not_logged_in(&team.ssh());
    // As authorized_keys has it: one of these, and a login that the line gives to all of them.
    let user = login();
    team.list(&format!("cert-authority,principals=\"ops,dev\",login=\"{user}\" {}\n", team.authority.public));
    is_refused(&team.ssh(), "it names none of the principals that may come in");
    team.certify(&["-n", "dev"]);
    is_in(&team.ssh());
}

#[test]
fn a_certificate_lets_its_holder_reach_sshd_which_asks_who_they_are() {
    let line = Line::new(Route::Tcp);
    let laptop = line.stranger("laptop");
    let authority = Authority::new(line.folder.path(), "team");
    line.host().allow(&format!("cert-authority {}", authority.public));
    is_refused(&ssh_to(&laptop, "box"), "this host does not know you");
    // What it does not permit is for logins by it, of which sshd knows.
    authority.sign(&laptop.home().join("identity.pub"), &["-O", "clear"]);
    is_in(&ssh_to(&laptop, "box"));
    // What it demands cannot be seen to there.
    authority.sign(&laptop.home().join("identity.pub"), &["-O", "force-command=true"]);
    is_refused(&ssh_to(&laptop, "box"), "restricts you by options that its ssh server does not know");
}

#[test]
fn a_session_ends_when_its_certificate_does_and_the_next_one_is_refused() {
    let team = Team::new(",login");
    team.certify_login(&["-V", "-1m:+8s"]);
    let echo = Echo::start(&team.laptop);
    echo.ended(SOON);
    is_refused(&team.ssh(), "this host does not take your certificate: it has expired at 20");
    // A new one is found without anything started anew.
    team.certify_login(&[]);
    is_in(&team.ssh());
}

#[test]
fn who_is_revoked_is_thrown_out_and_stays_out() {
    let team = Team::with_settings("revoked-keys = \"lost-laptops\"\n", ",login");
    let list = team.host.home().join("lost-laptops");
    team.certify_login(&["-z", "7"]);
    // The list that the settings name is not there.
    is_refused(&team.ssh(), "the host cannot read its list of peers");
    fs::write(&list, "# none\n").expect("written");
    let echo = Echo::start(&team.laptop);
    team.authority.revoke(&list, "serial: 7");
    echo.ended(SOON);
    is_refused(&team.ssh(), "this host does not take your certificate: it is revoked");
    // The key itself, one a line: no other certificate for it will do.
    team.certify_login(&["-z", "8"]);
    let echo = Echo::start(&team.laptop);
    fs::write(&list, format!("{}\n", team.laptop.identity)).expect("written");
    echo.ended(SOON);
    is_refused(&team.ssh(), "this host has taken back your admission");
}

#[test]
fn a_list_that_is_not_named_is_beside_the_list_of_peers() {
    let team = Team::new(",login");
    team.certify_login(&[]);
    is_in(&team.ssh());
    fs::write(team.host.home().join("revoked_peers"), &team.laptop.identity).expect("written");
    is_refused(&team.ssh(), "this host has taken back your admission");
}

#[test]
fn certificates_of_others_or_with_unknown_demands_admit_nobody() {
    let team = Team::new(",login");
    let other = Authority::new(team.folder.path(), "others");
    other.sign(&team.identity(), &["-n", &login()]);
    is_refused(&team.ssh(), "this host does not know its authority, SHA256:");
    team.certify_login(&["-h"]);
    is_refused(&team.ssh(), "it is not a user certificate");
    team.certify_login(&["-O", "critical:frobnicate@example.com=x"]);
    is_refused(&team.ssh(), "critical option `frobnicate@example.com` is not supported");
    // One for another key is not even shown.
    let thief = harness::new_key(&team.folder.path().join("thief"));
    assert!(thief.starts_with("ssh-ed25519 "));
    team.authority.sign(&team.folder.path().join("thief.pub"), &["-n", &login()]);
    let certificate = team.laptop.home().join("identity-cert.pub");
    fs::copy(team.folder.path().join("thief-cert.pub"), certificate).expect("copied");
    let output = team.ssh();
    is_refused(&output, "this host does not know you");
    assert!(
        output.stderr.said().contains("the certificate is not shown: it is not for SHA256:"),
        "{output:?}"
    );
}

#[test]
fn what_a_certificate_demands_and_does_not_permit_holds_at_the_built_in_server() {
    let team = Team::new(",login");
    team.certify_login(&["-O", "force-command=echo only this", "-O", "no-pty"]);
    assert_eq!(team.ssh().stdout.said(), "only this\n");
    let output = team.ssh_with(&["-tt", "box", "echo in"]);
    assert!(output.stderr.said().contains("PTY allocation request failed"), "{}", output.stderr.said());
    team.certify_login(&["-O", "no-port-forwarding"]);
    let output = team.ssh_with(&["-W", "127.0.0.1:9", "box"]);
    assert!(output.stderr.said().contains("administratively prohibited"), "{}", output.stderr.said());
    // A line restricts besides.
    team.list(&format!("cert-authority,login,command=\"echo as the line says\" {}\n", team.authority.public));
    assert_eq!(team.ssh().stdout.said(), "as the line says\n");
}

#[test]
fn a_certificate_that_nobody_can_hold_its_holder_to_is_refused() {
    let team = Team::new(",login");
    team.certify_login(&["-O", "source-address=127.0.0.0/8,::1/128"]);
    is_refused(&team.ssh(), "it is for some source addresses alone");
}

#[test]
fn a_certificate_that_is_too_long_is_not_shown() {
    let mut team = Team::new(",login");
    team.certify_login(&["-O", &format!("force-command={}", "x".repeat(100 << 10))]);
    let output = team.ssh();
    is_refused(&output, "this host does not know you");
    let said = output.stderr.said();
    assert!(said.contains("the certificate is not shown: it is longer than 16384 bytes"), "{said}");
    team.laptop.use_mode(Mode::Agent);
    is_refused(&team.ssh(), "this host does not know you");
}

#[test]
fn a_client_that_was_away_when_its_certificate_ended_does_not_get_its_session_back() {
    let team = Team::new(",login");
    team.certify_login(&["-V", "-1m:+10s"]);
    let echo = Echo::start(&team.laptop);
    let ssh = echo.running.pid();
    let others: Vec<_> = descendants(ssh).into_iter().filter(|pid| *pid != ssh).collect();
    assert!(!others.is_empty());
    let tell = |signal| others.iter().for_each(|pid| kill(*pid, signal).expect("a process of ours"));
    tell(Signal::SIGSTOP);
    team.host.wait_ended(1);
    tell(Signal::SIGCONT);
    echo.ended(SOON);
}

#[test]
fn a_list_of_revoked_keys_that_the_settings_name_counts_once_they_are_read_again() {
    let team = Team::new(",login");
    let (settings, list) = (team.host.home().join("host.toml"), team.host.home().join("lost-laptops"));
    team.certify_login(&["-z", "7"]);
    let mut echo = Echo::start(&team.laptop);
    let before = fs::read_to_string(&settings).expect("host.toml");
    fs::write(&settings, format!("revoked-keys = \"lost-laptops\"\n{before}")).expect("host.toml");
    let output = team.host.irosh(&["reload"]);
    let (stdout, stderr) = (output.stdout.said(), output.stderr.said());
    assert!(stdout.contains("in use now: revoked-keys"), "{stdout}");
    // It is not there: that is said, and ends nothing.
    assert!(stderr.contains("nobody new comes in, and nobody is thrown out: "), "{stderr}");
    assert!(stderr.contains("lost-laptops: "), "{stderr}");
    echo.answers();
    is_refused(&team.ssh(), "the host cannot read its list of peers");
    team.authority.revoke(&list, "serial: 7");
    let output = team.host.irosh(&["reload"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", output.stderr.said());
    echo.ended(SOON);
    is_refused(&team.ssh(), "this host does not take your certificate: it is revoked");
}

#[test]
fn sessions_of_a_team_end_with_its_authority() {
    let team = Team::new(",login");
    team.certify_login(&[]);
    let echo = Echo::start(&team.laptop);
    let shown = team.host.irosh(&["status"]).stdout.said();
    let by = format!("by the certificate `laptop of the team`, serial 0, principals {}, of SHA256:", login());
    assert!(shown.contains(&by), "{shown}");
    let shown = team.host.irosh(&["peers"]).stdout.said();
    assert!(shown.contains(&by), "{shown}");
    let allowed = format!("cert-authority,no-resume {}", team.authority.public);
    let output = team.host.irosh(&["peers", "allow", &allowed]);
    assert!(output.stderr.said().contains("it was: cert-authority,login"), "{}", output.stderr.said());
    echo.ended(SOON);
    let echo = Echo::start(&team.laptop);
    let output = team.host.irosh(&["peers", "revoke", "test"]);
    assert!(output.stdout.said().contains("an authority"), "{}", output.stdout.said());
    echo.ended(SOON);
    is_refused(&team.ssh(), "this host does not know its authority");
}

#[test]
fn a_session_by_a_certificate_goes_on_at_a_host_that_starts_anew_and_ends_when_it_is_revoked() {
    let team = Team::new(",login");
    team.certify_login(&["-O", "no-pty"]);
    let mut echo = Echo::start(&team.laptop);
    let ready = team.host.count("ready");
    team.host.daemon.signal(Signal::SIGUSR2);
    poll("a host that is ready again", DEADLINE, || (team.host.count("ready") > ready).then_some(()));
    echo.answers();
    fs::write(team.host.home().join("revoked_peers"), &team.laptop.identity).expect("written");
    echo.ended(SOON);
}

#[test]
fn with_an_agent_a_new_certificate_counts_at_once() {
    for mode in [Mode::Agent, Mode::Fdpass] {
        let mut team = Team::new(",login");
        team.laptop.use_mode(mode);
        team.certify(&["-n", "somebody-else"]);
        team.is_not_logged_in(&team.ssh());
        // The connection that is there was let in by the old one.
        team.certify_login(&[]);
        is_in(&team.ssh());
    }
}
