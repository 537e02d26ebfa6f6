//! A program that serves SSH and decides itself who may log in, with plain ssh as its client.

mod harness;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
};

use harness::{DEADLINE, Said, folder, login, new_key, poll, program, run};
use irosh::server::{
    Authenticator, BoxFuture, Entrance, Interaction, LoginRequest, NotAdmitted, Origin, Questions, Secret,
    ServeOptions, config::SshdConfig, key_options::KeyOptions, serve,
};
use russh::keys::PublicKey;

/// A password and then a code; one key that no file has.
#[derive(Clone, Default)]
struct Door {
    key: Option<PublicKey>,
    closed: bool,
    barred: bool,
    notice: Option<String>,
    password_was_right: bool,
    /// What was asked of it.
    log: Arc<Mutex<Vec<String>>>,
}

impl Door {
    fn note(&self, what: &str, request: &LoginRequest) {
        let known = if request.uid.is_some() { "" } else { ", unknown" };
        self.log.lock().expect("no panic").push(format!("{what} of {}{known}", request.user));
    }
}

fn ask(text: &str, echo: bool) -> Interaction {
    let instructions = "Two questions, one after the other.".to_owned();
    Interaction::Ask(Questions {
        name: String::new(),
        instructions,
        questions: vec![(text.to_owned(), echo)],
    })
}

impl Authenticator for Door {
    fn public_key<'a>(
        &'a mut self,
        request: &'a LoginRequest,
        key: &'a PublicKey,
    ) -> BoxFuture<'a, Option<KeyOptions>> {
        self.note("key", request);
        let known = self.key.as_ref().is_some_and(|known| known.key_data() == key.key_data());
        let command = Some("echo forced".to_owned());
        let options = known.then(|| KeyOptions { command, ..KeyOptions::unrestricted() });
        Box::pin(async { options })
    }

    fn password<'a>(&'a mut self, request: &'a LoginRequest, password: Secret) -> BoxFuture<'a, bool> {
        self.note("password", request);
        Box::pin(async move { password.as_str() == "sesame" })
    }

    fn interact<'a>(
        &'a mut self,
        request: &'a LoginRequest,
        answers: Option<Vec<Secret>>,
    ) -> BoxFuture<'a, Interaction> {
        self.note(if answers.is_none() { "questions" } else { "answer" }, request);
        let next = match answers.as_deref() {
            None => {
                self.password_was_right = false;
                ask("Word: ", false)
            }
            Some([word]) if !self.password_was_right && word.as_str() == "sesame" => {
                self.password_was_right = true;
                ask("Code: ", true)
            }
            Some([code]) if self.password_was_right && code.as_str() == "1234" => Interaction::Accept,
            Some(_) => Interaction::Refuse,
        };
        Box::pin(async { next })
    }

    fn admit<'a>(&'a mut self, request: &'a LoginRequest) -> BoxFuture<'a, Result<(), NotAdmitted>> {
        self.note("admit", request);
        let closed = self.closed;
        Box::pin(async move {
            if closed {
                return Err(NotAdmitted("the door is closed".to_owned()));
            }
            Ok(())
        })
    }

    fn take_notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    fn enter<'a>(&'a mut self, request: &'a LoginRequest) -> BoxFuture<'a, Result<Entrance, NotAdmitted>> {
        self.note("enter", request);
        let barred = self.barred;
        Box::pin(async move {
            if barred {
                return Err(NotAdmitted("the room is taken".to_owned()));
            }
            let environment = vec![("DOOR".into(), "front".into())];
            Ok(Entrance { environment, ..Entrance::default() })
        })
    }

    fn end(&mut self) -> BoxFuture<'_, ()> {
        self.log.lock().expect("no panic").push("end".to_owned());
        Box::pin(async {})
    }
}

/// A program that serves, and a client of it.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn start(sshd_config: &str, door: Door) -> Self {
        let folder = folder();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let mut config = SshdConfig::default();
        let text = format!("AuthorizedKeysFile none\nPermitRootLogin yes\n{sshd_config}");
        config.add_file("sshd_config", &text, &mut |_: &str| Ok(Vec::new())).expect("a configuration");
        let (config, host_key, log) = (Arc::new(config), folder.path().join("host_key"), door.log.clone());
        thread::spawn(move || {
            while let Ok((stream, client)) = listener.accept() {
                let origin = Some(Origin::new(client, stream.local_addr().expect("an address")));
                let authenticator: Option<Box<dyn Authenticator>> = Some(Box::new(door.clone()));
                let (config, host_key) = (config.clone(), host_key.clone());
                let options =
                    ServeOptions { config, host_key, authenticator, origin, ..ServeOptions::default() };
                stream.set_nonblocking(true).expect("a stream that does not block");
                thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.expect("a runtime").block_on(async {
                        let stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
                        let (reader, writer) = stream.into_split();
                        drop(serve(reader, writer, options).await);
                    });
                });
            }
        });
        Self { folder, port, log }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// ssh, and what it answers to prompts, each of which begins with a word.
    fn ssh(&self, answers: &[(&str, &str)], arguments: &[&str]) -> Output {
        let cases: String =
            answers.iter().map(|(prompt, answer)| format!("*{prompt}*) echo {answer};;\n")).collect();
        let script = self.path("askpass");
        fs::write(&script, format!("#!/bin/sh\ncase \"$1\" in\n{cases}*) exit 1;;\nesac\n"))
            .expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut ssh: Command = program("ssh", self.folder.path());
        ssh.env("SSH_ASKPASS", script)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .args(["-F", "none", "-p", &self.port.to_string(), "-o", "IdentityAgent=none"])
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "NumberOfPasswordPrompts=1", "-o", "IdentitiesOnly=yes"])
            .args(arguments)
            .args(["-l", &login()])
            .args(["127.0.0.1", "echo in; echo $DOOR"]);
        run(&mut ssh)
    }

    /// What the authenticator was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().expect("no panic"))
    }
}

