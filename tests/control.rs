//! What commands ask of the running host: it is done at once, by the host alone, and who asked is told what came of it.

mod harness;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use harness::{
    DEADLINE, Host, HostSetup, IROSH, Line, Raw, Route, Running, Said, System, fails, folder, is_in,
    is_refused, json_lines, login, new_key, program, run, skip, ssh_to, stranger, succeed,
};
use irosh::{
    files::Paths,
    host::{ControlError, Edit, Peer, RunningHost, Terms},
    protocol::{CloseCode, Frame, LegHeader, MAX_LEG_FRAME, SessionId},
    session::read_frame,
    transport::KeyFile,
};
use jiff::tz::TimeZone;
use nix::unistd::geteuid;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti x";

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn socket(home: &Path) -> PathBuf {
    home.join("run/control/host.sock")
}

/// The folders of a host, as a program has them.
fn paths(host: &Host) -> Paths {
    Paths::under(host.home())
}

#[test]
fn a_peer_is_thrown_out_and_let_in_again_before_the_commands_return() {
    let line = Line::new(Route::Exec);
    let mut ssh = Running::waiting(&mut line.client.ssh());
    let revoked = &line.host().json(&["peers", "revoke", "test"])[0];
    let ended = (&revoked["ended"]["connections"], &revoked["ended"]["sessions"]);
    assert_eq!(ended, (&json!(1), &json!(1)), "{revoked}");
    assert_eq!(ssh.wait(DEADLINE).code(), Some(255));
    is_refused(&ssh_to(&line.client, "box"), "this host does not know you");
    line.host().allow(&line.client.identity);
    is_in(&ssh_to(&line.client, "box"));
    line.host().daemon.stderr.wait_for("revoked");
}

#[test]
fn people_are_told_what_revoking_has_ended() {
    let line = Line::with_settings(Route::Exec, "access = \"open\"\n");
    let _one = Running::waiting(&mut line.client.ssh());
    let _two = Running::waiting(&mut line.client.ssh());
    let said = succeed(program(IROSH, line.host().home()).args(["peers", "revoke", "test"]));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[1], "    ended: 2 connections, 2 sessions", "{said}");
    assert!(lines.len() == 3 && lines[2].contains("kept out"), "{said}");
}

#[test]
fn who_may_do_something_else_from_now_on_is_ended_and_that_is_said() {
    let line = Line::new(Route::Exec);
    let mut ssh = Running::waiting(&mut line.client.ssh());
    let allow =
        |words: &str| line.host().irosh(&["peers", "allow", &format!("{words}{}", line.client.identity)]);
    let same = allow("");
    assert_eq!((same.status.success(), same.stderr.said().as_str()), (true, ""));
    let said = allow("no-resume ").stderr.said();
    assert!(said.contains("irosh: what began on other terms has ended: 1 connection, 1 session\n"), "{said}");
    assert_eq!(ssh.wait(DEADLINE).code(), Some(255));
}

/// A session of the client's that has lost its connection, and what to hold on to for it.
fn detached(line: &Line) -> (Runtime, Raw) {
    let key = KeyFile::load(&line.client.home().join("identity")).expect("a key");
    let host = line.host();
    let runtime = Runtime::new().expect("a runtime");
    let raw = runtime.block_on(async {
        let raw = Raw::connect(host).await;
        let (answer, _control, _said) = raw.greet(key.secret()).await;
        assert!(matches!(answer, Frame::Welcome(_)), "{answer:?}");
        let (_send, mut recv) = raw.say(&LegHeader::Open(SessionId::generate()).encode()).await;
        read_frame(&mut recv, MAX_LEG_FRAME).await.expect("a reply");
        raw.connection.close(CloseCode::Detached.into(), b"");
        raw
    });
    host.wait_event(|event| event["event"] == "session_detached");
    (runtime, raw)
}

