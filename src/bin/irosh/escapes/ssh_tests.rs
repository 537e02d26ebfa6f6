//! What real ssh does with the same keys.

use super::{Escapes, Typed, text};
use crate::{escapes::EscapeChar, ssh_server::SshServer, terminal::pty::Pty};

#[test]
fn ssh_sends_the_same() {
    // Escapes of all kinds but those that end or stop, and those that ssh alone has.
    let keys: Vec<u8> = [
        "~~",
        "~x",
        "x~~y\r",
        "~~~?\r",
        "~B~B",
        "\n~B",
        "~\r~B",
        "~~\r~~~~",
        "\r\r~#",
        "~?~?~~?",
        "\r~R",
        "~é~\r",
        "~ ~",
        "\n\n~",
        "~~~~~\r",
        "\x03\x04\x1a~\x1a\r~\x03",
    ]
    .concat()
    .into_bytes();
    for escape in [EscapeChar::default(), EscapeChar::Byte(24), EscapeChar::None] {
        let keys: Vec<u8> = match escape {
            EscapeChar::Byte(byte) => keys.iter().map(|&key| if key == b'~' { byte } else { key }).collect(),
            EscapeChar::None => keys.clone(),
        };
        let sent: Vec<u8> = Escapes::new(escape)
            .typed(&keys)
            .into_iter()
            .filter_map(|typed| match typed {
                Typed::Input(bytes) => Some(bytes),
                Typed::Action(_) => None,
            })
            .flatten()
            .collect();
        let mut pty = Pty::open();
        let server = SshServer::new();
        let command = format!(
            "stty raw -echo; echo ready; head -c {} | od -An -v -tx1 | tr -d ' \\n'; echo end",
            sent.len()
        );
        let mut ssh = server.ssh(&mut pty, &["-tt", "-e", &escape.to_string(), &command]);
        pty.wait_for("ready");
        pty.type_in(&keys);
        let hex: String = sent.iter().map(|byte| format!("{byte:02x}")).collect();
        pty.wait_for(&format!("{hex}end"));
        ssh.wait().expect("ended");
    }
}

#[test]
fn ssh_prints_the_same_help() {
    let mut pty = Pty::open();
    let server = SshServer::new();
    let mut ssh = server.ssh(&mut pty, &["-tt", "stty raw -echo; echo ready; cat"]);
    pty.wait_for("ready");
    pty.type_in(b"~?");
    let theirs = pty.wait_for("after newline.)\r\n");
    pty.type_in(b"~.");
    ssh.wait().expect("ended");
    let ours_too = |line: &&str| ![" ~C ", " ~V/v", " ~&"].iter().any(|key| line.starts_with(key));
    let theirs: String = theirs.trim_start().split_inclusive('\n').filter(ours_too).collect();
    let theirs =
        theirs.replace(" (and any multiplexed sessions)", "").replace("suspend ssh", "suspend irosh");
    assert_eq!(theirs + "after newline.)\r\n", text::help(EscapeChar::default()));
}
