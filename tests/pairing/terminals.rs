//! What is asked at a terminal, and shown there.

use std::{process::Command, time::Duration};

use crate::{
    AT_ONCE,
    harness::{Meeting, Said, Shown, have, on_a_terminal, run},
    is_withdrawn,
};

/// Types the answer of a person who compares, on the client; returns what the program ended with.
fn compares(meeting: &Meeting, shown: &Shown, answer: &str) -> String {
    let script = format!(
        "wait('both machines show:  ')\nwait('does the other one show these words? [yes/no] ')\nsend({answer:?})\nend()\n"
    );
    on_a_terminal(&meeting.at_client(&["join", "--verify", &shown.code, "box"]), &script)
}

/// Both sides have a terminal: the host's person says one thing, and the client's another.
fn both_compare(host: &str, client: &str) -> (Meeting, String, String) {
    let meeting = Meeting::new();
    // The code of the one is to be typed on the other, so it goes by a file.
    let code = meeting.folder.path().join("code");
    let (said_there, said_here) = std::thread::scope(|scope| {
        let (path, pair) = (code.clone(), meeting.at_host(&["pair", "--verify"]));
        let hosting = scope.spawn(move || {
            let script = format!(
                "import re\nwhile not (found := re.search(rb'irosh join (\\d+-[a-z]+-[a-z]+)\\r\\n', seen)):\n    \
                 seen += os.read(terminal, 65536)\n\
                 open({path:?}, 'w').write(found[1].decode() + '\\n')\n\
                 wait('[yes/no] ')\nsend({host:?})\nend()\n"
            );
            on_a_terminal(&pair, &script)
        });
        let code = crate::harness::poll("a code", crate::harness::DEADLINE, || {
            std::fs::read_to_string(&code).ok().filter(|code| code.ends_with('\n'))
        });
        let script = format!("wait('[yes/no] ')\nsend({client:?})\nend()\n");
        let client = on_a_terminal(&meeting.at_client(&["join", code.trim(), "box"]), &script);
        (hosting.join().expect("an end"), client)
    });
    (meeting, said_there, said_here)
}

#[test]
fn people_who_see_the_same_on_both_machines_let_it_go_on() {
    if !have(&["python3"]) {
        return;
    }
    // It was asked for on the host alone, and both are asked.
    let (meeting, host, client) = both_compare("yes\n", "y\n");
    assert_eq!((host.as_str(), client.as_str()), ("code 0\n", "code 0\n"));
    assert_eq!(meeting.peers().lines().count(), 1);
}

#[test]
fn who_sees_something_else_ends_it_and_nothing_is_changed() {
    if !have(&["python3"]) {
        return;
    }
    for (host, client) in [("no\n", "yes\n"), ("yes\n", "no\n")] {
        let (meeting, host, client) = both_compare(host, client);
        assert_eq!((host.as_str(), client.as_str()), ("code 1\n", "code 1\n"));
        assert_eq!(meeting.peers(), "");
        assert_eq!(run(&mut meeting.at_client(&["hosts", "list"])).stdout.said(), "");
    }
}

#[test]
fn where_nobody_can_be_asked_nothing_is_changed() {
    if !have(&["python3", "setsid"]) {
        return;
    }
    let meeting = Meeting::new();
    let mut pair = Command::new("setsid");
    let irosh = meeting.at_host(&["pair", "--json"]);
    pair.arg("--wait").arg(irosh.get_program()).args(irosh.get_args());
    pair.envs(irosh.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut shown = Shown::start(pair);
    assert_eq!(compares(&meeting, &shown, "yes\n"), "code 1\n");
    assert_eq!(shown.ends(Duration::from_secs(10)), Some(1));
    assert!(shown.said().contains("nobody is here to be asked"), "{}", shown.said());
    assert_eq!(meeting.peers(), "");
}

#[test]
fn a_code_is_asked_for_and_its_words_are_completed() {
    if !have(&["python3"]) {
        return;
    }
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let parts: Vec<_> = shown.code.split('-').collect();
    let (number, first, second) = (parts[0], &parts[1][..3], &parts[2][..3]);
    // First a word that is none, which costs nothing and is asked for again.
    let script = format!(
        "wait('the code that the host shows, or an invite: ')\nsend('{number}-hexadecimal-otter\\r')\n\
         wait('the first word of this code is none')\nwait('an invite: ')\nsend('\\x15{number}-{first}\\t')\n\
         wait('{number}-{}-')\nsend('{second}\\t')\nwait('{}')\nsend('\\r')\nend()\n",
        parts[1], shown.code
    );
    assert_eq!(on_a_terminal(&meeting.at_client(&["join"]), &script), "code 0\n");
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
}

#[test]
fn who_gives_up_at_the_prompt_has_changed_nothing() {
    if !have(&["python3"]) {
        return;
    }
    let meeting = Meeting::new();
    let script = "wait('an invite: ')\nsend('7-\\x03')\nend()\n";
    assert_eq!(on_a_terminal(&meeting.at_client(&["join"]), script), "code 130\n");
    let script = "wait('the code that the other machine shows: ')\nsend('\\x04')\nend()\n";
    assert_eq!(on_a_terminal(&meeting.at_host(&["pair", "--code"]), script), "code 130\n");
}

#[test]
fn a_camera_can_read_the_code_off_a_terminal_alone() {
    if !have(&["python3"]) {
        return;
    }
    let meeting = Meeting::new();
    let script = "wait('\\x1b[30;107m')\nwait('irosh join ')\nsend('\\x03')\nend()\n";
    assert_eq!(on_a_terminal(&meeting.at_host(&["pair"]), script), "code 130\n");
    // Elsewhere there is the code, and nothing else.
    let mut pair = meeting.at_host(&["pair", "--ttl", "1s"]);
    let printed = run(&mut pair).stdout.said();
    let code: irosh::pairing::Code = printed.trim().parse().expect("a code alone");
    is_withdrawn(&meeting, &code.to_string());
}
