//! Where the secrets of a pairing are, and where they are not.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use irosh::transport::{KeyFile, Target};

use crate::harness::{DEADLINE, Meeting, Said, Shown, feed, run, succeed};

const PASSWORD: &str = "correct horse battery";

/// Reads the arguments of all processes again and again.
struct Watch {
    over: Arc<AtomicBool>,
    reading: JoinHandle<HashSet<Vec<u8>>>,
}

impl Watch {
    fn begin() -> Self {
        let over = Arc::<AtomicBool>::default();
        let reading = {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let mut seen = HashSet::new();
                while !over.load(Ordering::Relaxed) {
                    let processes = fs::read_dir("/proc").expect("/proc").flatten();
                    seen.extend(processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok()));
                    thread::sleep(Duration::from_millis(2));
                }
                seen
            })
        };
        Self { over, reading }
    }

    fn seen(self) -> Vec<u8> {
        self.over.store(true, Ordering::Relaxed);
        let seen = self.reading.join().expect("no panic");
        seen.into_iter().collect::<Vec<_>>().join(&b'\n')
    }
}

/// All files below a folder, with what is in them.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let contents = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        // Sockets have no content.
        false => vec![(path.clone(), fs::read(&path).unwrap_or_default())],
    });
    contents.collect()
}

/// A secret, in each form in which it could be somewhere, and the one file in which it has to be.
struct Secret {
    what: &'static str,
    forms: Vec<Vec<u8>>,
    home: Option<PathBuf>,
}

impl Secret {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, forms: vec![text.as_bytes().to_vec()], home: None }
    }

    /// As bytes, and in hex.
    fn of_bytes(mut self, bytes: &[u8]) -> Self {
        self.forms.extend([bytes.to_vec(), hex::encode(bytes).into_bytes()]);
        self
    }

    /// A private key, which is in this file, and there alone.
    fn key(what: &'static str, file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).expect("a key");
        // The lines in the middle, where the private half is.
        let line = text.lines().nth(3).expect("a line");
        let bytes = KeyFile::load(&file).expect("a key").secret().to_bytes();
        Self { home: Some(file), ..Self::new(what, line).of_bytes(&bytes) }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| bytes.windows(form.len()).any(|part| part == form))
    }
}

fn words(code: &str) -> &str {
    code.split_once('-').expect("a nameplate").1
}

#[test]
fn secrets_are_where_the_design_says_and_nowhere_else() {
    let watch = Watch::begin();
    let meeting = Meeting::tracing(|server| {
        format!("exec:{} -o PasswordAuthentication=yes -o LogLevel=DEBUG3", server.builtin_command())
    });
    let at_host = |arguments: &[&str]| {
        let mut command = meeting.at_host(arguments);
        command.env("IROSH_LOG", "trace");
        command
    };
    let at_client = |arguments: &[&str]| {
        let mut command = meeting.at_client(arguments);
        command.env("IROSH_LOG", "trace");
        command
    };
    let mut logs = Vec::new();

    // A code of the host's, and one of the client's.
    let mut shown = Shown::start(at_host(&["pair", "--json"]));
    let joined = feed(&mut at_client(&["join", "-", "box"]), format!("{}\n", shown.code).into_bytes());
    assert!(joined.status.success(), "{}", joined.stderr.said());
    assert_eq!(shown.ends(DEADLINE), Some(0));
    let mut other = Shown::start(at_client(&["join", "--json", "--show", "den"]));
    let paired = feed(&mut at_host(&["pair", "--code", "-"]), format!("{}\n", other.code).into_bytes());
    assert!(paired.status.success(), "{}", paired.stderr.said());
    assert_eq!(other.ends(DEADLINE), Some(0));
    logs.extend([shown.said(), joined.stderr.said(), joined.stdout.said()]);
    logs.extend([other.said(), paired.stderr.said(), paired.stdout.said()]);

    // An invite, for another client that is not let in yet.
    succeed(&mut meeting.at_host(&["peers", "revoke", &joined_as(&meeting)]));
    let made = run(&mut at_host(&["invite"]));
    let invite = made.stdout.said().trim().to_owned();
    let joined = feed(&mut at_client(&["join", "-", "barn"]), format!("{invite}\n").into_bytes());
    assert!(joined.status.success(), "{}", joined.stderr.said());
    logs.extend([made.stderr.said(), joined.stderr.said(), joined.stdout.said()]);

    // A password, at the built-in server.
    let set = feed(&mut at_host(&["passwd"]), format!("{PASSWORD}\n").into_bytes());
    assert!(set.status.success(), "{}", set.stderr.said());
    let asked = meeting.folder.path().join("askpass");
    fs::write(&asked, "#!/bin/sh\nprintf '%s\\n' \"$SAYS\"\n").expect("a script");
    fs::set_permissions(&asked, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let mut ssh = meeting.ssh_that_asks();
    ssh.env("SSH_ASKPASS", &asked).env("SSH_ASKPASS_REQUIRE", "force").env("SAYS", PASSWORD);
    ssh.env("IROSH_LOG", "trace").args(["-vvv", "-o", "PreferredAuthentications=password"]);
    let output = run(ssh.args(["-l", &crate::harness::login(), "barn", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}\n{}", output.stderr.said(), meeting.host().log());
    logs.extend([set.stderr.said(), output.stderr.said()]);

    let arguments = watch.seen();
    assert!(String::from_utf8_lossy(&arguments).contains("\0join\0-\0box"), "nothing was watched");
    assert!(
        logs[..2].iter().chain([&meeting.host().log()]).all(|log| log.contains("TRACE")),
        "nothing was traced"
    );
    logs.push(meeting.host().log());
    logs.extend(meeting.host().daemon.stdout.all());
    let target: Target = invite.parse().expect("an invite");
    let (host, client) = (meeting.host().home(), meeting.client.home());
    let secrets = [
        Secret::new("the host's code", words(&shown.code)),
        Secret::new("the client's code", words(&other.code)),
        Secret::new("the invite", &invite[..30]).of_bytes(&target.secret().expect("a secret").0),
        Secret::new("the password", PASSWORD).of_bytes(PASSWORD.as_bytes()),
        Secret::key("the host's key", host.join("host_key")),
        Secret::key("the client's key", client.join("identity")),
    ];
    let files = files(meeting.folder.path());
    for secret in &secrets {
        let what = secret.what;
        assert!(!secret.is_in(&arguments), "{what} is in an argument list");
        assert!(!secret.is_in(&meeting.names.all()), "{what} is at the name server");
        let logged = logs.iter().find(|log| secret.is_in(log.as_bytes()));
        assert_eq!(logged.map(|log| &log[..log.len().min(3000)]), None, "{what} is logged");
        let kept: Vec<_> =
            files.iter().filter(|(_, bytes)| secret.is_in(bytes)).map(|(path, _)| path).collect();
        assert_eq!(kept, secret.home.iter().collect::<Vec<_>>(), "files that have {what}");
    }
}

/// What the host calls the client.
fn joined_as(meeting: &Meeting) -> String {
    let listed = succeed(&mut meeting.at_host(&["peers", "list", "--json"]));
    let peer: serde_json::Value = serde_json::from_str(listed.lines().next().expect("a peer")).expect("JSON");
    peer["name"].as_str().expect("a name").to_owned()
}
