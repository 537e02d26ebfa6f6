use proptest::prelude::*;

use super::*;
use crate::host::peer::PeerOptions;

fn identity(seed: u8) -> Identity {
    Identity::ed25519(*iroh::SecretKey::from_bytes(&[seed; 32]).public().as_bytes())
}

fn parse(text: &str) -> AuthorizedPeers {
    AuthorizedPeers::parse(text, &TimeZone::UTC)
}

#[test]
fn lines_are_read_as_sshd_reads_them() {
    let key = identity(1).openssh();
    let text = format!(
        "# a comment\n\n{key} one\n  \tno-resume,backend=\"exec:/bin/a, b\" {key}\tname with # in it\nLOGIN=\"a\\\"b\" {key}\n"
    );
    let read = parse(&text);
    assert_eq!(read.refused, []);
    let [one, two, three] = &read.peers[..] else { panic!("{read:?}") };
    assert_eq!((one.name.as_str(), &one.options), ("one", &PeerOptions::default()));
    assert_eq!(two.name, "name with # in it");
    assert_eq!(two.options.backend.as_deref(), Some("exec:/bin/a, b"));
    assert!(two.options.no_resume);
    assert_eq!(three.options.login.as_deref(), Some("a\"b"));
}

#[test]
fn an_unknown_option_refuses_its_line_alone_and_is_named() {
    let text = format!(
        "{}\nfrobnicate {}\n{}\n",
        identity(1).openssh(),
        identity(2).openssh(),
        identity(3).openssh()
    );
    let read = parse(&text);
    assert!(read.find(&identity(1)).is_some() && read.find(&identity(3)).is_some());
    assert_eq!(read.find(&identity(2)), None);
    assert_eq!(read.refused[0].to_string(), "line 2: unknown option `frobnicate`");
}

#[test]
fn bad_lines_say_why() {
    let key = identity(1).openssh();
    for (line, reason) in [
        ("ssh-ed25519 AAAA", "the key is damaged"),
        ("ssh-rsa AAAA x", "no ssh-ed25519 key found"),
        ("no-resume ssh-rsa AAAA x", "a key of type ssh-rsa"),
        ("hello world", "no ssh-ed25519 key found"),
        (&format!("login=\"x {key}"), "a quote is not closed"),
        (&format!("login {key}"), "option login needs a value"),
        (&format!("no-resume=yes {key}"), "unknown option `no-resume`"),
        (&format!("expiry-time=\"2026\" {key}"), "is not a time"),
        (&format!("expiry-time=\"20261341\" {key}"), "is not a time"),
    ] {
        let read = parse(line);
        assert!(read.peers.is_empty(), "{line}");
        assert!(read.refused[0].reason.contains(reason), "{line}: {}", read.refused[0]);
    }
}

#[test]
fn expiry_time_is_local_unless_it_ends_in_z() {
    let key = identity(1).openssh();
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let time = |text: &str| {
        let read = AuthorizedPeers::parse(&format!("expiry-time=\"{text}\" {key}"), &zone);
        read.peers[0].options.expiry_time.expect("a time").to_string()
    };
    assert_eq!(time("20260102Z"), "2026-01-02T00:00:00Z");
    assert_eq!(time("20260102"), "2026-01-01T22:00:00Z");
    assert_eq!(time("202601021530"), "2026-01-02T13:30:00Z");
    assert_eq!(time("20260102153012Z"), "2026-01-02T15:30:12Z");
}

#[test]
fn a_line_that_keeps_out_counts_before_those_that_admit() {
    let key = identity(1).openssh();
    for revoked in
        [format!("revoked,login=\"bob\" {key} x"), format!("Revoked {} x", identity(1).fingerprint())]
    {
        let read = parse(&format!("{key} one\n{revoked}\n{} two\n", identity(2).openssh()));
        assert_eq!(read.refused, []);
        assert!(read.keeps_out(&identity(1)) && read.find(&identity(1)).is_none(), "{revoked}");
        assert_eq!((read.revoked[0].name.as_str(), read.peers.len()), ("x", 2));
        assert!(read.find(&identity(2)).is_some() && !read.keeps_out(&identity(2)));
    }
}

#[test]
fn a_fingerprint_admits_nobody() {
    let fingerprint = identity(1).fingerprint();
    for options in ["", "login=\"bob\" ", "revoked,no-pty "] {
        let read = parse(&format!("{options}{fingerprint} x"));
        assert!(read.peers.is_empty() && read.revoked.is_empty());
        assert!(read.refused[0].reason.contains("a fingerprint admits nobody"), "{}", read.refused[0]);
    }
}

#[test]
fn options_of_authorized_keys_restrict_a_peer() {
    let text = format!("login=\"bob\",restrict,Command=\"a \\\"b\\\"\" {} phone", identity(1).openssh());
    let read = parse(&text);
    assert_eq!(read.refused, []);
    let options = &read.peers[0].options;
    assert_eq!(options.restrictions.to_string(), "restrict,Command=\"a \\\"b\\\"\"");
    assert_eq!(parse(&read.peers[0].line()).peers, read.peers);
}

proptest! {
    #[test]
    fn nothing_panics_and_a_line_reads_as_it_was_written(text in ".{0,120}", seed: u8, name in "[a-z @]{0,10}", login in "[^\\\\\\p{Cc}]{1,20}") {
        let _ = parse(&text);
        let _ = parse(&format!("{text} {} {name}", identity(seed).openssh()));
        let options = PeerOptions { login: Some(login), ..PeerOptions::default() };
        let peer = Peer { identity: identity(seed), name: name.trim().to_owned(), options };
        let line = peer.line();
        prop_assert_eq!(parse(&line).peers, vec![peer]);
    }
}
