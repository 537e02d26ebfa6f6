use proptest::prelude::*;

use super::*;

/// Made by ssh-keygen 9.2: `ca` has signed u0 to u3 with serials 0, 10, 20, 30 and key ids `id N`.
const CERTIFICATES: [&str; 4] = [
    include_str!("testdata/u0-cert.pub"),
    include_str!("testdata/u1-cert.pub"),
    include_str!("testdata/u2-cert.pub"),
    include_str!("testdata/u3-cert.pub"),
];
const KEYS: [&str; 2] = [include_str!("testdata/u1.pub"), include_str!("testdata/u2.pub")];
const CERT_KRL: &[u8] = include_bytes!("testdata/cert.krl");

/// Which of the four certificates, then which of the keys of u1 and u2.
fn revoked(file: &[u8]) -> ([bool; 4], [bool; 2]) {
    let revoked = RevokedKeys::parse(file).expect("a list");
    let certificate = |text| Certificate::from_openssh(text).expect("a certificate");
    let key = |text| PublicKey::from_openssh(text).expect("a key");
    (
        CERTIFICATES.map(|text| revoked.revokes_certificate(&certificate(text))),
        KEYS.map(|text| revoked.revokes(key(text).key_data())),
    )
}

/// As `ssh-keygen -Q` says of the same files.
#[test]
fn lists_revoke_what_ssh_keygen_says_they_do() {
    for (name, file, certificates, keys) in [
        ("empty", &include_bytes!("testdata/empty.krl")[..], [0, 0, 0, 0], [0, 0]),
        ("a key", include_bytes!("testdata/key.krl"), [0, 1, 0, 0], [1, 0]),
        ("a certificate", CERT_KRL, [0, 1, 0, 0], [0, 0]),
        ("an authority", include_bytes!("testdata/ca.krl"), [1, 1, 1, 1], [0, 0]),
        ("serials and a range", include_bytes!("testdata/serial.krl"), [0, 1, 1, 0], [0, 0]),
        ("a bitmap of serials", include_bytes!("testdata/bitmap.krl"), [0, 1, 1, 0], [0, 0]),
        ("a key id", include_bytes!("testdata/id.krl"), [0, 0, 0, 1], [0, 0]),
        ("a hash", include_bytes!("testdata/sha256.krl"), [0, 1, 0, 0], [1, 0]),
    ] {
        assert_eq!(revoked(file), (certificates.map(|one| one == 1), keys.map(|one| one == 1)), "{name}");
    }
}

#[test]
fn text_is_a_list_of_keys() {
    let revoked_by = |text: &str| revoked(text.as_bytes());
    assert_eq!(revoked_by(""), ([false; 4], [false; 2]));
    let text = format!("# {}\n\n  {}", KEYS[1], KEYS[0]);
    assert_eq!(revoked_by(&text), ([false, true, false, false], [true, false]));
    let latin = [KEYS[0].trim().as_bytes(), b" Jos\xe9\n"].concat();
    assert_eq!(revoked(&latin).1, [true, false]);
    assert_eq!(revoked_by(CERTIFICATES[1]), ([false, true, false, false], [true, false]));
    assert_eq!(revoked_by(include_str!("testdata/ca.pub")).0, [true; 4]);
}

#[test]
fn a_line_with_options_or_with_a_certificate_lists_no_key() {
    let [key, other] = KEYS.map(|text| PublicKey::from_openssh(text).expect("a key"));
    let listed = |file: String| lists(file.as_bytes(), key.key_data());
    let text = KEYS[0].trim();
    assert!(listed(format!("# trusted\n\n  {text} and a comment\n")));
    assert!(listed(format!("nonsense\n{text}")), "what follows a line that is no key counts");
    for none in [format!("cert-authority {text}"), format!("#{text}"), CERTIFICATES[1].to_owned()] {
        assert!(!listed(none.clone()), "{none}");
    }
    assert!(!lists(text.as_bytes(), other.key_data()));
}

#[test]
fn a_list_that_is_not_understood_is_an_error() {
    let text = format!("{}\nnot a key\n", KEYS[0]);
    assert_eq!(RevokedKeys::parse(text.as_bytes()), Err(KrlError::Damaged));
    assert_eq!(RevokedKeys::parse(include_bytes!("testdata/sha1.krl")), Err(KrlError::Sha1));
    for length in MAGIC.len()..CERT_KRL.len() {
        // It may end where a section ends, and nowhere else.
        let whole = length == include_bytes!("testdata/empty.krl").len();
        assert_eq!(RevokedKeys::parse(&CERT_KRL[..length]).is_ok(), whole, "{length}");
    }
    let mut later = CERT_KRL.to_vec();
    later[11] = 2;
    assert_eq!(RevokedKeys::parse(&later), Err(KrlError::Version(2)));
}

proptest! {
    #[test]
    fn no_file_panics(mut file in proptest::collection::vec(any::<u8>(), 0..100), at in 0..121_usize, byte: u8) {
        let _ = RevokedKeys::parse(&file);
        file.splice(..0, MAGIC.iter().copied());
        let _ = RevokedKeys::parse(&file);
        let mut file = CERT_KRL.to_vec();
        file[at] = byte;
        let certificate = Certificate::from_openssh(CERTIFICATES[1]).expect("a certificate");
        let _ = RevokedKeys::parse(&file).map(|revoked| revoked.revokes_certificate(&certificate));
    }
}
