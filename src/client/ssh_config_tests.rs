use proptest::prelude::*;

use super::*;

fn tokens() -> Tokens {
    Tokens { home: "/home/me".into(), local_user: "me".into(), host: "box".into() }
}

#[test]
fn what_ssh_prints_is_read() {
    let text = "user root\nhostname box.example.org\nport 2200\nidentityfile ~/.ssh/id_%r\n\
                identityfile /keys/%h_%d\nidentitiesonly yes\nidentityagent none\nforwardagent /run/a\n\
                localforward 8080 [localhost]:80\nremoteforward 9000 [socks]:0\n\
                remoteforward [/tmp/r] [/tmp/l]\ndynamicforward 1080\n\
                preferredauthentications publickey,gssapi-with-mic,password\nsendenv LANG\nsendenv LC_*\n\
                setenv FOO=a b\nrequesttty force\nserveraliveinterval 7\nserveralivecountmax 2\n\
                escapechar ^B\nnumberofpasswordprompts 1\nproxycommand touch /tmp/never\nciphers x,y\n";
    let config = SshConfig::parse(text, &tokens());
    assert_eq!((config.user.as_deref(), config.port), (Some(&b"root"[..]), 2200));
    let files = ["/home/me/.ssh/id_root", "/keys/box.example.org_/home/me"].map(PathBuf::from);
    assert_eq!(config.identity_files, Some(files.to_vec()));
    assert!(config.identities_only && config.identity_agent == AgentSource::None);
    assert_eq!(config.forward_agent, Some(AgentSource::Socket("/run/a".into())));
    assert_eq!(config.local_forwards, [("8080".to_owned(), "[localhost]:80".to_owned())]);
    let remote = [("9000".to_owned(), None), ("[/tmp/r]".to_owned(), Some("[/tmp/l]".to_owned()))];
    assert_eq!(config.remote_forwards, remote);
    assert_eq!(config.dynamic_forwards, ["1080"]);
    let methods = [Method::PublicKey, Method::Other, Method::Password];
    assert_eq!(config.preferred_authentications.as_deref(), Some(&methods[..]));
    assert_eq!(config.set_env, [(b"FOO".to_vec(), b"a b".to_vec())]);
    assert_eq!(config.request_tty, RequestTty::Force);
    assert_eq!(config.server_alive_interval, Some(Duration::from_secs(7)));
    assert_eq!((config.server_alive_count_max, config.escape_char), (2, Some(2)));
    assert_eq!(config.password_prompts, 1);
    let sent = [("LANG", "C"), ("LC_ALL", "C"), ("FOO", "other"), ("HOME", "/")]
        .map(|(name, value)| (name.into(), value.into()));
    let names: Vec<_> = config.environment(sent).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"FOO"[..], b"LANG", b"LC_ALL"]);
}

#[test]
fn methods_that_are_turned_off_are_not_used() {
    let text = "pubkeyauthentication false\nkbdinteractiveauthentication no\npasswordauthentication yes\n";
    let options = SshConfig::parse(text, &tokens()).standard_options("box", None);
    assert_eq!(options.preferred, [Method::Password]);
}

#[tokio::test]
async fn the_users_own_ssh_reads_its_file_and_runs_no_proxy() {
    if std::process::Command::new("ssh").arg("-V").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (file, mark) = (folder.path().join("config"), folder.path().join("ran"));
    let text = format!(
        "Host box\n  User somebody\n  ProxyCommand touch {}\n  IdentityFile ~/k\n  EscapeChar none\n\
         Host *\n  SetEnv A=1\n",
        mark.display()
    );
    std::fs::write(&file, text).expect("written");
    let arguments = ["-F".into(), file.clone().into()];
    let config = SshConfig::load("box", &arguments, &tokens()).await.expect("read");
    assert_eq!(config.user.as_deref(), Some(&b"somebody"[..]));
    assert_eq!(config.identity_files, Some(vec!["/home/me/k".into()]));
    assert_eq!((config.escape_char, config.set_env.len()), (None, 1));
    assert!(!mark.exists());
    std::fs::write(&file, "Nonsense here\n").expect("written");
    let wrong = SshConfig::load("box", &arguments, &tokens()).await;
    assert!(
        matches!(wrong, Err(SshConfigError::Refused(said)) if said.contains("onsense") && !said.contains('\r'))
    );
}

#[test]
fn what_is_no_text_is_read_as_it_is() {
    let text = b"user caf\xe9\nidentityfile ~/\xff%r\nsetenv A=\xfe\nremotecommand echo \xfd\n";
    let config = SshConfig::parse(text, &tokens());
    assert_eq!(config.user.as_deref(), Some(&b"caf\xe9"[..]));
    assert_eq!(config.identity_files, Some(vec![path(b"/home/me/\xffcaf\xe9")]));
    assert_eq!(config.set_env, [(b"A".to_vec(), b"\xfe".to_vec())]);
    assert_eq!(config.remote_command.as_deref(), Some(&b"echo \xfd"[..]));
}

proptest! {
    #[test]
    fn no_line_panics(text in "[a-z%~$^\" /=,*\n]{0,80}") {
        let _ = SshConfig::parse(&text, &tokens());
        let _ = SshConfig::parse(format!("identityfile {text}\nsetenv {text}\nescapechar {text}"), &tokens());
    }
}
