//! Logging in, and not.

use std::{
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use crate::servers::{Server, login, new_key, run};
use irosh::client::{
    ClientOptions, ConnectError, HostKeyPolicy, PublicKey, Session,
    auth::{
        AgentSource, Answer, BoxFuture, Method, NoPrompt, Prompt, Question, Secret, Standard,
        StandardOptions, Topic,
    },
};

on_every_server!(
    keys_of_every_type_log_in_and_rsa_without_sha1,
    a_key_that_nobody_knows_is_refused_with_what_was_tried,
    a_certificate_beside_its_key_logs_in,
    a_damaged_certificate_leaves_its_key,
    a_certificate_beside_a_key_that_the_agent_has_logs_in,
    an_agent_signs_with_its_keys_and_certificates,
    identities_only_leaves_out_what_no_file_names,
    a_passphrase_is_asked_for_once_the_server_wants_the_key,
    a_key_that_others_can_read_is_not_used,
    two_keys_are_two_steps,
    too_many_keys_are_an_error_of_their_own,
    a_banner_is_told,
    a_banner_that_is_not_utf_8_ends_nothing,
    another_host_key_is_a_mismatch_with_both_fingerprints,
    the_server_shows_a_key_of_an_announced_type,
    a_callback_decides_about_the_host_key,
    a_login_without_proof_is_refused,
    a_wrong_password_tells_why_a_key_was_not_tried,
);

async fn connect(server: &Server, standard: Standard) -> Result<Session, ConnectError> {
    irosh::client::connect(server.stream(), server.options().authenticator(standard)).await
}

async fn assert_in(server: &Server, standard: Standard) {
    let session = connect(server, standard).await.unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    assert!(session.capture_exec("true", 0).await.expect("run").success());
}

async fn keys_of_every_type_log_in_and_rsa_without_sha1(server: Server) {
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let line = new_key(&server.path(kind), kind, "");
        server.authorize(&line);
        assert_in(&server, Standard::new(server.with_files(&[kind]))).await;
    }
    if server.kind == crate::servers::Kind::OpenSsh {
        assert_eq!(server.log().matches("Accepted publickey").count(), 3, "{}", server.log());
    }
}

async fn a_key_that_nobody_knows_is_refused_with_what_was_tried(server: Server) {
    let line = new_key(&server.path("stranger"), "ed25519", "");
    let standard = Standard::new(server.with_files(&["stranger", "missing"]));
    let error = connect(&server, standard).await.expect_err("refused");
    let fingerprint =
        PublicKey::from_openssh(&line).expect("a key").fingerprint(irosh::client::HashAlg::Sha256);
    let said = error.to_string();
    let ConnectError::Authentication(refused) = error else { panic!("{said}") };
    assert_eq!(refused.tried, [format!("ssh-ed25519 {fingerprint}")]);
    assert_eq!(refused.remaining, [Method::PublicKey]);
    assert!(said.starts_with(&format!("permission denied for {}", login())), "{said}");
}

/// A certificate for a key, by an authority that the server trusts.
fn certify(server: &Server, name: &str) {
    let authority = server.path("ca");
    if !authority.exists() {
        new_key(&authority, "ed25519", "");
        server.configure(&format!("TrustedUserCAKeys {}", server.path("ca.pub").display()));
    }
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").arg("-s").arg(&authority).args(["-I", "test", "-n", &login(), "-V", "+1h"]);
    run(command.arg(server.path(&format!("{name}.pub"))));
}

async fn a_certificate_beside_its_key_logs_in(server: Server) {
    for kind in ["ed25519", "rsa", "ecdsa"] {
        new_key(&server.path(kind), kind, "");
        certify(&server, kind);
        // The key alone is refused first, then its certificate is taken.
        assert_in(&server, Standard::new(server.with_files(&[kind]))).await;
        let elsewhere = format!("moved-{kind}");
        std::fs::rename(server.path(&format!("{kind}-cert.pub")), server.path(&elsewhere)).expect("moved");
        let mut options = server.with_files(&[kind]);
        assert!(connect(&server, Standard::new(options.clone())).await.is_err());
        options.certificate_files = vec![server.path(&elsewhere)];
        assert_in(&server, Standard::new(options)).await;
    }
}

