use std::{fs, process::Command, time::Duration};

use super::*;
use crate::{
    host::{Access, AddressKey, Admission, Admitted, Claim},
    protocol::{Refusal, RefusalCode},
    ssh_wire::Writer,
};

/// Keys, certificates that ssh-keygen signs, and a host's lists.
struct Team {
    folder: tempfile::TempDir,
    admission: Admission,
}

impl Team {
    /// A team with an authority `ca` and an identity `me`, and a list of these lines.
    fn new(list: impl FnOnce(&Self) -> String) -> Self {
        Self::with_access(Access::Invited, list)
    }

    fn with_access(access: Access, list: impl FnOnce(&Self) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name| folder.path().join(name);
        let key = AddressKey::load_or_create(&path("address_key")).expect("a key");
        let admission = Admission::new(path("authorized_peers"), path("invites"), key, access);
        let team = Self { folder, admission };
        for key in ["ca", "me"] {
            team.keygen(&["-t", "ed25519", "-N", "", "-C", "", "-f", key]);
        }
        team.list(&list(&team));
        team
    }

    fn list(&self, text: &str) {
        // Another file: the same one may look unchanged if that was a moment ago.
        let scratch = self.folder.path().join("list");
        fs::write(&scratch, text).expect("written");
        fs::rename(scratch, self.folder.path().join("authorized_peers")).expect("renamed");
    }

    fn keygen(&self, arguments: &[&str]) {
        let mut command = Command::new("ssh-keygen");
        let done = command.current_dir(self.folder.path()).arg("-q").args(arguments).output();
        assert!(done.as_ref().is_ok_and(|done| done.status.success()), "{done:?}");
    }

    fn public(&self, key: &str) -> String {
        let file = self.folder.path().join(format!("{key}.pub"));
        fs::read_to_string(file).expect("a key").trim().to_owned()
    }

    fn identity(&self) -> Identity {
        Identity::from_openssh(&self.public("me")).expect("an identity")
    }

    /// The bytes of a certificate by this authority.
    fn certificate(&self, authority: &str, arguments: &[&str]) -> Vec<u8> {
        self.keygen(&[&["-s", authority, "-I", "me@laptop"], arguments, &["me.pub"]].concat());
        let text = self.public("me-cert");
        Certificate::from_openssh(&text).expect("a certificate").to_bytes().expect("bytes")
    }

    fn admit(&self, certificate: &[u8]) -> Result<Admitted, Refusal> {
        self.admission.admit(Claim::showing(self.identity(), certificate), None)
    }

    #[track_caller]
    fn is_refused(&self, certificate: &[u8], why: &str) {
        let refusal = self.admit(certificate).expect_err("refused");
        assert!(refusal.sentence.contains(why), "{refusal}");
    }
}

fn of_team(team: &Team) -> String {
    format!("cert-authority,login {} team\n", team.public("ca"))
}

#[test]
fn who_is_in_no_list_comes_in_by_a_certificate_as_its_principals() {
    let team = Team::new(of_team);
    let certificate = team.certificate("ca", &["-n", "alice,ops", "-z", "7", "-V", "-1m:20400101Z"]);
    let admitted = team.admit(&certificate).expect("admitted");
    assert!(admitted.listed && admitted.invite.is_none());
    assert_eq!((admitted.peer.identity, admitted.peer.name.as_str()), (team.identity(), "me@laptop"));
    let expiry = admitted.peer.options.expiry_time.expect("an end").to_string();
    assert_eq!(expiry, "2040-01-01T00:00:00Z");
    let standing = admitted.standing();
    assert_eq!(standing.logins(), ["alice", "ops"]);
    assert!(standing.restrictions().is_empty());
    assert_eq!(standing.certified.expect("a certificate").certificate.shown(), "me@laptop (serial 7)");
    // Nobody is written down for that.
    assert_eq!(
        fs::read_to_string(team.folder.path().join("authorized_peers")).expect("read"),
        of_team(&team)
    );
}

