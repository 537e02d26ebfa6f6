use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::server::config::{Connection, value::RootLogin};

fn read(text: &str) -> Result<SshdConfig, String> {
    #[derive(Deserialize)]
    struct File {
        sshd: SshdConfig,
    }
    toml::from_str::<File>(text).map(|file| file.sshd).map_err(|error| error.to_string())
}

#[test]
fn values_are_taken_as_they_are_natural_in_toml() {
    let config = read(
        r#"
        [sshd]
        PasswordAuthentication = "no"
        permittty = false
        MaxSessions = 3
        LoginGraceTime = 30
        ClientAliveInterval = "1m"
        AcceptEnv = ["LANG", "LC_*"]
        AllowUsers = "alice bob@10.0.0.0/8"
        HostKey = ["/a b", "/c"]
        PermitRootLogin = "prohibit-password"
        ForceCommand = 'echo "a b"'
        SetEnv = { A = "b c", N = 1 }
        Subsystem = { sftp = "internal-sftp -l INFO" }
        Port = 2222
        "#,
    );
    let config = config.expect("good");
    assert_eq!(config.ignored().collect::<Vec<_>>(), [("Port", "2222")]);
    let server = config.server();
    assert!(!server.password_authentication && !server.permit_tty);
    assert_eq!((server.max_sessions, server.login_grace_time), (3, Duration::from_secs(30)));
    assert_eq!(server.client_alive_interval, Duration::from_secs(60));
    assert_eq!(server.accept_env, ["LANG", "LC_*"]);
    assert_eq!(server.allow_users.len(), 2);
    assert_eq!(server.permit_root_login, RootLogin::ProhibitPassword);
    assert_eq!(server.force_command.as_deref(), Some("echo \"a b\""));
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(server.set_env, [variable("A", "b c"), variable("N", "1")]);
    assert_eq!(
        (server.subsystem[0].name.as_str(), server.subsystem[0].command.as_str()),
        ("sftp", "internal-sftp -l INFO")
    );
    // A path with a blank needs its quotes, as in sshd_config.
    assert!(read("[sshd]\nHostKey = ['\"/a b\"']").is_ok());
}

#[test]
fn match_blocks_have_conditions_beside_keywords() {
    let config = read(
        "[sshd]\nPermitTTY = true\n[[sshd.Match]]\nUser = \"git\"\nPermitTTY = false\n\
         [[sshd.Match]]\nAddress = \"10.0.0.0/8\"\nUser = \"*\"\nX11Forwarding = true\n",
    );
    let config = config.expect("good");
    let of = |text: &str| config.connection(&text.parse::<Connection>().expect(text));
    assert!(!of("user=git").permit_tty && of("user=bob").permit_tty);
    assert!(of("user=bob,addr=10.1.1.1").x11_forwarding && !of("user=bob").x11_forwarding);
}

#[test]
fn wrong_keys_say_why() {
    for (text, reason) in [
        ("Foo = 1", "[sshd]: unknown keyword `Foo`"),
        ("AlowUsers = \"a\"", "did you mean AllowUsers?"),
        ("PermitTTY = 1.5", "PermitTTY: use a string"),
        ("PermitTTY = 1", "`1` is not yes or no"),
        ("PermitTTY = \"\"", "a value is missing"),
        ("PermitTTY = []", "a value is missing"),
        ("Banner = \"'x\"", "a quote is not closed"),
        ("HostKey = [1]", "HostKey: use a string"),
        ("Include = \"/x\"", "unknown keyword `Include`"),
        ("Match = 1", "Match: use a string"),
        ("Match = [{ PermitTTY = true }]", "Match needs a condition"),
        ("Match = [{ User = \"a\", Ciphers = \"aes128-ctr\" }]", "not allowed within a Match block"),
        ("Match = [{ User = \"a\", Match = [] }]", "unknown keyword `Match`"),
        ("KerberosAuthentication = true", "is not supported by this server"),
    ] {
        let error = read(&format!("[sshd]\n{text}")).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn no_value_panics(key in "(Banner|HostKey|SetEnv|Subsystem|Match|Port|[a-z]{0,5})", value in "('.{0,10}'|[0-9]{1,5}|true|\\['a', 1\\]|\\{ a = 'b' \\}|1.5)") {
        let _ = read(&format!("[sshd]\n{key} = {value}"));
    }
}
