use proptest::prelude::*;
use russh::keys::ssh_key::public::{Ed25519PublicKey, KeyData};

use super::*;

fn key(seed: u8) -> PublicKey {
    PublicKey::from(KeyData::Ed25519(Ed25519PublicKey([seed; 32])))
}

fn text(seed: u8) -> String {
    key(seed).to_openssh().expect("a key")
}

fn parse(file: impl AsRef<[u8]>) -> AuthorizedKeys {
    AuthorizedKeys::parse(file.as_ref(), &TimeZone::UTC)
}

fn refused(line: &str) -> String {
    let read = parse(line);
    assert!(read.entries.is_empty(), "{line}");
    read.refused[0].to_string()
}

/// Made by ssh-keygen, one of each kind.
const KEYS: &str = include_str!("testdata/keys.pub");

#[test]
fn lines_are_read_as_sshd_reads_them() {
    let file = format!(
        "# a comment\n\n{} one\r\n  \tno-pty,command=\"a, b # c\" \t{}\tname with # in it\n \t\n{}",
        text(1),
        text(2),
        text(3)
    );
    let read = parse(file);
    assert_eq!(read.refused, []);
    let [one, two, three] = &read.entries[..] else { panic!("{read:?}") };
    assert_eq!((one.line, one.comment.as_str(), &one.key), (3, "one", &key(1)));
    assert_eq!(one.options, KeyOptions::unrestricted());
    assert_eq!((two.line, two.comment.as_str()), (4, "name with # in it"));
    assert_eq!((two.options.command.as_deref(), two.options.pty), (Some("a, b # c"), false));
    assert_eq!((three.line, three.comment.as_str()), (6, ""));
}

#[test]
fn keys_of_every_type_are_read() {
    let read = parse(KEYS);
    assert_eq!(read.refused, []);
    let types: Vec<_> = read.entries.iter().map(|entry| entry.key.algorithm().as_str().to_owned()).collect();
    let expected = [
        "ssh-dss",
        "ecdsa-sha2-nistp256",
        "ssh-ed25519",
        "ecdsa-sha2-nistp521",
        "ssh-rsa",
        "sk-ssh-ed25519@openssh.com",
    ];
    assert_eq!(types, expected);
}

#[test]
fn a_bad_line_is_refused_alone_and_named() {
    let file = format!("{}\nfrobnicate {}\n{}\n", text(1), text(2), text(3));
    let read = parse(file);
    assert_eq!(read.entries.len(), 2);
    assert_eq!(read.refused[0].to_string(), "line 2: unknown option `frobnicate`");
}

#[test]
fn bad_lines_say_why() {
    let key = text(1);
    for (line, reason) in [
        ("hello world", "no key found"),
        ("ssh-ed25519", "the ssh-ed25519 key is damaged"),
        ("ssh-ed25519 AAAA x", "the ssh-ed25519 key is damaged"),
        ("pty ssh-rsa", "the ssh-rsa key is damaged"),
        (&key.replace("ssh-ed25519", "ssh-rsa"), "the ssh-rsa key is damaged"),
        (&format!("command=\"x {key}"), "a quote is not closed"),
        (&format!("command=x {key}"), "needs a value in quotes"),
        (
            &format!("pty {key}").replace("ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com "),
            "a certificate is not a key",
        ),
    ] {
        let error = refused(line);
        assert!(error.contains(reason), "{line}: {error}");
    }
}

#[test]
fn a_comment_may_hold_any_bytes_and_options_may_not() {
    let mut file = format!("{} ", text(1)).into_bytes();
    file.extend(b"caf\xe9\nenvironment=\"A=\xe9\" ");
    file.extend(text(2).into_bytes());
    let read = parse(file);
    assert_eq!(read.entries[0].comment, "caf\u{fffd}");
    assert_eq!(read.refused, [BadLine { line: 2, reason: LineError::NotText }]);
}