const BY_QUESTIONS: &[&str] = &["-o", "PreferredAuthentications=keyboard-interactive"];

fn key(place_file: &std::path::Path) -> PublicKey {
    PublicKey::from_openssh(&new_key(place_file)).expect("a key")
}

#[test]
fn questions_follow_one_another() {
    let place = Place::start("", Door::default());
    let output = place.ssh(&[("Word", "sesame"), ("Code", "1234")], BY_QUESTIONS);
    assert_eq!(output.stdout, b"in\nfront\n", "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Two questions"), "{output:?}");
    let user = login();
    let mut expected =
        ["questions", "answer", "answer", "admit", "enter"].map(|what| format!("{what} of {user}")).to_vec();
    expected.push("end".to_owned());
    let mut asked = Vec::new();
    poll("the end", DEADLINE, || {
        asked.append(&mut place.asked());
        asked.ends_with(&["end".to_owned()]).then_some(())
    });
    assert_eq!(asked, expected);
    let output = place.ssh(&[("Word", "sesame"), ("Code", "9999")], BY_QUESTIONS);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(255), &b""[..]), "{output:?}");
    let output = place.ssh(&[("Word", "wrong"), ("Code", "1234")], BY_QUESTIONS);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(255), &b""[..]), "{output:?}");
}

#[test]
fn a_password_is_the_programs_to_judge() {
    let place = Place::start("", Door::default());
    let by_password = ["-o", "PreferredAuthentications=password"];
    let output = place.ssh(&[("password", "sesame")], &by_password);
    assert_eq!(output.stdout, b"in\nfront\n", "{output:?}");
    let output = place.ssh(&[("password", "1234")], &by_password);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    let place = Place::start("PasswordAuthentication no\n", Door::default());
    let output = place.ssh(&[("password", "sesame")], &by_password);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
}

#[test]
fn a_key_that_no_file_has_may_do_what_the_program_says() {
    let keys = folder();
    let (known, other) = (keys.path().join("known"), keys.path().join("other"));
    let door = Door { key: Some(key(&known)), ..Door::default() };
    key(&other);
    let place = Place::start("", door.clone());
    let with = |key: &PathBuf| {
        place.ssh(&[], &["-i", &key.display().to_string(), "-o", "PreferredAuthentications=publickey"])
    };
    let output = with(&known);
    assert_eq!(output.stdout, b"forced\n", "{output:?}");
    let output = with(&other);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    // A revoked key is not the program's to let in.
    let revoked = keys.path().join("revoked");
    fs::copy(known.with_extension("pub"), &revoked).expect("a list");
    place.asked();
    let strict = Place::start(&format!("RevokedKeys {}\n", revoked.display()), door);
    let known = known.display().to_string();
    let output = strict.ssh(&[], &["-i", &known, "-o", "PreferredAuthentications=publickey"]);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    assert_eq!(strict.asked(), [""; 0]);
}

#[test]
fn a_key_and_questions_are_both_needed() {
    let keys = folder();
    let file = keys.path().join("key");
    let door = Door { key: Some(key(&file)), ..Door::default() };
    let place = Place::start("AuthenticationMethods publickey,keyboard-interactive\n", door);
    let file = file.display().to_string();
    let answers = [("Word", "sesame"), ("Code", "1234")];
    let output = place.ssh(&answers, &["-i", &file]);
    assert_eq!(output.stdout, b"forced\n", "{output:?}");
    let asked = place.asked();
    assert_eq!(asked.iter().filter(|what| what.starts_with("admit")).count(), 1, "{asked:?}");
    let output = place.ssh(&answers, BY_QUESTIONS);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
}

#[test]
fn the_program_has_the_last_word() {
    let place = Place::start("", Door { closed: true, ..Door::default() });
    let output = place.ssh(&[("Word", "sesame"), ("Code", "1234")], BY_QUESTIONS);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(255), &b""[..]), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
}

#[test]
fn a_login_that_cannot_enter_is_over_and_a_notice_comes_before_the_answer() {
    let door = Door { notice: Some("mind the step\n".to_owned()), ..Door::default() };
    let place = Place::start("", door.clone());
    let output = place.ssh(&[("Word", "sesame"), ("Code", "1234")], BY_QUESTIONS);
    assert_eq!(output.stdout, b"in\nfront\n", "{output:?}");
    assert_eq!(output.stderr.said().matches("mind the step").count(), 1, "{output:?}");
    let place = Place::start("", Door { barred: true, ..door });
    let output = place.ssh(&[("Word", "sesame"), ("Code", "1234")], BY_QUESTIONS);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(255), &b""[..]), "{output:?}");
    let said = output.stderr.said();
    assert!(said.contains("mind the step") && !said.contains("Permission denied"), "{said}");
}

#[test]
fn an_unknown_login_is_asked_the_same_and_never_let_in() {
    let place = Place::start("", Door::default());
    // The first of several user names counts.
    let words: Vec<_> = ["-o", "User=no-such-user"].iter().chain(BY_QUESTIONS).copied().collect();
    let output = place.ssh(&[("Word", "sesame"), ("Code", "1234")], &words);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(255), &b""[..]), "{output:?}");
    let expected = ["questions", "answer", "answer"].map(|what| format!("{what} of no-such-user, unknown"));
    assert_eq!(place.asked(), expected);
}
