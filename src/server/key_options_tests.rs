use proptest::prelude::*;

use super::*;

fn parse(list: &str) -> KeyOptions {
    KeyOptions::parse(list, &TimeZone::UTC).expect(list)
}

fn refused(list: &str) -> String {
    KeyOptions::parse(list, &TimeZone::UTC).expect_err(list).to_string()
}

fn permits(options: &KeyOptions) -> [bool; 5] {
    let KeyOptions { port_forwarding, agent_forwarding, x11_forwarding, pty, user_rc, .. } = *options;
    [port_forwarding, agent_forwarding, x11_forwarding, pty, user_rc]
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn certificate(critical: &[(&str, &str)], extensions: &[&str]) -> Result<KeyOptions, CertificateError> {
    let extensions: Vec<_> = extensions.iter().map(|&name| (name, "")).collect();
    KeyOptions::from_maps(&map(critical), &map(&extensions))
}

#[test]
fn a_line_without_options_permits_all() {
    assert_eq!(parse(""), KeyOptions::unrestricted());
    assert_eq!(permits(&parse("")), [true; 5]);
}

#[test]
fn flags_count_in_their_order() {
    for (list, expected) in [
        ("restrict", [false; 5]),
        ("restrict,pty", [false, false, false, true, false]),
        ("pty,restrict", [false; 5]),
        ("no-pty,pty", [true; 5]),
        ("restrict,port-forwarding,no-port-forwarding,agent-forwarding", [false, true, false, false, false]),
        ("NO-X11-Forwarding,no-user-RC", [true, true, false, true, false]),
        (",,no-pty,", [true, true, true, false, true]),
    ] {
        assert_eq!(permits(&parse(list)), expected, "{list}");
    }
    assert!(parse("Cert-Authority").cert_authority);
}

#[test]
fn security_key_flags_are_read() {
    assert!(parse("no-touch-required").no_touch_required);
    assert!(!parse("no-touch-required,touch-required").no_touch_required);
    assert!(
        parse("verify-required").verify_required
            && !parse("verify-required,no-verify-required").verify_required
    );
}

#[test]
fn values_are_read() {
    let options = parse(
        r#"command="echo \"a, b\"",environment="A=1",environment="A=2",environment="B=x=y",permitopen="h:1",permitopen="[::1]:*",permitlisten="80",permitlisten="a:*",tunnel="ANY",from="10.0.0.0/8,!10.1.1.1",expiry-time="20300101Z",expiry-time="20290101Z""#,
    );
    assert_eq!(options.command.as_deref(), Some("echo \"a, b\""));
    assert_eq!(options.environment, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x=y".to_owned())]);
    let places = |places: &[HostPort]| places.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(places(&options.permit_open), ["h:1", "[::1]:*"]);
    assert_eq!(places(&options.permit_listen), ["*:80", "a:*"]);
    assert_eq!(options.tunnel, Some(Tunnel::Any));
    assert_eq!(options.expiry_time.map(|time| time.to_string()).as_deref(), Some("2029-01-01T00:00:00Z"));
    assert_eq!(parse("tunnel=\"7\"").tunnel, Some(Tunnel::Unit(7)));
}

#[test]
fn bad_options_say_why() {
    for (list, reason) in [
        ("frobnicate", "unknown option `frobnicate`"),
        ("pty,blah=\"x\"", "unknown option `blah`"),
        ("ptyx", "unknown option `ptyx`"),
        ("pty=\"yes\"", "unknown option `pty`"),
        ("no-restrict", "unknown option `no-restrict`"),
        ("no-cert-authority", "unknown option `no-cert-authority`"),
        ("command", "option command needs a value in quotes"),
        ("command=true", "option command needs a value in quotes"),
        ("command=\"a\",command=\"a\"", "more than one option command"),
        ("from=\"a\",from=\"b\"", "more than one option from"),
        ("principals=\"a\",principals=\"b\"", "more than one option principals"),
        ("command=\"a\"b", "something after its closing quote"),
        ("command=\"a", "a quote is not closed"),
        ("from=\"10.0.0.1/8\"", "is not a network"),
        ("from=\"\"", "has an empty member"),
        ("expiry-time=\"INVALID\"", "`INVALID` is not a time"),
        ("expiry-time=\"19700101Z\"", "is not a time"),
        ("environment=\"A\"", "`A` is not NAME=value"),
        ("environment=\"=x\"", "is not NAME=value"),
        ("environment=\"A-B=x\"", "is not NAME=value"),
        ("permitopen=\"22\"", "is not HOST:PORT"),
        ("permitlisten=\"0\"", "is not HOST:PORT"),
        ("tunnel=\"x\"", "is not a tun device"),
        ("tunnel=\"2147483646\"", "is not a tun device"),
    ] {
        let error = refused(list);
        assert!(error.contains(reason), "{list}: {error}");
    }
}

#[test]
fn too_many_are_refused() {
    let many = |option: &str, count| vec![option; count].join(",");
    assert!(refused(&many("permitopen=\"h:1\"", 4098)).contains("too many options permitopen"));
    assert_eq!(parse(&many("permitopen=\"h:1\"", 4097)).permit_open.len(), 4097);
    let variables: Vec<_> = (0..1026).map(|index| format!("environment=\"V{index}=\"")).collect();
    assert!(refused(&variables.join(",")).contains("too many options environment"));
}

#[test]
fn a_certificate_permits_what_it_names() {
    let read =
        certificate(&[], &["permit-pty", "permit-user-rc", "no-touch-required", "permit-x@example.org"]);
    let read = read.expect("good");
    assert_eq!(permits(&read), [false, false, false, true, true]);
    assert!(read.no_touch_required && !read.verify_required);
    let read = certificate(
        &[("force-command", "true"), ("source-address", "10.0.0.0/8"), ("verify-required", "")],
        &[],
    );
    let read = read.expect("good");
    assert_eq!((read.command.as_deref(), read.verify_required), (Some("true"), true));
    assert!(read.source_address.is_some());
}

#[test]
fn a_certificate_that_is_not_understood_is_refused() {
    let error = |critical: &[(&str, &str)]| certificate(critical, &[]).expect_err("an error");
    assert_eq!(error(&[("permit-pty", "")]), CertificateError::Critical("permit-pty".to_owned()));
    for (name, value) in
        [("force-command", ""), ("force-command", "a\0b"), ("verify-required", "x"), ("source-address", "")]
    {
        assert_eq!(error(&[(name, value)]), CertificateError::Damaged(name.to_owned()));
    }
    assert!(matches!(error(&[("source-address", "*")]), CertificateError::SourceAddress(_)));
    let flag_with_value = KeyOptions::from_maps(&map(&[]), &map(&[("permit-pty", "x")]));
    assert_eq!(flag_with_value, Err(CertificateError::Damaged("permit-pty".to_owned())));
}

#[test]
fn merging_permits_what_both_do_and_demands_what_either_does() {
    let line =
        parse(r#"cert-authority,principals="a",no-pty,environment="A=1",permitopen="h:1",no-touch-required"#);
    let other = certificate(
        &[("force-command", "true"), ("verify-required", "")],
        &["permit-pty", "permit-port-forwarding"],
    );
    let merged = line.merge(&other.expect("good")).expect("together");
    assert_eq!(permits(&merged), [true, false, false, false, false]);
    assert!(merged.verify_required && !merged.no_touch_required && !merged.cert_authority);
    assert_eq!((merged.command.as_deref(), &merged.principals), (Some("true"), &None));
    assert_eq!((merged.environment.len(), merged.permit_open.len()), (1, 1));
}

#[test]
fn forced_commands_must_be_the_same() {
    let with = |command: &str| parse(&format!("command=\"{command}\""));
    assert_eq!(with("a").merge(&with("a")).expect("same").command.as_deref(), Some("a"));
    assert_eq!(with("a").merge(&with("b")), Err(CommandsDiffer));
}

#[test]
fn checking_goes_by_time_place_and_use() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let unknown = Whence { host: Some("UNKNOWN"), address: None };
    let local = Whence { host: Some("localhost"), address: Some(IpAddr::from([127, 0, 0, 1])) };
    let check = |list: &str, whence, certificate| parse(list).check(now, whence, certificate);
    assert_eq!(check("", unknown, false), Ok(()));
    assert_eq!(check("expiry-time=\"19990101\"", local, false), Err(Refusal::Expired));
    assert_eq!(check("expiry-time=\"20380101\"", local, false), Ok(()));
    assert_eq!(check("expiry-time=\"20260101Z\"", local, false), Ok(()));
    assert_eq!(check("principals=\"a\"", local, true), Err(Refusal::PrincipalsWithoutAuthority));
    assert_eq!(check("cert-authority", local, false), Err(Refusal::AuthorityHere));
    assert_eq!(check("cert-authority,principals=\"a\"", local, true), Ok(()));
    for from in ["from=\"127.0.0.1\"", "from=\"127.0.0.0/8\""] {
        assert_eq!(check(from, unknown, false), Err(Refusal::From));
        assert_eq!(check(from, local, false), Ok(()));
    }
    let certificate = certificate(&[("source-address", "10.0.0.0/8")], &[]).expect("good");
    assert_eq!(certificate.check(now, unknown, false), Err(Refusal::SourceAddress));
    assert_eq!(certificate.check(now, local, false), Err(Refusal::SourceAddress));
}

#[test]
fn principals_of_the_option_replace_the_login() {
    let names = |list: &str| parse(list).names_one_of(&["a".to_owned(), "b".to_owned()]);
    assert_eq!(names("cert-authority"), None);
    assert_eq!(names("principals=\"x,b\""), Some(true));
    assert_eq!(names("principals=\"x,*\""), Some(false));
    assert_eq!(names("principals=\"\""), Some(false));
}

proptest! {
    #[test]
    fn no_list_panics(list in r#"(restrict|pty|no-|command=|from=|environment=|permitopen=|tunnel=|expiry-time=|"|,|\\|[a-z0-9:.*/é=]{0,6}){0,12}"#) {
        if let Ok(read) = KeyOptions::parse(&list, &TimeZone::UTC) {
            let _ = read.merge(&KeyOptions::unrestricted());
            let _ = read.check(Timestamp::UNIX_EPOCH, Whence::default(), true);
        }
    }

    #[test]
    fn merging_never_permits_more(one in "(restrict,)?(no-pty,)?(pty,)?(no-user-rc)?", two in "(restrict,)?(pty,)?(no-port-forwarding)?") {
        let (one, two) = (parse(&one), parse(&two));
        let merged = one.merge(&two).expect("no commands");
        for ((merged, one), two) in permits(&merged).into_iter().zip(permits(&one)).zip(permits(&two)) {
            prop_assert_eq!(merged, one && two);
        }
    }
}