#[test]
fn authorities_of_every_kind_may_sign_and_none_with_sha_1() {
    let kinds: [(&str, &[&str]); 5] = [
        ("ed", &["-t", "ed25519"]),
        ("p256", &["-t", "ecdsa"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
    ];
    let team = Team::new(|team| {
        let line = |(name, arguments): &(&str, &[&str])| {
            team.keygen(&[&["-N", "", "-C", "", "-f", name], *arguments].concat());
            format!("cert-authority {}\n", team.public(name))
        };
        kinds.iter().map(line).collect()
    });
    for (name, _) in kinds {
        team.admit(&team.certificate(name, &[])).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    }
    team.admit(&team.certificate("rsa", &["-t", "rsa-sha2-256"])).expect("admitted");
    team.is_refused(&team.certificate("rsa", &["-t", "ssh-rsa"]), "in a way that is not accepted");
}

#[test]
fn certificates_of_others_admit_nobody() {
    let team = Team::new(of_team);
    team.keygen(&["-t", "ed25519", "-N", "", "-f", "other"]);
    team.is_refused(&team.certificate("other", &[]), "does not know its authority, SHA256:");
    team.is_refused(&team.certificate("ca", &["-h"]), "it is not a user certificate");
    let wrong = ["-O", "critical:frobnicate@example.com=x"];
    team.is_refused(
        &team.certificate("ca", &wrong),
        "critical option `frobnicate@example.com` is not supported",
    );
    // It is stolen: the key that it is for is somebody else's.
    let certificate = team.certificate("ca", &[]);
    let thief = Identity::from_openssh(&team.public("other")).expect("an identity");
    let refusal = team.admission.admit(Claim::showing(thief, &certificate), None).expect_err("refused");
    assert!(refusal.sentence.contains("it is for another key"), "{refusal}");
}

#[test]
fn a_certificate_that_was_changed_is_none() {
    let team = Team::new(of_team);
    let certificate = team.certificate("ca", &["-n", "alice"]);
    team.admit(&certificate).expect("admitted");
    let mut forged = 0;
    for at in 0..certificate.len() {
        let mut changed = certificate.clone();
        changed[at] ^= 1;
        forged += usize::from(team.admit(&changed).is_ok());
        assert!(UserCertificate::read(&certificate[..at]).is_err());
    }
    assert_eq!(forged, 0);
    assert_eq!(UserCertificate::read(&[&certificate[..], b"x"].concat()), Err(Objection::Unreadable));
    team.is_refused(b"nonsense", "it cannot be read");
}

#[test]
fn a_certificate_within_a_certificate_uses_up_no_stack() {
    // Each claims to be signed by the one within it.
    let mut blob = Vec::new();
    while blob.len() < crate::protocol::MAX_CERTIFICATE {
        let head = Vec::new().string(b"ssh-ed25519-cert-v01@openssh.com").string(b"").string(&[0; 32]);
        let fields = head.uint64(0).uint32(1).string(b"").string(b"").uint64(0).uint64(0);
        let fields = fields.string(b"").string(b"").string(b"");
        blob = fields.string(&blob).string(b"");
    }
    assert_eq!(UserCertificate::read(&blob), Err(Objection::Unreadable));
}

#[test]
fn a_certificate_is_valid_for_a_time() {
    let team = Team::new(of_team);
    team.is_refused(
        &team.certificate("ca", &["-V", "20400101Z:20500101Z"]),
        "not valid before 2040-01-01T00:00:00Z",
    );
    let late = team.certificate("ca", &["-V", "20200101Z:20200102Z"]);
    team.is_refused(&late, "it has expired at 2020-01-02T00:00:00Z");
    assert_eq!(team.admit(&late).expect_err("refused").code, RefusalCode::Expired);
    let standing = team.admit(&team.certificate("ca", &["-V", "-1m:+2s"])).expect("admitted").standing();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while team.admission.roll_call()(&standing).is_ok() {
        assert!(std::time::Instant::now() < until, "it stays for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(team.admission.look_up_again(&standing).is_err());
}

#[test]
fn what_a_line_says_restricts_a_certificate_and_the_other_way_round() {
    let team = Team::new(|_| String::new());
    let ca = team.public("ca");
    let restrictions = |options: &str, arguments: &[&str]| {
        team.list(&format!("cert-authority{options} {ca}\n"));
        let admitted = team.admit(&team.certificate("ca", arguments));
        admitted.map(|admitted| admitted.standing().restrictions().to_string())
    };
    for (options, arguments, expected) in [
        ("", &[][..], ""),
        ("", &["-O", "no-pty", "-O", "no-x11-forwarding"], "no-X11-forwarding,no-pty"),
        ("", &["-O", "clear"], "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-pty,no-user-rc"),
        // What the line allows again, the certificate still does not.
        (",restrict,pty", &["-O", "no-pty"], "restrict,pty,no-pty"),
        ("", &["-O", "force-command=say \"hi\""], r#"command="say \"hi\"""#),
        (",no-pty,command=\"a\"", &["-O", "force-command=a"], r#"no-pty,command="a""#),
    ] {
        assert_eq!(restrictions(options, arguments).expect("admitted"), expected, "{options} {arguments:?}");
    }
    for (options, arguments, why) in [
        (",command=\"a\"", &["-O", "force-command=b"][..], "its forced command is not that"),
        (",principals=\"ops\"", &["-n", "alice"], "none of the principals"),
        (",expiry-time=\"20200101\"", &[], "admission of its authority has expired"),
    ] {
        let refusal = restrictions(options, arguments).expect_err("refused");
        assert!(refusal.sentence.contains(why), "{refusal}");
    }
}

#[test]
fn of_several_lines_of_an_authority_the_first_counts_that_takes_a_certificate() {
    let team = Team::new(|team| {
        let ca = team.public("ca");
        format!(
            "cert-authority,principals=\"ops\",login=\"root\" {ca}\ncert-authority,principals=\"dev\",no-pty {ca}\n"
        )
    });
    let standing = |principals| {
        let certificate = team.certificate("ca", &["-n", principals]);
        let standing = team.admit(&certificate).expect("admitted").standing();
        (standing.logins().join(","), standing.restrictions().to_string())
    };
    assert_eq!(standing("dev,ops"), ("root".to_owned(), String::new()));
    assert_eq!(standing("dev"), (String::new(), "no-pty".to_owned()));
    team.is_refused(&team.certificate("ca", &["-n", "sales"]), "none of the principals");
}

#[test]
fn who_is_revoked_stays_out_by_key_serial_id_or_authority() {
    let team = Team::new(of_team);
    let certificate = team.certificate("ca", &["-z", "7"]);
    let standing = team.admit(&certificate).expect("admitted").standing();
    let revoked = team.folder.path().join("revoked_peers");
    fs::write(team.folder.path().join("by_serial"), "serial: 7\n").expect("written");
    fs::write(team.folder.path().join("by_id"), "id: me@laptop\n").expect("written");
    for (file, is_krl) in [("me.pub", false), ("ca.pub", false), ("by_serial", true), ("by_id", true)] {
        match is_krl {
            true => team.keygen(&["-k", "-f", "revoked_peers", "-s", "ca.pub", file]),
            false => _ = fs::copy(team.folder.path().join(file), &revoked).expect("copied"),
        }
        let refusal = team.admit(&certificate).expect_err("refused");
        let why = if file == "me.pub" { "taken back your admission" } else { "it is revoked" };
        assert!(refusal.sentence.contains(why), "{file}: {refusal}");
        assert!(team.admission.roll_call()(&standing).is_err(), "{file}");
        fs::remove_file(&revoked).expect("removed");
        assert!(team.admission.roll_call()(&standing).is_ok(), "{file}");
    }
    // Another serial number is another certificate.
    team.keygen(&["-k", "-f", "revoked_peers", "-s", "ca.pub", "by_serial"]);
    team.admit(&team.certificate("ca", &["-z", "8", "-I", "other"])).expect("admitted");
    // A line does as well.
    fs::remove_file(&revoked).expect("removed");
    let ca = Authority::parse(&format!("cert-authority {}", team.public("ca")), &jiff::tz::TimeZone::UTC);
    team.list(&format!("{}revoked {}\n", of_team(&team), ca.expect("an authority").fingerprint()));
    team.is_refused(&certificate, "it is revoked");
}

#[test]
fn while_the_list_of_revoked_keys_makes_no_sense_nobody_new_comes_in_and_nobody_is_thrown_out() {
    let team = Team::new(of_team);
    let certificate = team.certificate("ca", &[]);
    let standing = team.admit(&certificate).expect("admitted").standing();
    team.admission.set_revoked_keys(Some(team.folder.path().join("not_there")));
    assert_eq!(team.admit(&certificate).expect_err("refused").code, RefusalCode::Internal);
    assert!(team.admission.roll_call()(&standing).is_ok());
    team.admission.set_revoked_keys(None);
    team.admit(&certificate).expect("admitted");
}

#[test]
fn a_list_of_revoked_keys_that_is_not_understood_keeps_all_out_who_are_new_and_is_told_of() {
    let team = Team::new(of_team);
    let certificate = team.certificate("ca", &["-z", "7"]);
    let path = |name: &str| team.folder.path().join(name);
    fs::write(path("by_sha1"), format!("sha1: {}\n", team.public("me"))).expect("written");
    fs::write(path("by_serial"), "serial: 7\n").expect("written");
    team.keygen(&["-k", "-f", "whole", "-s", "ca.pub", "by_serial"]);
    let whole = fs::read(path("whole")).expect("a list");
    for (content, why) in [
        (None, "has SHA-1 hashes: make it with sha256:"),
        (Some(&whole[..whole.len() - 1]), "is damaged"),
        (Some(&[&whole[..], &[9, 0, 0, 0, 0]].concat()[..]), "has a section of the unknown kind 9"),
        (Some(b"nonsense"), "is damaged"),
    ] {
        let _ = fs::remove_file(path("revoked_peers"));
        match content {
            Some(content) => fs::write(path("revoked_peers"), content).expect("written"),
            None => team.keygen(&["-k", "-f", "revoked_peers", "by_sha1"]),
        }
        assert_eq!(team.admit(&certificate).expect_err("refused").code, RefusalCode::Internal, "{why}");
        let problem = team.admission.problem().expect("a problem");
        assert!(problem.contains("revoked_peers: ") && problem.contains(why), "{problem}");
    }
    fs::remove_file(path("revoked_peers")).expect("removed");
    assert_eq!(team.admission.problem(), None);
    team.admit(&certificate).expect("admitted");
}

#[test]
fn a_line_of_ones_own_goes_before_a_certificate() {
    let team = Team::new(of_team);
    let certificate = team.certificate("ca", &["-n", "alice"]);
    let standing = team.admit(&certificate).expect("admitted").standing();
    team.list(&format!("{}restrict {} mine\n", of_team(&team), team.public("me")));
    let own = team.admit(&certificate).expect("admitted").standing();
    assert_eq!((own.peer.name.as_str(), own.logins().len()), ("mine", 0));
    // Who came in by the certificate has other terms now.
    assert!(team.admission.roll_call()(&standing).is_err());
    // One that has expired leaves it to the certificate, and one that is not understood keeps out.
    team.list(&format!("{}expiry-time=\"20200101\" {} mine\n", of_team(&team), team.public("me")));
    assert_eq!(team.admit(&certificate).expect("admitted").standing().logins(), ["alice"]);
    team.list(&format!("{}frobnicate {} mine\n", of_team(&team), team.public("me")));
    team.is_refused(&certificate, "a line for you that it does not understand");
}

#[test]
fn an_authority_that_goes_takes_along_whom_it_has_let_in() {
    let team = Team::new(of_team);
    let standing = team.admit(&team.certificate("ca", &["-n", "alice"])).expect("admitted").standing();
    assert!(team.admission.roll_call()(&standing).is_ok());
    team.list(&format!("cert-authority {} team\n", team.public("ca")));
    let changed = team.admission.roll_call()(&standing).expect_err("changed").to_string();
    assert_eq!(changed, "what it may do has changed");
    team.list("");
    let gone = team.admission.roll_call()(&standing).expect_err("gone").to_string();
    assert_eq!(gone, "no longer admitted");
}

#[test]
fn a_certificate_for_some_addresses_is_refused_wherever_its_holder_is() {
    let team = Team::new(of_team);
    for networks in ["127.0.0.0/8,::1/128", "0.0.0.0/0,::/0"] {
        let limit = format!("source-address={networks}");
        team.is_refused(&team.certificate("ca", &["-O", &limit]), "it is for some source addresses alone");
    }
}

#[test]
fn a_certificate_without_principals_is_nobodys_login_and_none_that_a_line_wants() {
    let team = Team::new(of_team);
    let nameless = team.certificate("ca", &[]);
    assert!(team.admit(&nameless).expect("it may reach ssh").standing().logins().is_empty());
    for options in [",principals=\"ops\"", ",login,principals=\"ops\"", ",principals=\"\""] {
        team.list(&format!("cert-authority{options} {}\n", team.public("ca")));
        team.is_refused(&nameless, "it names none of the principals");
    }
}

#[test]
fn a_certificate_begins_and_ends_with_a_second() {
    let team = Team::new(of_team);
    let read = |arguments| UserCertificate::read(&team.certificate("ca", arguments)).expect("read");
    let day = read(&["-V", "20400101000000Z:20400102000000Z"]);
    let is_valid = |text: &str| day.is_valid(text.parse().expect("a time"));
    assert!(matches!(is_valid("1969-12-31T23:59:59Z"), Err(Objection::Early(_))));
    assert!(matches!(is_valid("2039-12-31T23:59:59.999Z"), Err(Objection::Early(_))));
    assert_eq!(is_valid("2040-01-01T00:00:00Z"), Ok(()));
    assert_eq!(is_valid("2040-01-01T23:59:59.999Z"), Ok(()));
    assert!(matches!(is_valid("2040-01-02T00:00:00Z"), Err(Objection::Expired(_))));
    let always = read(&[]);
    assert_eq!((always.ends(), always.is_valid(Timestamp::MAX)), (None, Ok(())));
}

#[test]
fn where_everybody_may_come_in_a_certificate_gives_more_and_a_bad_one_takes_nothing() {
    let team = Team::with_access(Access::Open, of_team);
    let admitted = team.admit(&team.certificate("ca", &["-n", "alice"])).expect("admitted");
    assert!(admitted.listed);
    let late = team.admit(&team.certificate("ca", &["-V", "20200101Z:20200102Z"])).expect("admitted");
    assert!(!late.listed && late.standing().logins().is_empty());
}

#[test]
fn what_is_handed_over_is_read_again() {
    let team = Team::new(of_team);
    let admitted = team.admit(&team.certificate("ca", &["-n", "alice", "-O", "no-pty"])).expect("admitted");
    let certified = admitted.standing().certified.expect("a certificate");
    let again = UserCertificate::from_openssh(&certified.certificate.openssh()).expect("read");
    assert_eq!(again.certificate(), certified.certificate.certificate());
}
