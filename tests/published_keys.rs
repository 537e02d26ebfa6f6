//! `irosh peers allow github:NAME`: keys that somebody has published, from a small web server.

mod harness;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use harness::{
    Certificate, DEADLINE, IROSH, Line, Route, Said, folder, free_port, have, is_in, new_key, on_a_terminal,
    program, run, ssh_to,
};

/// A web server with one page, and the first line of each request to it.
struct Web {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start(status: &str, page: impl Into<Vec<u8>>) -> Self {
        Self::serve(None, status, page.into())
    }

    /// The same over TLS.
    fn start_tls(certificate: &Certificate, page: impl Into<Vec<u8>>) -> Self {
        Self::serve(Some(certificate.server()), "200 OK", page.into())
    }

    fn serve(tls: Option<Arc<rustls::ServerConfig>>, status: &str, page: Vec<u8>) -> Self {
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
        let answer = [head.into_bytes(), page].concat();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let web = Self { port: listener.local_addr().expect("an address").port(), asked: Arc::default() };
        let asked = Arc::clone(&web.asked);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                match &tls {
                    None => converse(&mut stream, &asked, &answer),
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(Arc::clone(tls)).expect("a server");
                        converse(&mut rustls::StreamOwned::new(connection, stream), &asked, &answer);
                    }
                }
            }
        });
        web
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// Hears a request, and answers it.
fn converse(stream: &mut (impl Read + Write), asked: &Mutex<Vec<String>>, answer: &[u8]) {
    let mut lines = BufReader::new(&mut *stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    lines.find(|line| line.is_empty());
    drop(lines);
    asked.lock().expect("no panic").push(first);
    // Who has had enough does not read to the end.
    let _ = stream.write_all(answer).and_then(|()| stream.flush());
}

/// A host's folder whose settings name a place for keys.
struct Place(tempfile::TempDir);

impl Place {
    fn at(port: u16) -> Self {
        Self::with_settings(&format!("keys-url = \"http://127.0.0.1:{port}/%u.keys\"\n"))
    }

    fn with_settings(settings: &str) -> Self {
        let place = Self(folder());
        fs::write(place.0.path().join("host.toml"), settings).expect("host.toml");
        place
    }

    fn allow(&self, words: &[&str]) -> Command {
        let mut command = irosh(self.0.path());
        command.args(["peers", "allow"]).args(words);
        command
    }

    fn list(&self) -> String {
        fs::read_to_string(self.0.path().join("authorized_peers")).unwrap_or_default()
    }
}

/// Our program, without the proxy that this machine may have.
fn irosh(home: &Path) -> Command {
    let mut command = program(IROSH, home);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Two keys that can be identities, and one that cannot.
fn keys() -> ([String; 2], String) {
    let folder = folder();
    let key = |name: &str| {
        let line = new_key(&folder.path().join(name));
        line.trim_end_matches(" test").to_owned()
    };
    let other = folder.path().join("other");
    harness::succeed(Command::new("ssh-keygen").args(["-q", "-t", "ecdsa", "-N", "", "-f"]).arg(&other));
    let other = fs::read_to_string(other.with_extension("pub")).expect("a key");
    let keys = [key("one"), key("two")];
    let page = format!("{}\n{}\n{}\n", keys[0], other.trim(), keys[1]);
    (keys, page)
}

#[track_caller]
fn fails(output: &Output, words: &str) {
    let said = output.stderr.said();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(words), "not `{words}`: {said}");
}

#[test]
fn published_keys_are_shown_and_those_that_can_be_identities_admitted() {
    let (keys, page) = keys();
    let web = Web::start("200 OK", page);
    let place = Place::at(web.port);
    let output = run(&mut place.allow(&["--yes", "no-pty", "github:octo-cat"]));
    let said = output.stderr.said();
    assert!(output.status.success(), "{said}");
    assert_eq!(web.asked(), ["GET /octo-cat.keys HTTP/1.1"]);
    assert!(said.contains(&format!("http://127.0.0.1:{}/octo-cat.keys has\n  SHA256:", web.port)), "{said}");
    assert!(said.contains("passed over: ecdsa-sha2-nistp256 SHA256:"), "{said}");
    let expected: String = keys.iter().map(|key| format!("no-pty {key} github:octo-cat\n")).collect();
    assert_eq!(place.list(), expected);
    assert_eq!(output.stdout.said().lines().count(), 2);
    // Once more changes nothing, and they go together.
    assert!(run(&mut place.allow(&["--yes", "github:octo-cat"])).status.success());
    assert_eq!(place.list(), expected);
    let revoked = run(program(IROSH, place.0.path()).args(["peers", "revoke", "github:octo-cat"]));
    assert!(revoked.status.success(), "{}", revoked.stderr.said());
    assert_eq!(place.list(), "");
}

#[test]
fn somebody_is_asked_before_published_keys_are_admitted() {
    if !have(&["python3", "setsid"]) {
        return;
    }
    let (keys, page) = keys();
    let web = Web::start("200 OK", page);
    let place = Place::at(web.port);
    let allow = place.allow(&["github:alice"]);
    let talk = |answer: &str| {
        on_a_terminal(
            &allow,
            &format!("wait('these keys as github:alice? [y/N]'); send('{answer}\\n'); end()"),
        )
    };
    assert_eq!(talk("n").trim(), "code 1");
    assert_eq!(talk("").trim(), "code 1");
    assert_eq!(place.list(), "");
    // Where nobody can be asked, nobody is let in, and nothing is fetched.
    let before = web.asked().len();
    let mut alone = program("setsid", place.0.path());
    fails(&run(alone.args(["-w", IROSH, "peers", "allow", "github:alice"])), "there is no terminal to ask");
    assert_eq!((place.list().as_str(), web.asked().len()), ("", before));
    assert_eq!(talk("yes").trim(), "code 0");
    assert_eq!(place.list().lines().count(), keys.len());
}

#[test]
fn what_is_no_list_of_keys_admits_nobody() {
    let (_, page) = keys();
    let refuse = |status, page: String, words: &str| {
        let place = Place::at(Web::start(status, page).port);
        fails(&run(&mut place.allow(&["--yes", "github:alice"])), words);
        assert_eq!(place.list(), "");
    };
    refuse("404 Not Found", page.clone(), "/alice.keys answers 404 Not Found");
    refuse("302 Found", page, "answers 302 Found");
    refuse("200 OK", "x".repeat(100 << 10), "sends more than 65536 bytes");
    refuse("200 OK", "<html>hello</html>\n".to_owned(), "has no ed25519 key, and 1 of other kinds");
    refuse("200 OK", String::new(), "has no ed25519 key, and 0 of other kinds");
    let place = Place::at(free_port());
    fails(&run(&mut place.allow(&["--yes", "github:alice"])), "cannot be reached: Connection refused");
    fails(&run(&mut place.allow(&["--yes", "github:../alice"])), "`../alice` is no name");
}

#[test]
fn keys_come_over_tls_from_a_server_that_is_believed_and_from_no_other() {
    let (keys, page) = keys();
    let certificate = Certificate::of(&["localhost"], 2090);
    let web = Web::start_tls(&certificate, page);
    let authorities = folder();
    let file = authorities.path().join("ca.pem");
    fs::write(&file, &certificate.pem).expect("a file");
    let url = format!("keys-url = \"https://localhost:{}/%u.keys\"\n", web.port);
    let place = Place::with_settings(&url);
    fails(&run(&mut place.allow(&["--yes", "github:alice"])), "cannot be reached: invalid peer certificate");
    assert_eq!((place.list().as_str(), web.asked().len()), ("", 0));
    let place = Place::with_settings(&format!("{url}ca = \"{}\"\n", file.display()));
    let output = run(&mut place.allow(&["--yes", "github:alice"]));
    assert!(output.status.success(), "{}", output.stderr.said());
    assert_eq!(place.list().lines().count(), keys.len());
}

#[test]
fn keys_are_taken_from_the_place_that_is_named_and_not_from_where_it_points() {
    let (_, page) = keys();
    let other = Web::start("200 OK", page);
    let status = format!("302 Found\r\nLocation: http://127.0.0.1:{}/alice.keys", other.port);
    let place = Place::at(Web::start(&status, "").port);
    fails(&run(&mut place.allow(&["--yes", "github:alice"])), "answers 302 Found");
    assert_eq!((place.list().as_str(), other.asked().len()), ("", 0));
}

#[test]
fn what_is_not_utf_8_is_passed_over() {
    let (keys, _) = keys();
    let page = [b"\xff\xfe\x00\n", keys[0].as_bytes(), b" caf\xe9\n"].concat();
    let place = Place::at(Web::start("200 OK", page).port);
    let output = run(&mut place.allow(&["--yes", "github:alice"]));
    assert!(output.status.success(), "{}", output.stderr.said());
    assert!(output.stderr.said().contains("passed over: no key: "), "{}", output.stderr.said());
    assert_eq!(place.list(), format!("{} github:alice\n", keys[0]));
}

#[test]
fn a_server_that_does_not_come_to_an_end_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = Place::at(listener.local_addr().expect("an address").port());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // What comes before it is asked for is no answer.
            BufReader::new(&stream).lines().map_while(Result::ok).find(String::is_empty);
            let begun = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nssh-ed25519 ");
            // Until the other side has had enough.
            let _ = begun.and_then(|()| stream.read_to_end(&mut Vec::new()));
        }
    });
    let begun = Instant::now();
    fails(&run(&mut place.allow(&["--yes", "github:alice"])), "cannot be reached: operation timed out");
    assert!(begun.elapsed() < DEADLINE);
    assert_eq!(place.list(), "");
}

#[test]
fn published_keys_are_fetched_by_the_proxy_of_the_environment() {
    let (_, page) = keys();
    let proxy = Web::start("200 OK", page);
    let port = free_port();
    let place = Place::at(port);
    let mut allow = place.allow(&["--yes", "github:alice"]);
    let output = run(allow.env("http_proxy", format!("http://127.0.0.1:{}", proxy.port)));
    assert!(output.status.success(), "{}", output.stderr.said());
    assert_eq!(proxy.asked(), [format!("GET http://127.0.0.1:{port}/alice.keys HTTP/1.1")]);
    assert_eq!(place.list().lines().count(), 2);
}

#[test]
fn who_has_published_a_key_is_let_in_by_it() {
    let line = Line::new(Route::Exec);
    let client = line.stranger("alice");
    let web = Web::start("200 OK", format!("{}\n", client.identity));
    let settings = format!("keys-url = \"http://127.0.0.1:{}/%u.keys\"\n", web.port);
    fs::write(line.host().home().join("host.toml"), settings).expect("host.toml");
    let output = run(irosh(line.host().home()).args(["peers", "allow", "--yes", "github:alice"]));
    assert!(output.status.success(), "{}", output.stderr.said());
    is_in(&ssh_to(&client, "box"));
}
