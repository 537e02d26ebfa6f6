use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

/// Shows an invite as the identity of this number; returns the uses that are left.
fn show(path: &Path, secret: &InviteSecret, number: u8, now: Timestamp) -> Result<u32, RefusalCode> {
    let identity = Identity::ed25519([number; 32]);
    let consumed = consume(path, secret, &identity, now, |_| Ok(())).expect("io");
    if consumed.is_ok() {
        settle(path, &[identity.fingerprint()]).expect("settled");
    }
    consumed.map(|invite| invite.uses).map_err(|refusal| refusal.code)
}

struct Issued {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    secret: InviteSecret,
}

fn issued(uses: u32) -> Issued {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("invites.toml");
    let secret = InviteSecret::generate();
    issue(&path, &secret, &Terms { uses, ..Terms::default() }, now()).expect("issued");
    Issued { _folder: folder, path, secret }
}

#[test]
fn an_invite_admits_as_often_as_it_says_and_no_longer_than_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("invites.toml");
    let secret = InviteSecret::generate();
    let terms = Terms { uses: 2, ..Terms::default() };
    issue(&path, &secret, &terms, now()).expect("issued");
    let later = now() + Duration::from_secs(60);
    assert_eq!(show(&path, &secret, 1, later), Ok(1));
    let tomorrow = now() + terms.ttl;
    assert_eq!(show(&path, &secret, 2, tomorrow), Err(RefusalCode::InviteExpired));
    assert_eq!(show(&path, &secret, 1, later), Err(RefusalCode::InviteUsed));
    assert_eq!(show(&path, &secret, 2, later), Ok(0));
    assert_eq!(show(&path, &secret, 3, later), Err(RefusalCode::InviteUsed));
    let wrong = InviteSecret::generate();
    assert_eq!(show(&path, &wrong, 3, later), Err(RefusalCode::InviteUnknown));
}

#[test]
fn the_secret_is_not_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("invites.toml");
    let secret = InviteSecret::generate();
    issue(&path, &secret, &Terms::default(), now()).expect("issued");
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(!text.contains(&hex::encode(secret.0)));
}

#[test]
fn of_many_who_show_one_invite_at_once_one_is_admitted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("invites.toml");
    let secret = InviteSecret::generate();
    issue(&path, &secret, &Terms::default(), now()).expect("issued");
    let (path, secret) = (&path, &secret);
    let admitted = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|number| scope.spawn(move || show(path, secret, number, now()).is_ok())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .filter(|admitted| *admitted)
            .count()
    });
    assert_eq!(admitted, 1);
}

#[test]
fn a_damaged_file_is_said_to_be_damaged_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("invites.toml");
    std::fs::write(&path, "garbage").expect("write");
    let error = consume(&path, &InviteSecret::generate(), &Identity::ed25519([1; 32]), now(), |_| Ok(()));
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("is damaged"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "garbage");
}

#[test]
fn who_used_an_invite_and_did_not_get_on_the_list_has_it_again_and_nobody_else() {
    let Issued { path, secret, .. } = &issued(1);
    let consume = |number: u8, now| {
        consume(path, secret, &Identity::ed25519([number; 32]), now, |_| Ok(()))
            .expect("io")
            .map_err(|no| no.code)
    };
    assert_eq!(consume(1, now()).expect("consumed").uses, 0);
    assert_eq!(consume(2, now()), Err(RefusalCode::InviteUsed));
    let much_later = now() + Terms::default().ttl;
    assert_eq!(consume(1, much_later).expect("again").uses, 0);
    settle(path, &[Identity::ed25519([1; 32]).fingerprint()]).expect("settled");
    assert_eq!(consume(1, now()), Err(RefusalCode::InviteUsed));
}

#[test]
fn what_has_something_against_an_invite_does_not_use_it() {
    let Issued { path, secret, .. } = &issued(1);
    let no = |_: &OpenInvite| Err(refusal(RefusalCode::InviteUsed, "no"));
    consume(path, secret, &Identity::ed25519([1; 32]), now(), no).expect("io").expect_err("refused");
    assert_eq!(show(path, secret, 2, now()), Ok(0));
}

#[test]
fn invites_can_be_listed_and_taken_back() {
    let Issued { path, secret, .. } = &issued(2);
    let names = || -> Vec<_> {
        let open = open_invites(path, now()).expect("read");
        open.iter().map(|invite| (invite.name().to_owned(), invite.uses)).collect()
    };
    let name = names()[0].0.clone();
    show(path, secret, 1, now()).expect("admitted");
    assert_eq!(names(), [(name.clone(), 1)]);
    assert_eq!(revoke_invites(path, now(), |invite| invite.name() == "x").expect("io"), []);
    assert_eq!(revoke_invites(path, now(), |invite| invite.name() == name).expect("io").len(), 1);
    assert_eq!(names(), []);
    assert_eq!(show(path, secret, 2, now()), Err(RefusalCode::InviteExpired));
    assert!(open_invites(&path.with_extension("none"), now()).expect("no file").is_empty());
}

#[test]
fn an_invite_ends_with_those_whom_it_has_brought() {
    let Issued { path, secret, .. } = &issued(5);
    let one = [Identity::ed25519([1; 32]).fingerprint()];
    assert_eq!(end_invites_of(path, now(), &one).expect("io"), []);
    // Whether it is known to be on the list or not.
    consume(path, secret, &Identity::ed25519([1; 32]), now(), |_| Ok(())).expect("io").expect("consumed");
    assert_eq!(end_invites_of(path, now(), &one).expect("io").len(), 1);
    assert_eq!(show(path, secret, 1, now()), Err(RefusalCode::InviteUsed));
    assert_eq!(show(path, secret, 2, now()), Err(RefusalCode::InviteExpired));
}
