//! What real ssh does with the same keys.

use super::{Escapes, Typed, text};
use crate::{escapes::EscapeChar, ssh_server::SshServer, terminal::pty::Pty};

#[test]
fn ssh_sends_the_same() {
    // Escapes of all kinds but those that end, stop or go to the command line.
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
        "\n\n~v~V~",
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
    pty.type_in(b"~C");
    pty.wait_for("ssh> ");
    pty.type_in(b"help\r");
    let help = pty.wait_for("Cancel dynamic forward");
    pty.type_in(b"~.");
    ssh.wait().expect("ended");
    let theirs = theirs
        .trim_start()
        .replace(" (and any multiplexed sessions)", "")
        .replace(" ~&   - background ssh (when waiting for connections to terminate)\r\n", "")
        .replace("suspend ssh", "suspend irosh");
    assert_eq!(theirs + "after newline.)\r\n", text::help(EscapeChar::default()));
    for line in
        help.replace('\r', "").lines().filter(|line| line.contains("Request") || line.contains("Cancel"))
    {
        assert!(text::command_help().contains(line), "{line:?}");
    }
    assert!(help.matches('\n').count() >= 6, "{help:?}");
}