#[test]
fn finding_looks_at_the_lines_of_one_key() {
    let file = format!(
        "{}\nblah {}\ncert-authority {}\nfrom=\"10.0.0.0/8\" {} a\n{} b\nbroken\n",
        text(2),
        text(1),
        text(1),
        text(1),
        text(1)
    );
    let find = |certificate| -> Vec<_> {
        AuthorizedKeys::find(file.as_bytes(), &key(1), certificate, &TimeZone::UTC)
            .map(|found| found.map(|entry| entry.line).map_err(|bad| bad.line))
            .collect()
    };
    assert_eq!(find(false), [Err(2), Ok(4), Ok(5)]);
    assert_eq!(find(true), [Err(2), Ok(3)]);
}

#[test]
fn finding_agrees_with_reading_all() {
    let read = parse(KEYS);
    for entry in &read.entries {
        let found: Vec<_> =
            AuthorizedKeys::find(KEYS.as_bytes(), &entry.key, false, &TimeZone::UTC).collect();
        assert_eq!(found, [Ok(entry.clone())]);
    }
}

#[test]
fn a_key_in_a_comment_or_an_option_admits_nobody() {
    let file = format!("command=\"{0}\" {1} {0}\n# {0}\n", text(1), text(2));
    assert_eq!(AuthorizedKeys::find(file.as_bytes(), &key(1), false, &TimeZone::UTC).count(), 0);
}

#[test]
fn ten_thousand_lines_are_searched_fast() {
    let other = text(9);
    let mut file: String =
        (0..10_000).map(|index| format!("command=\"x {index}\",no-pty {other} c\n")).collect();
    file += &text(1);
    let before = std::time::Instant::now();
    let found: Vec<_> = AuthorizedKeys::find(file.as_bytes(), &key(1), false, &TimeZone::UTC).collect();
    assert!(matches!(&found[..], [Ok(Entry { line: 10_001, .. })]));
    assert!(before.elapsed().as_secs() < 5);
}

#[test]
fn principals_are_read_with_and_without_options() {
    let find = |file: &str, names: &[&str]| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let (found, refused) = Principal::find(file.as_bytes(), &names, &TimeZone::UTC);
        (found.map(|found| (found.line, found.options)), refused.len())
    };
    let plain = KeyOptions::unrestricted;
    assert_eq!(find("\n", &["a"]), (None, 0));
    assert_eq!(find("# a\nb\n  a  \r\n", &["x", "a"]), (Some((3, plain())), 0));
    assert_eq!(find("a # comment\n", &["a"]), (Some((1, plain())), 0));
    assert_eq!(find("blah a\na\n", &["a"]), (Some((2, plain())), 1));
    assert_eq!(find("blah b\na\n", &["a"]), (Some((2, plain())), 0));
    assert_eq!(find("A\na*\n", &["a"]), (None, 0));
    let (found, _) = find("command=\"x y\",no-pty\ta\n", &["a"]);
    assert_eq!(found, None, "the last space, not the last tab, ends the options");
    let (found, _) = find("command=\"x y\",no-pty a\n", &["a"]);
    assert_eq!(found.and_then(|(_, options)| options.command).as_deref(), Some("x y"));
    let (found, _) = find("no-pty\ta\n", &["a"]);
    assert!(found.is_some_and(|(_, options)| !options.pty));
}

proptest! {
    #[test]
    fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), line in "[a-z\" \\\\,=#\t]{0,30}") {
        let mut file = bytes;
        file.extend(format!("\n{line} {} x\n", text(1)).into_bytes());
        let read = parse(&file);
        let found = AuthorizedKeys::find(&file, &key(1), false, &TimeZone::UTC).filter_map(Result::ok).count();
        let all = read.entries.iter().filter(|entry| entry.key == key(1)).count();
        let authorities = read.entries.iter().filter(|entry| entry.options.cert_authority).count();
        prop_assert_eq!(found + authorities, all);
        let _ = Principal::find(&file, &["x".to_owned(), "a".to_owned()], &TimeZone::UTC);
    }
}
