use super::*;
use crate::host::invites::Terms;

struct Place {
    _folder: tempfile::TempDir,
    admission: Admission,
}

fn place(access: Access) -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name| folder.path().join(name);
    let key = AddressKey::load_or_create(&path("key")).expect("a key");
    let admission = Admission::new(path("peers"), path("invites"), key, access);
    Place { _folder: folder, admission }
}

fn identity(seed: u8) -> Identity {
    Identity::ed25519(*iroh::SecretKey::from_bytes(&[seed; 32]).public().as_bytes())
}

#[test]
fn a_stranger_is_told_what_to_ask_for() {
    let place = place(Access::Invited);
    let refusal = place.admission.admit(identity(1), None).expect_err("refused");
    assert_eq!(refusal.code, RefusalCode::NotAdmitted);
    assert!(refusal.sentence.contains("irosh peers allow 'ssh-ed25519 "), "{refusal}");
}

#[test]
fn open_access_lets_anybody_reach_ssh() {
    let place = place(Access::Open);
    place.admission.admit(identity(1), None).expect("admitted");
}

#[test]
fn an_invite_admits_for_good_and_is_used_once() {
    let place = place(Access::Invited);
    let secret = InviteSecret::generate();
    invites::issue(&place.admission.invites, &secret, &Terms::default(), Timestamp::now()).expect("issued");
    assert!(place.admission.admit(identity(1), Some(&secret)).expect("admitted").invite.is_some());
    assert!(place.admission.admit(identity(1), None).expect("admitted").invite.is_none());
    place.admission.admit(identity(1), Some(&secret)).expect("whatever invite it shows");
    peer_edits::revoke(&place.admission.peers, &identity(1).fingerprint(), false).expect("revoked");
    let revoked = place.admission.admit(identity(1), Some(&secret)).expect_err("refused");
    assert!(revoked.sentence.contains("taken back"), "{revoked}");
    let late = place.admission.admit(identity(2), Some(&secret)).expect_err("refused");
    assert_eq!(late.code, RefusalCode::InviteUsed);
}

/// An invite of these terms.
fn issue(place: &Place, terms: &Terms) -> InviteSecret {
    let secret = InviteSecret::generate();
    invites::issue(&place.admission.invites, &secret, terms, Timestamp::now()).expect("issued");
    secret
}

fn write_list(place: &Place, options: &str, seed: u8) {
    let text = format!("{options} {} one\n", identity(seed).openssh());
    std::fs::write(&place.admission.peers, text).expect("written");
}

fn list(place: &Place) -> String {
    std::fs::read_to_string(&place.admission.peers).expect("a list")
}

#[test]
fn an_invite_counts_where_strangers_may_come_in_too() {
    let place = place(Access::Open);
    let terms = Terms { login: Some("bob".to_owned()), ..Terms::default() };
    let secret = issue(&place, &terms);
    let admitted = place.admission.admit(identity(1), Some(&secret)).expect("admitted");
    assert!(admitted.listed && admitted.invite.is_some());
    assert_eq!(admitted.peer.options.login.as_deref(), Some("bob"));
    // An invite that is used up opens no door, and shuts none.
    assert!(!place.admission.admit(identity(2), Some(&secret)).expect("admitted").listed);
}

#[test]
fn who_is_kept_out_stays_out_whatever_the_access_and_whatever_it_shows() {
    for access in [Access::Invited, Access::Open] {
        let place = place(access);
        let secret = issue(&place, &Terms::default());
        write_list(&place, "revoked", 1);
        for shown in [None, Some(&secret)] {
            let refusal = place.admission.admit(identity(1), shown).expect_err("refused");
            assert_eq!(refusal.code, RefusalCode::NotAdmitted);
            assert!(refusal.sentence.contains("taken back your admission"), "{refusal}");
        }
        place.admission.admit(identity(2), Some(&secret)).expect("the invite is still good");
    }
}

