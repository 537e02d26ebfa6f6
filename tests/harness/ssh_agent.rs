//! OpenSSH's ssh-agent, and a FIDO key that is a library.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{DEADLINE, Daemon, poll, succeed};

/// What OpenSSH's own tests have in place of a FIDO key: it needs no touch, and says that there was one.
const FIDO_KEY: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

/// Numbers of messages (draft-miller-ssh-agent).
const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const SIGN: u8 = 13;
const REMOVE_ALL: u8 = 19;
const LOCK: u8 = 22;

/// Whether there is one; says so if not, for a test that is then skipped.
pub(crate) fn have_fido_key() -> bool {
    let have = Path::new(FIDO_KEY).exists();
    if !have {
        super::skip("no FIDO key: the package openssh-tests is not installed");
    }
    have
}

/// Makes a key on the FIDO key; returns its public line.
pub(crate) fn new_fido_key(path: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("ssh-keygen");
    command.env("SSH_SK_PROVIDER", FIDO_KEY);
    command.args(["-q", "-t", "ed25519-sk", "-N", "", "-C", "test", "-f"]).arg(path).args(arguments);
    succeed(&mut command);
    fs::read_to_string(path.with_extension("pub")).expect("a public key").trim().to_owned()
}

/// What an agent does when it is to sign.
#[derive(Clone, Copy)]
enum Temper {
    /// It signs what this says alone.
    Signs(fn(&[u8]) -> bool),
    /// It loses its keys first.
    Forgetful,
}

/// An ssh-agent that runs, behind a socket that counts what it signs.
pub(crate) struct SshAgent {
    _daemon: Daemon,
    folder: PathBuf,
    signed: Arc<AtomicUsize>,
}

impl SshAgent {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_which(folder, |_| true)
    }

    /// One that signs nothing but what is of SSH, as some do.
    pub(crate) fn start_strict(folder: &Path) -> Self {
        Self::start_which(folder, |message| message.starts_with(b"SSHSIG"))
    }

    /// One that signs what this says alone.
    pub(crate) fn start_which(folder: &Path, signs: fn(&[u8]) -> bool) -> Self {
        Self::start_with(folder, Temper::Signs(signs), "false")
    }

    /// One that loses its keys when it is to sign.
    pub(crate) fn start_forgetful(folder: &Path) -> Self {
        Self::start_with(folder, Temper::Forgetful, "false")
    }

    /// One that asks this shell script where a key is to be confirmed; it says yes by ending well.
    pub(crate) fn start_asking(folder: &Path, script: &str) -> Self {
        Self::start_with(folder, Temper::Signs(|_| true), script)
    }

    fn start_with(folder: &Path, temper: Temper, script: &str) -> Self {
        let folder = super::subfolder(folder, "ssh-agent");
        let inner = folder.join("inner");
        let ask = folder.join("ask");
        fs::write(&ask, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&ask, fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut command = Command::new("ssh-agent");
        command.env("SSH_ASKPASS", ask).env("SSH_ASKPASS_REQUIRE", "force");
        let daemon = Daemon::start(command.arg("-D").arg("-a").arg(&inner).args(["-P", FIDO_KEY]));
        poll("an ssh-agent", DEADLINE, || UnixStream::connect(&inner).ok());
        let agent = Self { _daemon: daemon, folder, signed: Arc::default() };
        let listener = UnixListener::bind(agent.socket()).expect("a socket");
        let signed = Arc::clone(&agent.signed);
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let (inner, signed) = (inner.clone(), Arc::clone(&signed));
                thread::spawn(move || pass_on(caller, &inner, temper, &signed));
            }
        });
        agent
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// How often it has signed.
    pub(crate) fn signed(&self) -> usize {
        self.signed.load(Ordering::SeqCst)
    }

    /// Gives it a key, and the certificate beside it if there is one.
    pub(crate) fn add(&self, key: &Path) {
        self.add_as(key, &[]);
    }

    /// The same with further words for ssh-add.
    pub(crate) fn add_as(&self, key: &Path, words: &[&str]) {
        let mut command = Command::new("ssh-add");
        command.env("SSH_AUTH_SOCK", self.socket()).env("SSH_SK_PROVIDER", FIDO_KEY);
        succeed(command.arg("-q").args(words).arg(key));
    }

    /// Locks it, as `ssh-add -x` does.
    pub(crate) fn lock(&self) {
        let mut agent = UnixStream::connect(self.socket()).expect("an ssh-agent");
        let asked = [&[LOCK][..], &frame(b"a password")].concat();
        agent.write_all(&frame(&asked)).expect("asked");
        assert_eq!(read_frame(&mut agent), Some(vec![SUCCESS]));
    }
}

/// Passes on what a caller asks and the agent answers.
fn pass_on(mut caller: UnixStream, inner: &Path, temper: Temper, signed: &AtomicUsize) -> Option<()> {
    let mut agent = UnixStream::connect(inner).ok()?;
    loop {
        let asked = read_frame(&mut caller)?;
        // The key, and what it is to sign.
        let is_to_sign = asked.first() == Some(&SIGN);
        let is_refused = match temper {
            Temper::Signs(signs) if is_to_sign => {
                let (_, rest) = string(&asked[1..])?;
                !signs(string(rest)?.0)
            }
            Temper::Forgetful if is_to_sign => {
                agent.write_all(&frame(&[REMOVE_ALL])).ok()?;
                read_frame(&mut agent)?;
                false
            }
            _ => false,
        };
        let answer = if is_refused {
            vec![FAILURE]
        } else {
            agent.write_all(&frame(&asked)).ok()?;
            read_frame(&mut agent)?
        };
        let has_signed = is_to_sign && answer.first() != Some(&FAILURE);
        signed.fetch_add(usize::from(has_signed), Ordering::SeqCst);
        caller.write_all(&frame(&answer)).ok()?;
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    [&length.to_be_bytes()[..], body].concat()
}

fn read_frame(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut body).ok()?;
    Some(body)
}

/// A string at the front, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}
