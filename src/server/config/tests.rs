use std::time::Duration;

use proptest::prelude::*;

use super::{
    algorithms::AlgorithmList,
    value::{Forwarding, GatewayPorts, Method, Permitted, RootLogin, UserEnvironment},
    words::split_words,
    *,
};
use crate::server::log_level::LogLevel;

fn read(text: &str) -> Result<SshdConfig, ConfigError> {
    let mut config = SshdConfig::default();
    config.add_file("test", text, &mut |_| Ok(Vec::new())).map(|()| config)
}

fn server(text: &str) -> Config {
    read(text).expect(text).server()
}

fn of_user(text: &str, user: &str) -> Config {
    let connection = Connection { user: Some(user.to_owned()), ..Connection::default() };
    read(text).expect(text).connection(&connection)
}

fn refused(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

const SUPPORTED: &[&str] = &["ssh-ed25519", "rsa-sha2-512"];
const SIGNATURES: Offer = Offer { default: SUPPORTED, besides: &[] };
const OFFERS: Offers = Offers {
    ciphers: Offer { default: &["aes128-ctr"], besides: &[] },
    macs: Offer { default: &["hmac-sha2-256"], besides: &[] },
    kex: Offer { default: &["curve25519-sha256"], besides: &[] },
    host_keys: SIGNATURES,
    user_keys: SIGNATURES,
    ca_signatures: SIGNATURES,
};

#[test]
fn nothing_said_gives_the_defaults() {
    let config = server("");
    assert_eq!(config, Config::default());
    assert_eq!(config.permit_root_login, RootLogin::ProhibitPassword);
    assert_eq!(config.authorized_keys_file, [".ssh/authorized_keys", ".ssh/authorized_keys2"]);
    assert_eq!(config.login_grace_time, Duration::from_secs(120));
}

#[test]
fn keywords_blanks_quotes_equals_signs_and_comments_are_read_as_sshd_does() {
    for text in [
        "Banner /a b",
        "Banner=/a\\ b",
        "  banner\t=  \"/a b\"   ",
        "BANNER '/a b' # comment",
        "\"Banner\" \"/a b\"\r",
        "# x\n\n \t\n\tBanner \"/a b\"\x0c",
    ] {
        let read = read(text).map(|config| config.server().banner);
        let expected = if text == "Banner /a b" { None } else { Some("/a b") };
        assert_eq!(read.ok().flatten().as_deref(), expected, "{text}");
    }
}

#[test]
fn words_are_split_as_argv_split_does() {
    let words = |text| split_words(text, true).map(|words| words.join("|"));
    for (text, expected) in [
        ("a  b\tc", Some("a|b|c")),
        ("a\"b c\"d 'e \"f'", Some("ab cd|e \"f")),
        (r#"a\ b \"c\" \\d \e"#, Some(r#"a b|"c"|\d|\e"#)),
        (r#""a\ b" 'it\'s'"#, Some(r"a\ b|it's")),
        ("a#b #c", Some("a#b")),
        ("'' x", Some("|x")),
        ("\"a", None),
        ("'a\\'", None),
        ("", Some("")),
    ] {
        assert_eq!(words(text).as_deref(), expected, "{text}");
    }
    assert_eq!(split_words("a #b", false).map(|words| words.len()), Some(2));
}

#[test]
fn the_first_value_counts_and_lists_grow() {
    let config = server(
        "PermitTTY no\nPermitTTY yes\nAcceptEnv A B\nAcceptEnv C\nAllowUsers a\nAllowUsers b@10.0.0.0/8\n\
         HostKey /1\nHostKey /2\nSetEnv A=1 A=2 B=x\nSetEnv C=3\nPermitOpen h:1 h:2\nPermitOpen h:3\n\
         AuthorizedKeysFile /x/%u none\nAuthorizedKeysFile /y\nSubsystem sftp /a -x 1\nSubsystem sftp /b\nSubsystem foo /c",
    );
    assert!(!config.permit_tty);
    assert_eq!(config.accept_env, ["A", "B", "C"]);
    assert_eq!(config.allow_users.len(), 2);
    assert_eq!(config.host_key, ["/1", "/2"]);
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(config.set_env, [variable("A", "1"), variable("B", "x")]);
    assert!(config.permit_open.allows_connect("h", 2) && !config.permit_open.allows_connect("h", 3));
    assert_eq!(config.authorized_keys_file, ["/x/%u"]);
    let subsystems: Vec<_> =
        config.subsystem.iter().map(|one| (one.name.as_str(), one.command.as_str())).collect();
    assert_eq!(subsystems, [("sftp", "/a -x 1"), ("foo", "/c")]);
}

#[test]
fn values_of_every_kind_are_read() {
    let config = server(
        "AllowTcpForwarding local\nAllowStreamLocalForwarding ALL\nGatewayPorts ClientSpecified\nPermitRootLogin prohibit-password\n\
         Compression delayed\nMaxStartups 1\nStreamLocalBindMask 0022\nUnusedConnectionTimeout 1m\nPermitUserEnvironment A*,!AB\n\
         PubkeyAuthOptions touch-required verify-required\nRekeyLimit 1G 1h\nChannelTimeout session:*=1 direct-tcpip=2m\n\
         AuthenticationMethods publickey,keyboard-interactive:pam password\nPermitListen 8080 localhost:*\nCiphers +aes128-ctr\n\
         ForceCommand \"a b\" # c\nAuthorizedKeysCommand /bin/x %u \"%k\" '#'\nAuthorizedKeysCommandUser %u\nVersionAddendum a b # c\n\
         AuthorizedPrincipalsFile  %h/p\nChrootDirectory NONE\nClientAliveInterval 1h30m\nMaxSessions 0\nLoginGraceTime 0",
    );
    assert_eq!(
        (config.allow_tcp_forwarding, config.gateway_ports),
        (Forwarding::Local, GatewayPorts::ClientSpecified)
    );
    assert_eq!(config.allow_stream_local_forwarding, Forwarding::Yes);
    assert_eq!((config.compression, config.max_startups.to_string().as_str()), (true, "1:30:1"));
    assert_eq!((config.stream_local_bind_mask, config.max_sessions), (0o022, 0));
    assert_eq!(config.unused_connection_timeout, Some(Duration::from_secs(60)));
    assert!(config.permit_user_environment.permits("AC") && !config.permit_user_environment.permits("AB"));
    assert!(config.pubkey_auth_options.touch_required && config.pubkey_auth_options.verify_required);
    assert_eq!((config.rekey_bytes, config.rekey_interval.as_secs()), (1 << 30, 3600));
    assert_eq!(config.channel_timeout.len(), 2);
    let [first, second] = &config.authentication_methods[..] else { panic!("{config:?}") };
    assert_eq!(
        (first.len(), first[1].device.as_deref(), second[0].method),
        (2, Some("pam"), Method::Password)
    );
    assert!(
        config.permit_listen.allows_listen("anything", 8080)
            && config.permit_listen.allows_listen("localhost", 1)
    );
    assert_eq!(config.ciphers, AlgorithmList::Append("aes128-ctr".to_owned()));
    assert_eq!(config.force_command.as_deref(), Some("\"a b\" # c"));
    assert_eq!(config.authorized_keys_command.as_deref(), Some("/bin/x %u \"%k\" '#'"));
    assert_eq!((config.version_addendum.as_str(), config.chroot_directory), ("a b # c", None));
    assert_eq!(config.client_alive_interval.as_secs(), 5_400);
}

#[test]
fn wrong_values_say_why() {
    for (text, reason) in [
        ("Foo bar", "unknown keyword `Foo`"),
        ("PermitTTY", "PermitTTY needs a value"),
        ("PermitTTY # yes", "PermitTTY: a value is missing"),
        ("PermitTTY \"\"", "PermitTTY: a value is missing"),
        ("PermitTTY maybe", "`maybe` is not yes or no"),
        ("PermitTTY yes no", "`no` is one value too many"),
        ("Banner \"x", "Banner: a quote is not closed"),
        ("\"Banner x", ""),
        ("Ciphers foo", "`foo` is not an algorithm"),
        ("MaxSessions -1", "is not a number"),
        ("MaxSessions 3000000000", "is not a number"),
        ("LoginGraceTime x", "is not a time"),
        ("RekeyLimit 15", "is not a size"),
        ("RekeyLimit 1G 1h x", "one value too many"),
        ("AcceptEnv A=B", "is not a pattern of names"),
        ("SetEnv A", "is not NAME=value"),
        ("PermitOpen h", "is not HOST:PORT"),
        ("PermitOpen any h:1", "is not HOST:PORT"),
        ("AllowUsers bob@10.0.0.1/8", "is not a network"),
        ("AuthenticationMethods publickey any", "must stand alone"),
        ("AuthenticationMethods foo", "`foo` is not none, publickey"),
        ("AuthenticationMethods publickey,", "is not none, publickey"),
        ("AuthorizedKeysFile %k", "has the token %k"),
        ("AuthorizedKeysCommand foo", "is not an absolute path"),
        ("ChannelTimeout none session=1", "is not TYPE=TIME"),
        ("Subsystem sftp", "a value is missing"),
        ("StreamLocalBindMask 8", "octal"),
        ("MaxStartups 0", "START:RATE:FULL"),
        ("HostbasedAuthentication yes", "HostbasedAuthentication is not supported by this server"),
        ("HostKeyAgent /x", "or write none"),
        (
            "Match user a\nPort 22\nCiphers aes128-ctr",
            "test line 3: Ciphers is not allowed within a Match block",
        ),
        ("Match user a\nBanner", "test line 2: Banner needs a value"),
        ("Match foo", "`foo` is not a condition"),
        ("Include", "Include needs a value"),
        ("Include # x", "Include needs a value"),
    ] {
        if reason.is_empty() {
            // sshd passes over a line that it cannot split.
            assert!(read(text).is_ok(), "{text}");
            continue;
        }
        let error = refused(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    assert_eq!(
        refused("\nAlowUsers a"),
        "test line 2: unknown keyword `AlowUsers`: did you mean AllowUsers?"
    );
}

#[test]
fn what_means_nothing_here_is_remembered_and_what_asks_for_nothing_is_accepted() {
    let config = read(
        "Port 22\nListenAddress 127.0.0.1\nUsePrivilegeSeparation sandbox\nHostbasedAuthentication no\nRDomain none",
    );
    let config = config.expect("good");
    let ignored: Vec<_> = config.ignored().collect();
    let expected = [("Port", "22"), ("ListenAddress", "127.0.0.1"), ("UsePrivilegeSeparation", "sandbox")];
    assert_eq!(ignored, expected);
}

#[test]
fn what_is_asked_for_in_vain_is_said() {
    let text = "Compression yes\nPrintLastLog yes\nPermitTunnel point-to-point\nTCPKeepAlive yes\nLogLevel DEBUG\n\
                Match User bob\nPermitTunnel yes\nLogLevel QUIET";
    let config = read(text).expect("good");
    let said: Vec<_> = config.warnings().collect();
    let expected = [
        "Compression yes has no effect: nothing is compressed",
        "PrintLastLog yes has no effect: logins are not kept in lastlog",
        "PermitTunnel point-to-point has no effect: there are no tun devices",
        "TCPKeepAlive yes has no effect: there is no TCP connection: see ClientAliveInterval",
        "PermitTunnel yes has no effect: there are no tun devices",
        "LogLevel QUIET has no effect: what stands outside of Match blocks counts for everybody",
    ];
    assert_eq!(said, expected);
    assert_eq!(config.server().log_level, LogLevel::Debug1);
    let none = read("Compression no\nPrintLastLog no\nPermitTunnel no\nMatch all\nLogLevel INFO");
    assert_eq!(none.expect("good").warnings().count(), 0);
}

#[test]
fn it_is_known_what_a_login_has_to_be_looked_up_for() {
    let groups = |text: &str| read(text).expect(text).speaks_of_groups();
    assert!(!groups("AllowUsers bob\nMatch User bob\nPermitTTY no"));
    assert!(groups("DenyGroups x") && groups("Match Group x\nPermitTTY no"));
    assert!(groups("Match User bob\nAllowGroups x"));
    let addresses = |text: &str| read(text).expect(text).speaks_of_addresses();
    assert!(!addresses("AllowUsers bob\nMatch User bob\nPermitTTY no"));
    assert!(addresses("DenyUsers bob@10.0.0.0/8") && addresses("Match Address *\nPermitTTY no"));
    assert!(addresses("Match User bob\nAllowUsers bob@10.0.0.0/8"));
}

#[test]
fn match_goes_before_the_rest_and_its_first_value_counts() {
    let text = "ForceCommand false\nAcceptEnv G\nMatch User bob\nForceCommand true\nAcceptEnv A\nMatch User b*\n\
                ForceCommand other\nAcceptEnv B\nPermitTTY no\nMatch all\nX11Forwarding yes";
    let bob = of_user(text, "bob");
    assert_eq!(
        (bob.force_command.as_deref(), bob.permit_tty, bob.x11_forwarding),
        (Some("true"), false, true)
    );
    assert_eq!(bob.accept_env, ["A", "B"]);
    let eve = of_user(text, "eve");
    assert_eq!((eve.force_command.as_deref(), eve.permit_tty), (Some("false"), true));
    assert_eq!(eve.accept_env, ["G"]);
    assert_eq!(server(text).force_command.as_deref(), Some("false"));
}

#[test]
fn match_all_overrides_and_takes_keywords_of_the_server() {
    let text = "PubkeyAuthentication no\nMatch all\nPubkeyAuthentication yes\nCiphers aes128-ctr\nBanner /b";
    assert!(of_user(text, "x").pubkey_authentication);
    let before = server(text);
    assert!(!before.pubkey_authentication && before.ciphers != AlgorithmList::Default);
    assert_eq!(before.banner.as_deref(), Some("/b"));
}

#[test]
fn none_in_a_match_clears_what_the_rest_says() {
    let text = "ForceCommand false\nBanner /x\nMatch User bob\nForceCommand none\nBanner none";
    let bob = of_user(text, "bob");
    assert_eq!((bob.force_command, bob.banner), (None, None));
}

#[test]
fn an_algorithm_list_in_a_match_is_applied_to_the_default() {
    let text = "PubkeyAcceptedAlgorithms ssh-dss\nMatch user bob\nPubkeyAcceptedAlgorithms +ssh-ed25519";
    let list = |config: Config| config.pubkey_accepted_algorithms.apply(&["rsa-sha2-512"], SUPPORTED);
    assert_eq!(list(of_user(text, "bob")), ["rsa-sha2-512", "ssh-ed25519"]);
    assert!(list(of_user(text, "eve")).is_empty());
}

/// servcfginclude.sh of OpenSSH's suite.
#[test]
fn included_files_do_not_change_the_match_they_stand_in() {
    let banners = |names: &[&str], letter: usize| -> String {
        names.iter().map(|name| format!("Match host {name}\n\tBanner /{}\n", name.repeat(letter))).collect()
    };
    let all = ["a", "b", "c", "d", "e", "f"];
    let files = [
        "Match host xxxxxx\n".to_owned(),
        banners(&all, 3),
        banners(&all, 4) + "Match all\n\tBanner /xxxx\n",
    ];
    let text = "Match host a\n\tBanner /aa\nMatch host b\n\tBanner /bb\n\tInclude x.* # comment\nMatch host c\n\tInclude x.*\n\
                \tBanner /cc\nMatch host m\n\tInclude x.*\nMatch Host d\n\tBanner /dd # comment\nMatch Host e\n\tBanner /ee\n\
                \tInclude x.*\nMatch Host f\n\tInclude x.*\n\tBanner /ff\nMatch Host n\n\tInclude x.*\n";
    let mut config = SshdConfig::default();
    let include = &mut |_: &str| Ok(files.iter().map(|text| ("x".to_owned(), text.clone())).collect());
    config.add_file("test", text, include).expect("good");
    for (host, banner) in [
        ("a", Some("/aa")),
        ("b", Some("/bb")),
        ("c", Some("/ccc")),
        ("d", Some("/dd")),
        ("e", Some("/ee")),
        ("f", Some("/fff")),
        ("m", Some("/xxxx")),
        ("n", Some("/xxxx")),
        ("x", None),
    ] {
        let connection = Connection { host: Some(host.to_owned()), ..Connection::default() };
        assert_eq!(config.connection(&connection).banner.as_deref(), banner, "{host}");
    }
}

#[test]
fn includes_that_fail_or_never_end_are_errors() {
    let mut config = SshdConfig::default();
    let error = config.add_file("test", "Include /x", &mut |_| Err(std::io::Error::other("broken")));
    assert_eq!(error.expect_err("broken").to_string(), "test line 1: cannot include /x: broken");
    let again = &mut |_: &str| Ok(vec![("again".to_owned(), "Include /x".to_owned())]);
    let error = SshdConfig::default().add_file("test", "Include /x", again).expect_err("endless");
    assert_eq!(error.to_string(), "again line 1: too many files include one another");
}

#[test]
fn options_go_before_files_that_are_added_later() {
    let mut config = SshdConfig::default();
    for option in ["rekeylimit 16 1", "PermitTTY=no", "ForceCommand=internal-sftp -d /", "  "] {
        config.add_option(option).expect(option);
    }
    config.add_file("test", "PermitTTY yes\nForceCommand x", &mut |_| Ok(Vec::new())).expect("good");
    let server = config.server();
    assert!(!server.permit_tty);
    assert_eq!((server.rekey_bytes, server.rekey_interval.as_secs()), (16, 1));
    assert_eq!(server.force_command.as_deref(), Some("internal-sftp -d /"));
    for option in ["Match all", "Include /x", "Foo=1", "PermitTTY"] {
        assert!(config.add_option(option).is_err(), "{option}");
    }
}

/// rekey.sh of OpenSSH's suite.
#[test]
fn rekey_limits_are_printed_in_bytes_and_seconds() {
    for (size, bytes) in
        [("16", 16_u64), ("1k", 1024), ("1K", 1024), ("1M", 1 << 20), ("1g", 1 << 30), ("8G", 8 << 30)]
    {
        for (time, seconds) in [("1", 1), ("1m", 60), ("1H", 3600), ("1d", 86_400), ("1W", 604_800)] {
            let printed = server(&format!("rekeylimit {size} {time}")).print(&OFFERS);
            assert!(printed.contains(&format!("\nrekeylimit {bytes} {seconds}\n")), "{printed}");
        }
    }
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let config = server(
        "AcceptEnv X\nSetEnv 'A=b c' D='e\"f'\nHostKey '/a b'\nAllowUsers bob@10.0.0.0/8\nPermitOpen [::1]:22 h:*\nPermitListen none\n\
         AuthenticationMethods publickey,password none\nChannelTimeout x=1\nPermitUserEnvironment A*\nStreamLocalBindMask 022\n\
         VersionAddendum x y\nForceCommand echo \"a b\"\nPubkeyAuthOptions verify-required\nAuthorizedKeysFile none\n\
         UnusedConnectionTimeout 5\nMaxStartups 1:2:3\nBanner /x\nCiphers -foo\nAuthorizedKeysCommand /x %u\nRekeyLimit default 5",
    );
    for config in [config, Config::default()] {
        let printed = config.print(&OFFERS);
        let again = server(&printed);
        assert_eq!(again.print(&OFFERS), printed);
        assert_eq!((again.set_env, again.host_key), (config.set_env, config.host_key));
        assert_eq!((again.permit_open, again.subsystem), (config.permit_open, config.subsystem));
    }
}

#[test]
fn permitted_places_and_variables_are_as_said() {
    assert!(Permitted::Any.allows_connect("h", 1) && !Permitted::None.allows_listen("h", 1));
    assert_eq!(server("PermitOpen none").permit_open, Permitted::None);
    assert_eq!(server("PermitUserEnvironment yes").permit_user_environment, UserEnvironment::Yes);
}

/// What test-exec.sh and the tests themselves write, line by line.
#[test]
fn all_that_the_suite_of_openssh_writes_is_understood() {
    let text = "\tStrictModes\t\tno\n\tPort\t\t\t4242\n\tAddressFamily\t\tinet\n\tListenAddress\t\t127.0.0.1\n\
        \t#ListenAddress\t\t::1\n\tPidFile\t\t\t/o/pidfile\n\tAuthorizedKeysFile\t/o/authorized_keys_%u\n\
        \tLogLevel\t\tDEBUG3\n\tAcceptEnv\t\t_XXX_TEST_*\n\tAcceptEnv\t\t_XXX_TEST\n\tSubsystem\tsftp\t/x/sftp-server\n\
        \tUsePAM\t\t\tyes\n\tStrictModes no\n\tModuliFile '/o/moduli'\nHostKey /o/ssh-dss\nHostKey /o/ssh-ed25519\n\
        SecurityKeyProvider /o/sk.so\n\tSetEnv PATH='/a:/b'\nAuthorizedPrincipalsFile  /o/authorized_principals_%u\n\
        TrustedUserCAKeys /o/ca.pub\nRevokedKeys /o/revoked\nAuthorizedKeysFile none\nAuthorizedKeysFile /dev/null # comment\n\
        AuthorizedPrincipalsCommand /v/c %u %t %T %i %s %F %f %k %K\nAuthorizedPrincipalsCommandUser root\n\
        AuthorizedKeysCommand /v/c %u blah %k %t %f blah\nAuthorizedKeysCommandUser root\nHostCertificate /o/c.pub\n\
        HostKeyAlgorithms *\nHostKeyAlgorithms rsa-sha2-512,rsa-sha2-256,ssh-rsa\nHostKeyAlgorithms +ssh-rsa\n\
        PubkeyAcceptedAlgorithms *-cert-v01@openssh.com\nPubkeyAcceptedAlgorithms ssh-dss*,ssh-rsa*,ssh-ed25519**\n\
        PubkeyAcceptedAlgorithms sk-ecdsa-*\nPubkeyAcceptedAlgorithms sk-ssh-ed25519-*\nPubkeyAcceptedAlgorithms ecdsa-sha2-*\n\
        PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256*\nPubkeyAcceptedAlgorithms rsa-sha2-512*,ssh-rsa*\nProtocol 2\n\
        AuthenticationMethods publickey,publickey\nAuthenticationMethods none\nDenyUsers=nobody root\nAllowUsers=root nobody\n\
        ExposeAuthInfo=yes\nrekeylimit default 5\nCiphers=3des-cbc\nMACs=umac-64-etm@openssh.com\nLoginGraceTime 10s\nMaxStartups 1\n\
        KexAlgorithms=diffie-hellman-group1-sha1,sntrup761x25519-sha512@openssh.com\nPermitUserEnvironment yes\n\
        ChannelTimeout session:subsystem:sftp=1\nUnusedConnectionTimeout 2\nPermitOpen 127.0.0.1:22 127.0.0.2:22\n\
        PermitListen 1 2 99\nPermitListen 127.0.0.1:22 *:4\nAllowTcpForwarding remote\nUsePrivilegeSeparation sandbox\n\
        Banner /o/banner.in\nForceCommand internal-sftp -d /\nChrootDirectory /o\nMatch user xroot\nMatch Address 127.0.0.1 # c\n\
        Match all\n";
    let config = read(text).expect("understood");
    assert_eq!(config.server().authorized_keys_file, ["/o/authorized_keys_%u"]);
    assert_eq!(config.server().set_env, [("PATH".to_owned(), "/a:/b".to_owned())]);
    assert!(!config.server().strict_modes && config.server().use_pam);
}

proptest! {
    #[test]
    fn no_text_panics(text in "((Match|Include|Banner|AllowUsers|SetEnv|PermitOpen|RekeyLimit|Subsystem|MaxStartups|ChannelTimeout|ForceCommand|Ciphers)[ =\t]|[a-z0-9:,.*!%@\"'\\\\# \n=é-]{0,12}){0,10}") {
        if let Ok(config) = read(&text) {
            let printed = config.server().print(&OFFERS);
            prop_assert!(!printed.is_empty());
            let _ = config.connection(&Connection::default());
        }
        let _ = SshdConfig::default().add_option(&text);
    }

    #[test]
    fn splitting_undoes_quoting(words in proptest::collection::vec(".{0,10}", 0..5)) {
        let quoted: Vec<_> = words
            .iter()
            .map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        prop_assert_eq!(split_words(&quoted.join(" "), true), Some(words));
    }
}