#[test]
fn a_list_of_peers_shows_who_is_here_from_where_since_when_and_with_how_many_sessions() {
    let line = Line::with_settings(Route::Exec, "access = \"open\"\n");
    let host = line.host();
    host.allow(&format!("{KEY} absent"));
    let _held = detached(&line);
    let _ssh = Running::waiting(&mut line.client.ssh());
    let guest = stranger(&line, "stranger");
    let _stranger = Running::waiting(&mut guest.ssh());
    let listed = host.json(&["peers"]);
    let [here, absent, stranger] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&here["name"], &here["listed"]), (&json!("test"), &json!(true)));
    let connection = &here["connections"][0];
    assert_eq!((&connection["sessions"], &connection["path"]["relayed"]), (&json!(1), &json!(false)));
    let address = connection["path"]["address"].as_str().expect("an address");
    assert!(address.starts_with("127.0.0.1:") && connection["age"].is_u64(), "{here}");
    let waits: Vec<_> =
        here["sessions"].as_array().expect("sessions").iter().map(|one| one["detached"].is_u64()).collect();
    assert_eq!(waits.iter().filter(|waits| **waits).count(), 1, "{here}");
    assert_eq!(waits.len(), 2, "{here}");
    assert_eq!(
        (&absent["name"], &absent["connections"], &absent["sessions"]),
        (&json!("x absent"), &json!([]), &json!([]))
    );
    assert_eq!((&stranger["listed"], &stranger["revoked"]), (&json!(false), &json!(false)));
    assert_eq!(stranger["connections"].as_array().map(Vec::len), Some(1), "{stranger}");
    let text = host.irosh(&["peers"]).stdout.said();
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[1].starts_with("    here for ") && lines[1].contains(&format!(", direct to {address}, ")),
        "{text}"
    );
    assert_eq!(lines[2], "    2 sessions: 1 attached, 1 detached", "{text}");
    assert!(lines[3].contains("absent") && lines[4].contains("on no list"), "{text}");
    assert!(
        lines[5].starts_with("    here for ") && lines[6] == "    1 session: 1 attached, 0 detached",
        "{text}"
    );
}

#[test]
fn a_relay_is_told_as_where_a_peer_comes_from() {
    let line = Line::new(Route::Relayed);
    let _ssh = Running::waiting(&mut line.client.ssh());
    let url = line.relay.as_ref().expect("a relay").url().to_owned();
    let path = &line.host().json(&["peers"])[0]["connections"][0]["path"];
    let address = path["address"].as_str().expect("an address");
    assert!(
        path["relayed"] == true && address.trim_end_matches('/') == url.trim_end_matches('/'),
        "{path} {url}"
    );
}

#[test]
fn an_invite_is_told_to_who_has_made_it_alone() {
    let folder = folder();
    let host = HostSetup::new(&folder.path().join("host"), "tcp:127.0.0.1:1").log("trace").start();
    let made = &host.json(&["invite", "--uses", "3", "--login", &login(), "--ttl", "1h"])[0];
    let (invite, id) = (made["invite"].as_str().expect("an invite"), made["id"].as_str().expect("an id"));
    let listed = &host.json(&["invite", "list"])[0];
    assert_eq!((&listed["id"], &listed["uses"], &listed["login"]), (&json!(id), &json!(3), &json!(login())));
    // The invite itself is not sent anywhere to take it back.
    assert_eq!(host.json(&["invite", "revoke", invite])[0]["id"], id);
    assert_eq!(host.json(&["invite", "list"]), [] as [Value; 0]);
    host.daemon.stderr.wait_for("invite taken back");
    let secret = &invite["invite".len()..][..24];
    assert!(host.log().contains(id) && !host.log().contains(secret), "{}", host.log());
}

#[test]
fn commands_at_once_lose_no_line() {
    let line = Line::new(Route::Exec);
    let host = line.host();
    let home = host.home();
    let irosh = move |arguments: &[&str]| succeed(program(IROSH, home).args(arguments));
    let keys: Vec<_> =
        (0..12).map(|number| new_key(&line.folder.path().join(format!("key-{number}")))).collect();
    let before = host.list().lines().count();
    thread::scope(|scope| {
        for (number, key) in keys.iter().enumerate() {
            scope.spawn(move || irosh(&["peers", "allow", key, "--name", &format!("peer-{number}")]));
            scope.spawn(move || irosh(&["invite"]));
        }
    });
    assert_eq!(host.list().lines().count(), before + keys.len(), "{}", host.list());
    assert_eq!(host.json(&["invite", "list"]).len(), keys.len());
    thread::scope(|scope| {
        for number in 0..keys.len() {
            scope.spawn(move || irosh(&["peers", "revoke", &format!("peer-{number}")]));
        }
    });
    assert_eq!(host.list().lines().count(), before, "{}", host.list());
}

/// Greets a host as another user, and says how many bytes it answers.
const GREET: &str = "
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
caller = socket.socket(socket.AF_UNIX)
caller.connect(sys.argv[1])
try:
    caller.sendall(sys.argv[3].encode())
    print(len(caller.recv(100)))
except (BrokenPipeError, ConnectionResetError):
    print(0)
";