async fn a_damaged_certificate_leaves_its_key(server: Server) {
    std::fs::write(server.path("user_key-cert.pub"), "ssh-ed25519-cert-v01@openssh.com AAAA")
        .expect("written");
    assert_in(&server, Standard::new(server.with_files(&["user_key"]))).await;
}

async fn a_certificate_beside_a_key_that_the_agent_has_logs_in(server: Server) {
    let agent = Agent::start(&server);
    new_key(&server.path("lent"), "ed25519", "");
    // The agent gets it without the certificate.
    agent.add(&server, "lent");
    certify(&server, "lent");
    std::fs::remove_file(server.path("lent")).expect("removed");
    let mut options = server.with_files(&["lent"]);
    options.agent = agent.source();
    assert_in(&server, Standard::new(options)).await;
}

async fn a_banner_that_is_not_utf_8_ends_nothing(server: Server) {
    std::fs::write(server.path("banner"), b"caf\xe9\n").expect("written");
    server.configure(&format!("Banner {}\n", server.path("banner").display()));
    let session = server.connect().await;
    assert!(session.connection().remote_metadata().banner.is_some_and(|banner| banner.starts_with("caf")));
}

/// An agent of the test's own.
struct Agent {
    child: Child,
    socket: std::path::PathBuf,
}

impl Agent {
    fn start(server: &Server) -> Self {
        let socket = server.path("agent.sock");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("an agent");
        let agent = Self { child, socket };
        while std::os::unix::net::UnixStream::connect(&agent.socket).is_err() {
            std::thread::yield_now();
        }
        agent
    }

    fn add(&self, server: &Server, name: &str) {
        let mut command = Command::new("ssh-add");
        run(command.arg("-q").arg(server.path(name)).env("SSH_AUTH_SOCK", &self.socket));
    }

