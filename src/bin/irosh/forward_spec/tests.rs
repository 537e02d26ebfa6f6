use std::process::Command;

use proptest::prelude::*;

use super::*;

fn tcp(bind: Bind, port: u16) -> Listen {
    Listen::Tcp { bind, port }
}

fn to(host: &str, port: u16) -> Destination {
    Destination::Tcp { host: host.to_owned(), port }
}

#[test]
fn local_forwards_are_read() {
    let named = |name: &str| Bind::Address(name.to_owned());
    for (text, listen, destination) in [
        ("80:h:22", tcp(Bind::Unnamed, 80), to("h", 22)),
        ("b:80:h:22", tcp(named("b"), 80), to("h", 22)),
        ("*:80:h:22", tcp(Bind::Any, 80), to("h", 22)),
        (":80:h:22", tcp(Bind::Any, 80), to("h", 22)),
        ("[]:80:h:22", tcp(Bind::Any, 80), to("h", 22)),
        ("localhost:80:h:22", tcp(Bind::Loopback, 80), to("h", 22)),
        ("[::1]:80:[fe80::1%lo]:22", tcp(named("::1"), 80), to("fe80::1%lo", 22)),
        ("a\\:b:80:h:22", tcp(named("a:b"), 80), to("h", 22)),
        ("80:/s", tcp(Bind::Unnamed, 80), Destination::Socket("/s".into())),
        ("b:80:/s", tcp(named("b"), 80), Destination::Socket("/s".into())),
        ("/s:h:22", Listen::Socket("/s".into()), to("h", 22)),
        ("/s\\:x:/t", Listen::Socket("/s:x".into()), Destination::Socket("/t".into())),
    ] {
        let forward = Forward::local(text).expect(text);
        assert_eq!((forward.listen, forward.to), (listen, destination), "{text}");
    }
}

#[test]
fn a_remote_forward_may_have_port_0_and_no_destination() {
    let forward = Forward::remote("0").expect("a port");
    assert_eq!((forward.listen, forward.to), (tcp(Bind::Unnamed, 0), Destination::Socks));
    let forward = Forward::remote("*:0:h:22").expect("a forward");
    assert_eq!((forward.listen, forward.to), (tcp(Bind::Any, 0), to("h", 22)));
    assert!(Forward::local("0:h:22").is_err() && Forward::dynamic("0").is_err());
}

#[test]
fn binds_are_named_on_the_wire_as_rfc_4254_has_it() {
    let wire = |text: &str| match Forward::remote(text).expect(text).listen {
        Listen::Tcp { bind, .. } => bind.wire().to_owned(),
        Listen::Socket(_) => panic!("a socket"),
    };
    assert_eq!(
        ["80:h:1", ":80:h:1", "*:80:h:1", "localhost:80:h:1", "10.0.0.1:80:h:1"].map(wire),
        ["localhost", "", "", "localhost", "10.0.0.1"]
    );
}

#[test]
fn errors_say_what_was_expected() {
    let message = Forward::local("::1:80:h:22").expect_err("not in brackets").to_string();
    assert_eq!(
        message,
        "bad local forwarding specification `::1:80:h:22`: it has 6 parts between colons (an IPv6 address stands in brackets: [::1])\n\
         expected [BIND:]PORT:HOST:HOSTPORT, such as 8080:localhost:80, or /SOCKET in place of a port or of HOST:HOSTPORT"
    );
    let message = Forward::remote("h:x").expect_err("no port").to_string();
    assert!(message.starts_with("bad remote forwarding specification `h:x`: "), "{message}");
    let message = Forward::dynamic("99999").expect_err("no port").to_string();
    assert!(message.contains("`99999` is no port") && message.contains("such as 1080"), "{message}");
}

/// What `ssh -G` makes of it, in words of [`described`].
fn ssh(option: &str, text: &str) -> Option<String> {
    let output = Command::new("ssh")
        .args(["-F", "none", "-o", "ClearAllForwardings=no", "-G", option, text, "host"])
        .output()
        .expect("ssh is installed");
    let keyword = match option {
        "-L" => "localforward ",
        "-R" => "remoteforward ",
        _ => "dynamicforward ",
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix(keyword)).map(str::to_owned)
}

/// As `ssh -G` prints it.
fn described(forward: &Forward, option: &str) -> String {
    let listen = match &forward.listen {
        Listen::Tcp { bind, port } => match bind {
            Bind::Unnamed => format!("{port}"),
            Bind::Any => format!("[*]:{port}"),
            Bind::Loopback => format!("[localhost]:{port}"),
            Bind::Address(address) => format!("[{address}]:{port}"),
        },
        Listen::Socket(path) => path.display().to_string(),
    };
    match &forward.to {
        Destination::Socks if option == "-D" => listen,
        Destination::Socks => format!("{listen} [socks]:0"),
        Destination::Tcp { host, port } => format!("{listen} [{host}]:{port}"),
        Destination::Socket(path) => format!("{listen} {}", path.display()),
    }
}

#[test]
fn ssh_reads_the_same() {
    let texts = [
        "80:h:22",
        "b:80:h:22",
        "*:80:h:22",
        ":80:h:22",
        "[::1]:80:[::2]:22",
        "80:/s",
        "/s:h:22",
        "/s:/t",
        "b:80:/s",
        "/s",
        "80",
        "b:80",
        "[::1]:80",
        "*:80",
        ":80",
        "0",
        "0:h:22",
        "80:h:0",
        "80:h:65536",
        "80:h:22:9",
        "[b:80:h:22",
        "80:h:22:9:9",
        "::1:80:h:22",
        "",
        ":",
        "::",
        "a\\:b:80:h:22",
        "/s\\:x:h:22",
        "x:/s:h:22",
        "80:h",
        "[::1%lo]:80:h:22",
        "080:h:22",
        "/s:h:0",
        "b:0",
        "*:*",
        "[::1]80:h:22",
        "[]:80",
        "80:h:22 ",
    ];
    for option in ["-L", "-R", "-D"] {
        for text in texts {
            let ours = match option {
                "-L" => Forward::local(text),
                "-R" => Forward::remote(text),
                _ => Forward::dynamic(text),
            };
            // ssh prints a local forward to a socket as a dynamic one too.
            let theirs = ssh(option, text).map(|line| line.replace("[]:", "[*]:"));
            if option == "-D" && text.contains(":/") {
                continue;
            }
            assert_eq!(ours.ok().map(|forward| described(&forward, option)), theirs, "{option} {text}");
        }
    }
}

#[test]
fn what_ssh_takes_by_accident_is_refused() {
    for text in
        ["80::22", "80:h h:22", " 80:h:22", "80:h:+22", "/s:/t:22", "80:h/x:22", "[80]:h:22", "http:h:22"]
    {
        assert!(Forward::local(text).is_err(), "{text}");
    }
}

#[test]
fn a_forward_is_shown_with_its_option_as_it_was_typed() {
    for (forward, shown) in [
        (Forward::local("/a\\:b:h:22"), "-L /a\\:b:h:22"),
        (Forward::remote("*:0:[::1]:22"), "-R *:0:[::1]:22"),
        (Forward::remote("1080"), "-R 1080"),
        (Forward::dynamic(":1080"), "-D :1080"),
    ] {
        assert_eq!(forward.expect(shown).to_string(), shown);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a1*:/\\\\\\[\\]é0]{0,14}") {
        for read in [Forward::local, Forward::remote, Forward::dynamic] {
            let _ = read(text.clone());
        }
    }
}