#[test]
fn another_user_is_not_heard_also_where_nothing_is_shut() {
    if !geteuid().is_root() {
        return skip("only root can become somebody else");
    }
    let folder = folder();
    let host = HostSetup::new(&folder.path().join("host"), "tcp:127.0.0.1:1").start();
    let socket = socket(host.home());
    for path in socket.ancestors().take_while(|path| *path != Path::new("/tmp")) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("a mode");
    }
    let greet = |uid: &str| {
        let home = host.home();
        let greeting =
            json!({ "hello": { "protocol": 1, "config": home, "state": home } }).to_string() + "\n";
        run(Command::new("python3").args(["-c", GREET]).arg(&socket).args([uid, &greeting]))
    };
    let (foreign, own) = (greet("65534"), greet("0"));
    assert_eq!(foreign.stdout.said(), "0\n", "{}", foreign.stderr.said());
    assert_ne!(own.stdout.said(), "0\n", "{}", own.stderr.said());
}

#[test]
fn root_asks_the_systems_host_which_is_another_users_and_makes_no_file_there() {
    let Some(system) = System::new() else { return };
    let host = system.start();
    let irosh = |arguments: &[&str]| succeed(&mut system.irosh(&[&["--system"], arguments].concat()));
    let invite = irosh(&["invite"]);
    assert!(invite.starts_with("invite"), "{invite}");
    assert_eq!(json_lines(&irosh(&["invite", "list", "--json"])).len(), 1);
    irosh(&["peers", "allow", KEY]);
    let listed = &json_lines(&irosh(&["peers", "--json"]))[0];
    assert_eq!((&listed["name"], &listed["connections"]), (&json!("x"), &json!([])));
    let ticket = irosh(&["ticket"]);
    assert!(host.stdout.all().join("\n").contains(ticket.trim()), "{ticket}");
    irosh(&["reload"]);
    assert_eq!(json_lines(&irosh(&["peers", "revoke", "x", "--json"]))[0]["ended"]["sessions"], 0);
    // It was the host that did it, and root whom it has heard.
    for words in ["invite made by=0", "allowed by=0", "revoked by=0", "settings and lists read again"] {
        host.stderr.wait_for(words);
    }
    for (_, folder) in system.folders() {
        for entry in walk(&folder) {
            assert_eq!(fs::symlink_metadata(&entry).expect("metadata").uid(), 65534, "{}", entry.display());
        }
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            folders.extend(entry.metadata().expect("metadata").is_dir().then(|| entry.path()));
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn an_error_of_the_host_is_told_to_who_asked() {
    if !geteuid().is_root() {
        return skip("not root");
    }
    let cases: [(&str, &[&str], &str); 3] = [
        ("authorized_peers", &["peers", "allow", KEY], ""),
        ("authorized_peers", &["peers", "revoke", KEY], ""),
        ("invites.toml", &["invite"], "the invite was not made: "),
    ];
    for (name, arguments, context) in cases {
        let folder = folder();
        let home = folder.path().join("host");
        let setup = HostSetup::new(&home, "tcp:127.0.0.1:1");
        let file = home.join(name);
        fs::write(&file, "").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
        // What is mounted on is not replaced, by the host alone.
        let mount = "mount --bind \"$1\" \"$1\" && shift && exec \"$@\"";
        let path = file.display().to_string();
        let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh", &path];
        let host = setup.under(&wrapper).start();
        let output = host.irosh(arguments);
        fails(&output, &format!("irosh: {context}{path}: Device or resource busy"));
        assert_eq!(fs::read_to_string(&file).expect("read"), "", "{arguments:?}");
    }
}

#[test]
fn root_is_told_that_the_systems_host_cannot_write_and_does_not_write_in_its_place() {
    let Some(system) = System::new() else { return };
    let [(_, config), ..] = system.folders();
    let mount = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let path = config.display().to_string();
    let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh", &path];
    let _host = system.start_under(&wrapper);
    let output = run(&mut system.irosh(&["--system", "peers", "allow", KEY]));
    fails(&output, "Read-only file system");
    assert!(!config.join("authorized_peers").exists());
    // An invite is no file of that folder.
    assert!(succeed(&mut system.irosh(&["--system", "invite"])).starts_with("invite"));
}

#[test]
fn sentences_and_exit_codes_are_the_same_whether_a_host_runs_or_not() {
    let folder = folder();
    let home = folder.path().join("host");
    let mut host = HostSetup::new(&home, "tcp:127.0.0.1:1").start();
    let other = new_key(&folder.path().join("other"));
    for key in [KEY, &other] {
        succeed(program(IROSH, &home).args(["peers", "allow", key, "--name", "twin"]));
    }
    let wrong: [&[&str]; 5] = [
        &["peers", "revoke", "nobody"],
        &["peers", "revoke", "twin"],
        &["peers", "allow", "nonsense"],
        &["invite", "revoke", "00000000"],
        &["invite", "--option", "no-lunch"],
    ];
    let outcome = |arguments: &&[&str]| {
        let output = run(program(IROSH, &home).args(*arguments));
        (output.status.code(), output.stdout.said(), output.stderr.said())
    };
    let asked = wrong.iter().map(outcome).collect::<Vec<_>>();
    host.kill();
    assert_eq!(wrong.iter().map(outcome).collect::<Vec<_>>(), asked);
    assert!(asked.iter().all(|(code, ..)| *code == Some(1)), "{asked:?}");
    assert!(asked[1].2.contains("2 peers are called `twin`\nirosh: give the fingerprint"), "{asked:?}");
}

#[test]
fn reading_the_settings_again_says_what_is_in_use_now_and_what_needs_a_restart() {
    let line = Line::with_settings(Route::Exec, "access = \"open\"\nportmap = false\n");
    let host = line.host();
    let guest = stranger(&line, "stranger");
    let mut ssh = Running::waiting(&mut guest.ssh());
    let settings = host.home().join("host.toml");
    let nothing = &host.json(&["reload"])[0];
    assert_eq!(*nothing, json!({ "taken": [], "waiting": [], "refused": [], "ended": [] }));
    fs::write(
        &settings,
        // --name is on its command line, and goes before the file.
        "name = \"other\"\nportmap = true\nhost-keys = []\ndns = \"none\"\n[sshd]\nBanner = \"/x\"\n[limits]\nmax-sessions = 7\n",
    )
    .expect("written");
    fs::write(host.home().join("authorized_peers"), format!("{}\nnonsense\n", host.list())).expect("written");
    let output = host.irosh(&["reload"]);
    let (text, warned) = (output.stdout.said(), output.stderr.said());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "in use now: sshd, access, limits.max-sessions", "{text}");
    assert_eq!(lines[1], "in use once the host is started anew: portmap", "{text}");
    assert!(lines[2].starts_with("ended: 1 connection, 1 session of SHA256:"), "{text}");
    assert!(warned.contains("authorized_peers line 3: "), "{warned}");
    assert_eq!(ssh.wait(DEADLINE).code(), Some(255));
    is_in(&ssh_to(&line.client, "box"));
    // Once more, only the restart is left to do.
    let again = &host.json(&["reload"])[0];
    assert_eq!((&again["taken"], &again["waiting"]), (&json!([]), &json!(["portmap"])));
}

#[test]
fn settings_that_are_wrong_are_told_to_who_has_them_read_and_stay_as_they_were() {
    let line = Line::with_settings(Route::Exec, "access = \"open\"\n");
    fs::write(line.host().home().join("host.toml"), "access = \"opne\"\n").expect("written");
    let output = line.host().irosh(&["reload"]);
    fails(&output, "host.toml: TOML parse error at line 1");
    is_in(&ssh_to(&stranger(&line, "stranger"), "box"));
    line.host().daemon.stderr.wait_for("the settings stay as they were");
}

#[test]
fn the_ticket_has_the_addresses_of_the_host_also_where_it_could_not_note_them() {
    let folder = folder();
    let host = HostSetup::new(&folder.path().join("host"), "tcp:127.0.0.1:1").start();
    fs::remove_file(host.home().join("run/host.json")).expect("removed");
    assert_eq!(host.json(&["ticket"])[0]["ticket"], host.ticket());
}

#[test]
fn a_program_asks_a_host_by_the_library() {
    let line = Line::new(Route::Exec);
    let host = RunningHost::find(&paths(line.host())).expect("a host");
    assert_eq!((host.version(), i64::from(host.pid())), (VERSION, i64::from(line.host().pid().as_raw())));
    assert_eq!(host.status().expect("a status").name, "testhost");
    assert_eq!(host.ticket().expect("a ticket").id.to_string(), host.status().expect("a status").endpoint_id);
    let made = host.invite(&Terms { uses: 2, ..Terms::default() }).expect("an invite");
    assert!(!format!("{made:?}").contains(&made.invite[6..30]), "{made:?}");
    is_in(&ssh_to(&stranger(&line, "guest"), &made.invite));
    assert_eq!(host.invites().expect("invites")[0].uses, 1);
    assert_eq!(host.revoke_invite(&made.id).expect("taken back").len(), 1);
    let peer = Peer::parse(KEY, &TimeZone::UTC).expect("a peer");
    assert_eq!(host.allow(&peer, Edit::Change).expect("allowed").peer.name, "x");
    assert_eq!(host.peers().expect("peers").peers.len(), 3);
    assert_eq!(host.revoke("x").expect("revoked").gone.len(), 1);
    assert!(
        matches!(host.revoke("x"), Err(ControlError::Failed(why)) if why.starts_with("no peer is called"))
    );
    assert_eq!(host.host_keys().expect("keys").len(), 1);
    assert!(host.accept_host_keys().expect("nothing to do").accepted.is_empty());
    assert!(host.reload().expect("read again").taken.is_empty());
}
