//! A program that serves SSH on streams of its own: what ends a connection, and that nothing is left of it.

mod harness;

use std::{path::Path, sync::Arc};

use harness::{DEADLINE, folder, login};
use irosh::server::{
    Authenticator, BoxFuture, Interaction, LoginRequest, Questions, Secret, ServeError, ServeOptions,
    config::SshdConfig, serve,
};
use russh::{
    Channel, ChannelMsg,
    client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex, split},
    sync::oneshot::{self, error::TryRecvError},
    time::timeout,
};

/// Never says whether a password is right, and asks the same question again and again.
struct Slow(#[allow(dead_code, reason = "dropped with it")] oneshot::Sender<()>);

impl Authenticator for Slow {
    fn password<'a>(&'a mut self, _: &'a LoginRequest, _: Secret) -> BoxFuture<'a, bool> {
        Box::pin(std::future::pending())
    }

    fn interact<'a>(&'a mut self, _: &'a LoginRequest, _: Option<Vec<Secret>>) -> BoxFuture<'a, Interaction> {
        let questions = vec![("Again? ".to_owned(), true)];
        Box::pin(async { Interaction::Ask(Questions { questions, ..Questions::default() }) })
    }
}

/// A connection that is being served: the client's end, and what ends when the authenticator is gone.
fn served(
    folder: &Path,
    config: &str,
    vouched_login: Option<String>,
) -> (DuplexStream, oneshot::Receiver<()>, impl Future<Output = Result<(), ServeError>> + Send + 'static) {
    let mut parsed = SshdConfig::default();
    parsed.add_file("sshd_config", config, &mut |_: &str| Ok(Vec::new())).expect("a configuration");
    let (held, gone) = oneshot::channel();
    let options = ServeOptions {
        config: Arc::new(parsed),
        host_key: folder.join("host_key"),
        authenticator: Some(Box::new(Slow(held))),
        vouched_logins: vouched_login.into_iter().collect(),
        ..ServeOptions::default()
    };
    let (theirs, ours) = duplex(1 << 16);
    let (reader, writer) = split(ours);
    (theirs, gone, serve(reader, writer, options))
}

struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn connected(stream: DuplexStream) -> Handle<Trusting> {
    client::connect_stream(Arc::default(), stream, Trusting).await.expect("connected")
}

/// Waits until the other side has let go of both directions.
async fn is_let_go(mut stream: DuplexStream) {
    let mut rest = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("in time").expect("the end");
    assert!(tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await.is_err(), "somebody still reads");
}

#[tokio::test]
async fn a_stranger_who_says_nothing_is_let_go_of_after_the_grace_time() {
    let folder = folder();
    let (stream, mut gone, serving) = served(folder.path(), "LoginGraceTime 1\n", None);
    let ended = timeout(DEADLINE, serving).await.expect("in time");
    assert!(matches!(ended, Err(ServeError::Grace(_))), "{ended:?}");
    assert_eq!(gone.try_recv(), Err(TryRecvError::Closed));
    is_let_go(stream).await;
}

#[tokio::test]
async fn an_authenticator_that_never_answers_ends_with_the_grace_time() {
    let folder = folder();
    let (stream, mut gone, serving) = served(folder.path(), "LoginGraceTime 2\n", None);
    let serving = tokio::spawn(serving);
    let mut session = connected(stream).await;
    let asking = tokio::spawn(async move { session.authenticate_password(login(), "sesame").await });
    let ended = timeout(DEADLINE, serving).await.expect("in time").expect("no panic");
    assert!(matches!(ended, Err(ServeError::Grace(_))), "{ended:?}");
    assert_eq!(gone.try_recv(), Err(TryRecvError::Closed));
    let answer = timeout(DEADLINE, asking).await.expect("in time").expect("no panic");
    assert!(!matches!(answer, Ok(AuthResult::Success)), "{answer:?}");
}

#[tokio::test]
async fn a_future_that_is_dropped_takes_its_connection_along() {
    let folder = folder();
    let (stream, gone, serving) = served(folder.path(), "", None);
    let serving = tokio::spawn(serving);
    let mut session = connected(stream).await;
    let asking = tokio::spawn(async move { session.authenticate_password(login(), "sesame").await });
    tokio::task::yield_now().await;
    serving.abort();
    let answer = timeout(DEADLINE, asking).await.expect("in time").expect("no panic");
    assert!(!matches!(answer, Ok(AuthResult::Success)), "{answer:?}");
    timeout(DEADLINE, gone).await.expect("the authenticator goes").expect_err("dropped");
}

#[tokio::test]
async fn requests_without_end_end_the_connection_though_none_is_rejected() {
    let folder = folder();
    let (stream, _, serving) = served(folder.path(), "", None);
    let serving = tokio::spawn(serving);
    let mut session = connected(stream).await;
    let mut asked = 0;
    while let Ok(KeyboardInteractiveAuthResponse::InfoRequest { .. }) =
        timeout(DEADLINE, session.authenticate_keyboard_interactive_start(login(), None))
            .await
            .expect("an answer")
    {
        asked += 1;
        assert!(asked <= 1024, "asked for ever");
    }
    assert_eq!(asked, 1023, "sshd ends at the 1024th");
    let _ = timeout(DEADLINE, serving).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn who_is_vouched_for_is_let_in_by_whatever_they_try_first() {
    let folder = folder();
    let key = folder.path().join("key");
    harness::new_key(&key);
    let key = Arc::new(load_secret_key(key, None).expect("a key"));
    let (own, other) = (login(), "no-such-user".to_owned());
    for (method, user) in [
        ("none", &own),
        ("password", &own),
        ("keyboard-interactive", &own),
        ("publickey", &own),
        ("none", &other),
        ("keyboard-interactive", &other),
        ("publickey", &other),
    ] {
        let (stream, _, serving) = served(folder.path(), "PermitRootLogin yes\n", Some(own.clone()));
        let serving = tokio::spawn(serving);
        let mut session = connected(stream).await;
        let trying = async {
            match method {
                "none" => session.authenticate_none(user.as_str()).await.expect("an answer").success(),
                "password" => {
                    session.authenticate_password(user.as_str(), "").await.expect("an answer").success()
                }
                "publickey" => {
                    let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), None);
                    session.authenticate_publickey(user.as_str(), key).await.expect("an answer").success()
                }
                _ => {
                    let begun = session.authenticate_keyboard_interactive_start(user.as_str(), None).await;
                    matches!(begun.expect("an answer"), KeyboardInteractiveAuthResponse::Success)
                }
            }
        };
        let let_in = timeout(DEADLINE, trying).await.expect("an answer");
        assert_eq!(let_in, *user == own, "{method} of {user}");
        serving.abort();
    }
}

/// What the server says to the last request of a channel.
async fn answered(channel: &mut Channel<client::Msg>) -> bool {
    let answer = async {
        loop {
            match channel.wait().await.expect("an answer") {
                ChannelMsg::Success => return true,
                ChannelMsg::Failure => return false,
                _ => {}
            }
        }
    };
    timeout(DEADLINE, answer).await.expect("an answer")
}

#[tokio::test]
async fn a_session_has_one_agent_and_no_terminal_after_it_has_started() {
    let folder = folder();
    let (stream, _, serving) = served(folder.path(), "PermitRootLogin yes\n", Some(login()));
    let serving = tokio::spawn(serving);
    let mut session = connected(stream).await;
    assert!(session.authenticate_none(login()).await.expect("an answer").success());
    let mut channel = session.channel_open_session().await.expect("a channel");
    channel.agent_forward(true).await.expect("asked");
    assert!(answered(&mut channel).await);
    channel.agent_forward(true).await.expect("asked");
    assert!(!answered(&mut channel).await, "a second agent");
    channel.exec(true, "cat").await.expect("asked");
    assert!(answered(&mut channel).await);
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.expect("asked");
    assert!(!answered(&mut channel).await, "a terminal for what has none");
    serving.abort();
}