#[test]
fn an_invite_keeps_the_restrictions_that_its_guest_has() {
    let place = place(Access::Invited);
    write_list(
        &place,
        "expiry-time=\"20200101\",backend=\"exec:/bin/x\",login=\"eve\",no-pty,command=\"x\"",
        1,
    );
    let terms = Terms { login: Some("bob".to_owned()), ..Terms::default() };
    place.admission.admit(identity(1), Some(&issue(&place, &terms))).expect("admitted");
    let line = list(&place);
    assert!(line.starts_with("backend=\"exec:/bin/x\",login=\"bob\",no-pty,command=\"x\" "), "{line}");
    assert!(line.ends_with(" one\n"), "{line}");
    // One that says something else is for its owner to sort out, and not used.
    write_list(&place, "expiry-time=\"20200101\",no-pty", 1);
    let restrictions = "command=\"y\"".to_owned().try_into().expect("options");
    let secret = issue(&place, &Terms { restrictions, ..Terms::default() });
    let refusal = place.admission.admit(identity(1), Some(&secret)).expect_err("refused");
    assert!(refusal.sentence.contains("restrict you in different ways"), "{refusal}");
    place.admission.admit(identity(2), Some(&secret)).expect("admitted");
    assert!(list(&place).contains("command=\"y\" "), "{}", list(&place));
}

#[test]
fn an_invite_stays_used_when_the_list_cannot_be_written_and_its_guest_may_come_back() {
    let place = place(Access::Invited);
    let secret = issue(&place, &Terms::default());
    let in_the_way = place.admission.peers.with_file_name("peers.lock");
    std::fs::create_dir(&in_the_way).expect("something in the way");
    let refusal = place.admission.admit(identity(1), Some(&secret)).expect_err("refused");
    assert_eq!(refusal.code, RefusalCode::Internal);
    std::fs::remove_dir(&in_the_way).expect("away again");
    let late = place.admission.admit(identity(2), Some(&secret)).expect_err("refused");
    assert_eq!(late.code, RefusalCode::InviteUsed);
    place.admission.admit(identity(1), Some(&secret)).expect("admitted");
    // That was it: who is revoked does not come back.
    peer_edits::revoke(&place.admission.peers, &identity(1).fingerprint(), false).expect("revoked");
    let revoked = place.admission.admit(identity(1), Some(&secret)).expect_err("refused");
    assert_eq!(revoked.code, RefusalCode::InviteUsed);
}

#[test]
fn nobody_is_admitted_when_the_use_of_an_invite_cannot_be_written() {
    let place = place(Access::Invited);
    let secret = issue(&place, &Terms::default());
    // Issuing it has left its lock.
    let in_the_way = place.admission.invites.with_file_name("invites.lock");
    std::fs::remove_file(&in_the_way).expect("away");
    std::fs::create_dir(&in_the_way).expect("something in the way");
    let refusal = place.admission.admit(identity(1), Some(&secret)).expect_err("refused");
    assert_eq!(refusal.code, RefusalCode::Internal);
    assert!(!place.admission.peers.exists());
}

#[test]
fn two_connections_of_one_newcomer_are_both_admitted_by_one_invite() {
    let place = place(Access::Invited);
    let secret = InviteSecret::generate();
    invites::issue(&place.admission.invites, &secret, &Terms::default(), Timestamp::now()).expect("issued");
    std::thread::scope(|scope| {
        let admit = || place.admission.admit(identity(1), Some(&secret)).expect("admitted");
        let both = [scope.spawn(admit), scope.spawn(admit)];
        let used = both.into_iter().filter_map(|one| one.join().expect("no panic").invite).count();
        assert_eq!(used, 1);
    });
}

#[test]
fn while_the_list_cannot_be_read_nobody_comes_in_and_those_leave_whose_time_comes() {
    let place = place(Access::Open);
    let soon = Timestamp::now() + std::time::Duration::from_secs(2);
    let (staying, leaving) = (identity(1), identity(2));
    let lines = format!(
        "{} one\nexpiry-time=\"{}\" {} two\n",
        staying.openssh(),
        soon.strftime("%Y%m%d%H%M%SZ"),
        leaving.openssh()
    );
    std::fs::write(&place.admission.peers, lines).expect("written");
    let standings =
        [staying, leaving].map(|one| place.admission.admit(one, None).expect("admitted").standing());
    std::fs::remove_file(&place.admission.peers).expect("away");
    std::fs::create_dir(&place.admission.peers).expect("something in the way");
    let refusal = place.admission.admit(staying, None).expect_err("refused");
    assert_eq!(refusal.code, RefusalCode::Internal);
    assert!(place.admission.look_up_again(&standings[0]).is_err());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while place.admission.roll_call()(&standings[1]).is_ok() {
        assert!(std::time::Instant::now() < until, "it stays for ever");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(place.admission.roll_call()(&standings[0]), Ok(()));
}