    fn source(&self) -> AgentSource {
        AgentSource::Socket(self.socket.clone())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn an_agent_signs_with_its_keys_and_certificates(server: Server) {
    let agent = Agent::start(&server);
    new_key(&server.path("stranger"), "ed25519", "");
    agent.add(&server, "stranger");
    let mut options = server.with_files(&[]);
    options.agent = agent.source();
    assert!(connect(&server, Standard::new(options.clone())).await.is_err());
    let line = new_key(&server.path("agent_rsa"), "rsa", "");
    server.authorize(&line);
    agent.add(&server, "agent_rsa");
    assert_in(&server, Standard::new(options.clone())).await;
    // With a certificate alone.
    let agent = {
        drop(agent);
        std::fs::remove_file(server.path("agent.sock")).ok();
        Agent::start(&server)
    };
    for kind in ["ecdsa", "rsa"] {
        let name = format!("certified_{kind}");
        new_key(&server.path(&name), kind, "");
        certify(&server, &name);
        agent.add(&server, &name);
        options.agent = agent.source();
        assert_in(&server, Standard::new(options.clone())).await;
    }
    // CertificateFile, signed for by the agent, with no private key on the disk.
    std::fs::remove_file(server.path("certified_rsa")).expect("removed");
    options.certificate_files = vec![server.path("certified_rsa-cert.pub")];
    options.identities_only = true;
    assert_in(&server, Standard::new(options)).await;
}

async fn identities_only_leaves_out_what_no_file_names(server: Server) {
    let agent = Agent::start(&server);
    agent.add(&server, "user_key");
    let mut options = server.with_files(&[]);
    options.agent = agent.source();
    options.identities_only = true;
    let error = connect(&server, Standard::new(options.clone())).await.expect_err("refused");
    assert!(matches!(&error, ConnectError::Authentication(refused) if refused.tried.is_empty()), "{error}");
    // The public half is enough to name it.
    std::fs::rename(server.path("user_key"), server.path("hidden")).expect("moved");
    options.identity_files = vec![server.path("user_key")];
    assert_in(&server, Standard::new(options)).await;
}

/// What was asked, and answers one after the other.
fn prompt(
    answers: &[&str],
) -> (Arc<Mutex<Vec<String>>>, impl FnMut(Question<'_>) -> Option<Secret> + Send + use<>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut answers) =
        (Arc::clone(&asked), answers.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().into_iter());
    let prompt = move |question: Question<'_>| {
        let kind = match question.topic {
            Topic::Passphrase(path) => {
                format!("passphrase of {}", path.file_name().expect("a name").display())
            }
            Topic::Password => "password".to_owned(),
            Topic::KeyboardInteractive { name, instructions } => format!("{name}/{instructions}"),
        };
        let echo = if question.echo { " echo" } else { "" };
        seen.lock().expect("no panic").push(format!("{kind}: {}{echo}", question.text));
        answers.next().map(Secret::new)
    };
    (asked, prompt)
}

async fn a_passphrase_is_asked_for_once_the_server_wants_the_key(server: Server) {
    new_key(&server.path("unknown"), "ed25519", "never asked for");
    for (name, kind, format) in [("locked", "ecdsa", "RFC4716"), ("pem", "rsa", "PEM")] {
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-m", format, "-N", "open sesame", "-f"])
            .arg(server.path(name)));
        server.authorize(&std::fs::read_to_string(server.path(&format!("{name}.pub"))).expect("read"));
        let (asked, answers) = prompt(&["wrong", "open sesame"]);
        let standard = Standard::new(server.with_files(&["unknown", name])).prompt(answers);
        assert_in(&server, standard).await;
        let asked = asked.lock().expect("no panic").clone();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(
            asked.iter().all(|text| text.starts_with(&format!("passphrase of {name}: Enter passphrase")))
        );
    }
    let (asked, answers) = prompt(&["1", "2", "3", "4"]);
    let standard = Standard::new(server.with_files(&["locked"])).prompt(answers);
    let error = connect(&server, standard).await.expect_err("locked").to_string();
    assert!(error.contains("no passphrase fits"), "{error}");
    assert_eq!(asked.lock().expect("no panic").len(), 3);
    // The next key has its turn.
    assert_in(&server, Standard::new(server.with_files(&["locked", "user_key"]))).await;
}

async fn a_key_that_others_can_read_is_not_used(server: Server) {
    let path = server.path("user_key");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let error = connect(&server, Standard::new(server.with_files(&["user_key"]))).await.expect_err("refused");
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

async fn two_keys_are_two_steps(server: Server) {
    let line = new_key(&server.path("second"), "ed25519", "");
    server.authorize(&line);
    server.configure("AuthenticationMethods publickey,publickey");
    assert_in(&server, Standard::new(server.with_files(&["user_key", "second"]))).await;
    let error = connect(&server, Standard::new(server.with_files(&["user_key"]))).await.expect_err("refused");
    assert!(matches!(&error, ConnectError::Authentication(refused) if refused.partial_success), "{error}");
}

async fn too_many_keys_are_an_error_of_their_own(server: Server) {
    server.configure("MaxAuthTries 3");
    let names: Vec<String> = (0..6).map(|number| format!("k{number}")).collect();
    for name in &names {
        new_key(&server.path(name), "ed25519", "");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = connect(&server, Standard::new(server.with_files(&names))).await.expect_err("refused");
    let ConnectError::TooManyAttempts { tried } = &error else { panic!("{error:?}") };
    assert!((2..=4).contains(&tried.len()), "{tried:?}");
}

async fn a_banner_is_told(server: Server) {
    std::fs::write(server.path("banner"), "mind the gap\n").expect("written");
    server.configure(&format!("Banner {}", server.path("banner").display()));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let options = server.options().on_event(move |event| drop(tell.send(event)));
    let session = irosh::client::connect(server.stream(), options).await.expect("connected");
    assert_eq!(session.connection().remote_metadata().banner.as_deref(), Some("mind the gap\n"));
    assert_eq!(told.recv().await, Some(irosh::client::ConnectionEvent::Banner("mind the gap\n".to_owned())));
}

fn with_policy(server: &Server, policy: HostKeyPolicy) -> ClientOptions {
    ClientOptions::new(login())
        .host_keys(policy)
        .authenticator(Standard::new(server.with_files(&["user_key"])))
}

async fn another_host_key_is_a_mismatch_with_both_fingerprints(server: Server) {
    let other = PublicKey::from_openssh(&new_key(&server.path("other"), "ed25519", "")).expect("a key");
    let policy = HostKeyPolicy::Pinned(vec![other.clone()]);
    let error =
        irosh::client::connect(server.stream(), with_policy(&server, policy)).await.expect_err("mismatch");
    let said = error.to_string();
    for key in [&other, &server.host_key] {
        assert!(said.contains(&key.fingerprint(irosh::client::HashAlg::Sha256).to_string()), "{said}");
    }
    assert!(matches!(error, ConnectError::HostKeyMismatch(_)));
    let none =
        irosh::client::connect(server.stream(), with_policy(&server, HostKeyPolicy::Pinned(Vec::new())))
            .await;
    assert!(matches!(none, Err(ConnectError::NoHostKey)));
    let ecdsa = PublicKey::from_openssh(&new_key(&server.path("ecdsa"), "ecdsa", "")).expect("a key");
    let policy = HostKeyPolicy::Pinned(vec![ecdsa]);
    let error = irosh::client::connect(server.stream(), with_policy(&server, policy))
        .await
        .expect_err("no such type");
    assert!(matches!(&error, ConnectError::NoCommonAlgorithm { .. }), "{error}");
}

async fn the_server_shows_a_key_of_an_announced_type(server: Server) {
    let mut lines = String::new();
    let mut keys = Vec::new();
    for kind in ["ecdsa", "rsa"] {
        let path = server.path(&format!("host_{kind}"));
        keys.push(PublicKey::from_openssh(&new_key(&path, kind, "")).expect("a key"));
        lines.push_str(&format!("HostKey {}\n", path.display()));
    }
    server.configure(&lines);
    for key in keys {
        let policy = HostKeyPolicy::Pinned(vec![key.clone()]);
        let session =
            irosh::client::connect(server.stream(), with_policy(&server, policy)).await.expect("connected");
        let shown = session.connection().remote_metadata().host_key.expect("a key");
        assert_eq!(shown.key_data(), key.key_data());
    }
}

async fn a_callback_decides_about_the_host_key(server: Server) {
    for trust in [true, false] {
        let expected = server.host_key.key_data().clone();
        let policy = HostKeyPolicy::callback(move |key| trust && *key.key_data() == expected);
        let result = irosh::client::connect(server.stream(), with_policy(&server, policy)).await;
        assert_eq!(matches!(result, Err(ConnectError::HostKeyRefused(_))), !trust);
        assert_eq!(result.is_ok(), trust);
    }
}

async fn a_login_without_proof_is_refused(server: Server) {
    let options = ClientOptions::new(login()).host_keys(HostKeyPolicy::Pinned(vec![server.host_key.clone()]));
    let error = irosh::client::connect(server.stream(), options).await.expect_err("refused");
    assert!(matches!(&error, ConnectError::Authentication(refused) if refused.tried.is_empty()), "{error}");
}

async fn a_wrong_password_tells_why_a_key_was_not_tried(server: Server) {
    server.configure("PasswordAuthentication yes");
    let path = server.path("user_key");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let mut options = server.with_files(&["user_key"]);
    options.password_prompts = 1;
    let (_, answers) = prompt(&["wrong"]);
    let error = connect(&server, Standard::new(options).prompt(answers)).await.expect_err("refused");
    let said = error.to_string();
    assert!(matches!(&error, ConnectError::WrongPassword { notes, .. } if notes.len() == 1), "{said}");
    assert!(said.contains("was not accepted\n") && said.contains("chmod 600"), "{said}");
}

/// Somebody who is asked, tells so, and says this; or never says anything.
struct Somebody(tokio::sync::mpsc::UnboundedSender<String>, Option<Answer>);

impl Prompt for Somebody {
    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let _ = self.0.send(question.text.to_owned());
        let answer = self.1.clone();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

/// What only a server of the test's own says.
mod scripted {
    use super::{
        Answer, BoxFuture, ClientOptions, ConnectError, Method, NoPrompt, Prompt, Question, Secret, Session,
        Somebody, Standard, StandardOptions, prompt,
    };
    use crate::servers::{Script, Scripted, far, new_key};

    type Answers<'a> = &'a [&'a str];

    async fn log_in(script: Script, answers: Answers<'_>) -> (Result<Session, ConnectError>, Vec<String>) {
        let (asked, prompt) = prompt(answers);
        let result = log_in_with(script, prompt).await;
        let asked = asked.lock().expect("no panic").clone();
        (result, asked)
    }

    async fn log_in_with(script: Script, prompt: impl Prompt + 'static) -> Result<Session, ConnectError> {
        let (stream, policy) = Scripted::start(script);
        let mut options = StandardOptions::new("box", None);
        options.agent = super::AgentSource::None;
        let standard = Standard::new(options).prompt(prompt);
        let options = ClientOptions::new("me").host_keys(policy).authenticator(standard);
        irosh::client::connect(stream, options).await
    }

    fn questions_or_a_password() -> Script {
        let rounds = vec![(vec![("pin? ", false)], vec!["1234"])];
        Script { rounds, password: Some("right"), ..Script::default() }
    }

    #[tokio::test]
    async fn without_somebody_to_ask_no_question_and_no_password_is_tried() {
        let error = log_in_with(questions_or_a_password(), NoPrompt).await.expect_err("refused");
        let ConnectError::Authentication(refused) = &error else { panic!("{error}") };
        assert!(refused.tried.is_empty(), "{error}");
        assert!(error.to_string().contains("password was not tried: nobody can be asked"), "{error}");
    }

    #[tokio::test]
    async fn who_cancels_a_question_or_a_password_ends_the_login() {
        for script in [questions_or_a_password(), Script { password: Some("right"), ..Script::default() }] {
            let (tell, mut asked) = tokio::sync::mpsc::unbounded_channel();
            let result = log_in_with(script, Somebody(tell, Some(Answer::Cancelled))).await;
            assert!(matches!(result, Err(ConnectError::Cancelled)), "{result:?}");
            assert!(asked.recv().await.is_some() && asked.recv().await.is_none(), "asked once");
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_ends_its_question() {
        let script = questions_or_a_password();
        let (tell, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let cut = script.cut.clone();
        let login = tokio::spawn(log_in_with(script, Somebody(tell, None)));
        assert_eq!(asked.recv().await.as_deref(), Some("(me@box) pin? "));
        cut.cancel();
        let result = tokio::time::timeout(crate::servers::DEADLINE, login).await.expect("in time");
        assert!(matches!(result, Ok(Err(ConnectError::Disconnected { .. }))), "{result:?}");
    }

    #[tokio::test]
    async fn nothing_is_asked_where_nothing_is_needed() {
        let (result, asked) = log_in(Script { open: true, ..Script::default() }, &[]).await;
        assert!(result.is_ok() && asked.is_empty());
    }

    #[tokio::test]
    async fn questions_come_round_by_round_and_show_what_may_be_seen() {
        let rounds = vec![
            (vec![("name? ", true), ("pin? ", false)], vec!["joe", "1234"]),
            (vec![], vec![]),
            (vec![("sure? ", true)], vec!["yes"]),
        ];
        let script = Script { rounds, ..Script::default() };
        let (result, asked) = log_in(script.clone(), &["joe", "1234", "yes"]).await;
        drop(result.expect("in"));
        let asked: Vec<_> = asked.iter().map(String::as_str).collect();
        let title = "a title/read this: (me@box)";
        assert_eq!(
            asked,
            [format!("{title} name?  echo"), format!("{title} pin? "), format!("{title} sure?  echo")]
        );
        // A second try is a new conversation.
        assert!(log_in(script, &["joe", "0", "joe", "1234", "yes"]).await.0.is_ok());
    }

    /// Somebody who is told and asked, and says so.
    struct Told(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

    impl Told {
        fn note(&self, text: String) {
            self.0.lock().expect("no panic").push(text);
        }
    }

    impl Prompt for Told {
        fn tell<'a>(&'a mut self, name: &'a str, instructions: &'a str) -> BoxFuture<'a, ()> {
            self.note(format!("{name}/{instructions}"));
            Box::pin(std::future::ready(()))
        }

        fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Answer> {
            self.note(question.text.to_owned());
            Box::pin(std::future::ready(Answer::Given(Secret::new("yes".to_owned()))))
        }
    }

    #[tokio::test]
    async fn a_request_is_told_once_and_also_where_it_asks_nothing() {
        let rounds = vec![(vec![], vec![]), (vec![("sure? ", true), ("really? ", true)], vec!["yes", "yes"])];
        let heard = std::sync::Arc::default();
        let told = Told(std::sync::Arc::clone(&heard));
        drop(log_in_with(Script { rounds, ..Script::default() }, told).await.expect("in"));
        let heard = heard.lock().expect("no panic");
        let title = "a title/read this";
        assert_eq!(*heard, [title, title, "(me@box) sure? ", "(me@box) really? "]);
    }

    #[tokio::test]
    async fn a_wrong_password_is_asked_for_three_times_and_is_an_error_of_its_own() {
        let script = Script { password: Some("right"), ..Script::default() };
        let (result, asked) = log_in(script.clone(), &["a", "b", "c", "right"]).await;
        assert!(
            matches!(&result, Err(ConnectError::WrongPassword { login, remaining, .. })
            if login == "me" && *remaining == [Method::Password]),
            "{result:?}"
        );
        assert_eq!(asked, vec!["password: me@box's password: "; 3]);
        let (result, _) = log_in(script.clone(), &["a", "right"]).await;
        drop(result.expect("in"));
        let (result, asked) = log_in(script, &[]).await;
        assert!(matches!(result, Err(ConnectError::Authentication(_))));
        assert_eq!(asked.len(), 1, "who does not answer is not asked again");
    }

    #[tokio::test]
    async fn answers_and_then_a_password_are_two_steps() {
        let rounds = vec![(vec![("token? ", false)], vec!["1"])];
        let script = Script { rounds, password: Some("right"), both: true, ..Script::default() };
        let (result, asked) = log_in(script, &["1", "right"]).await;
        drop(result.expect("in"));
        assert_eq!(asked.len(), 2, "{asked:?}");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_told_from_one_that_refuses() {
        let script = Script { password: Some("right"), most_attempts: 2, ..Script::default() };
        let (result, _) = log_in(script, &["a", "b", "c"]).await;
        assert!(
            matches!(
                result,
                Err(ConnectError::Disconnected { .. }
                    | ConnectError::TooManyAttempts { .. }
                    | ConnectError::WrongPassword { .. })
            ),
            "{result:?}"
        );
    }

    /// Somebody with one key, in a file.
    fn with_key(folder: &tempfile::TempDir, passphrase: &str) -> StandardOptions {
        let path = folder.path().join("key");
        [path.clone(), path.with_extension("pub")].iter().for_each(|file| _ = std::fs::remove_file(file));
        new_key(&path, "ed25519", passphrase);
        let mut options = StandardOptions::new("box", None);
        (options.agent, options.identity_files) = (super::AgentSource::None, vec![path]);
        options
    }

    /// As OpenSSH's server calls itself.
    const OPENSSH: Option<&str> = Some("SSH-2.0-OpenSSH_test");

    /// Round trips until the first session is there, with one key in a file.
    async fn round_trips(script: Script, folder: &tempfile::TempDir, note: &std::path::Path) -> u64 {
        let standard = Standard::new(with_key(folder, ""));
        let (stream, policy) = Scripted::start(script);
        let options = ClientOptions::new("me").host_keys(policy).authenticator(standard).noted_in(note);
        let begun = tokio::time::Instant::now();
        let half = std::time::Duration::from_millis(500);
        let session = irosh::client::connect(far(stream, half), options).await.expect("in");
        drop(session);
        begun.elapsed().as_secs()
    }

    /// Their identifications with what they have to agree on; the key exchange; what the server takes; the key, signed at
    /// once; the session. Where a key was enough the last time, the third and the fourth are one.
    #[tokio::test(start_paused = true)]
    async fn a_key_in_a_file_has_its_session_in_five_round_trips_and_in_four_the_next_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("notes/box");
        let script = Script { keys: true, name: OPENSSH, ..Script::default() };
        assert_eq!(round_trips(script.clone(), &folder, &note).await, 5);
        assert_eq!(round_trips(script.clone(), &folder, &note).await, 4);
        // Not every server ignores a key that comes after a success, or answers in order.
        assert_eq!(round_trips(Script { name: None, ..script }, &folder, &note).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_needed_no_key_is_noted_as_enough() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("note");
        let script = Script { open: true, name: OPENSSH, ..Script::default() };
        assert_eq!((round_trips(script, &folder, &note).await, note.exists()), (4, false));
    }

    #[tokio::test]
    async fn a_key_that_goes_along_does_no_harm_where_nothing_is_needed_any_more() {
        let folder = tempfile::tempdir().expect("a folder");
        for passphrase in ["", "never asked for"] {
            let standard = Standard::new(with_key(&folder, passphrase));
            let note = folder.path().join("note");
            std::fs::write(&note, "").expect("written");
            let script = Script { open: true, name: OPENSSH, cut_off: Some("here"), ..Script::default() };
            let (stream, policy) = Scripted::start(script);
            let options = ClientOptions::new("me").host_keys(policy).authenticator(standard).noted_in(note);
            let session = irosh::client::connect(stream, options).await.expect("in");
            let said = session.capture_exec("true", 100).await;
            assert!(format!("{said:?}").contains("Disconnected"), "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_key_that_was_offered_too_early_is_offered_again_after_the_password() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("note");
        std::fs::write(&note, "").expect("written");
        for was_expected in [true, false] {
            assert_eq!(note.exists(), was_expected);
            let (asked, prompt) = prompt(&["right"]);
            let standard = Standard::new(with_key(&folder, "")).prompt(prompt);
            let (keys, password, key_last, name) = (true, Some("right"), true, OPENSSH);
            let script = Script { keys, password, key_last, name, ..Script::default() };
            let (stream, policy) = Scripted::start(script);
            let options = ClientOptions::new("me").host_keys(policy).authenticator(standard).noted_in(&note);
            drop(irosh::client::connect(stream, options).await.expect("in"));
            assert_eq!(asked.lock().expect("no panic").len(), 1, "{asked:?}");
        }
    }

    #[tokio::test]
    async fn a_key_whose_passphrase_nobody_knows_leaves_the_password() {
        let folder = tempfile::tempdir().expect("a folder");
        let (asked, prompt) = prompt(&["wrong", "wrong", "wrong", "right"]);
        let standard = Standard::new(with_key(&folder, "forgotten")).prompt(prompt);
        let script = Script { keys: true, password: Some("right"), ..Script::default() };
        let (stream, policy) = Scripted::start(script);
        let options = ClientOptions::new("me").host_keys(policy).authenticator(standard);
        drop(irosh::client::connect(stream, options).await.expect("in"));
        assert_eq!(asked.lock().expect("no panic").len(), 4, "{asked:?}");
    }
}
