//! What host key algorithms a server offers.

use crate::ssh_wire::Reader;

/// `SSH_MSG_KEXINIT` (RFC 4253 section 7.1).
const KEXINIT: u8 = 20;

/// The host key algorithms of a server, from the bytes that it sends first: lines, of which the last one begins with
/// `SSH-` (RFC 4253 section 4.2), and a packet that is not encrypted yet. Empty where they do not say.
pub(super) fn host_key_algorithms(heard: &[u8]) -> Vec<String> {
    read(heard).unwrap_or_default()
}

fn read(heard: &[u8]) -> Option<Vec<String>> {
    let mut packet = Reader(after_identification(heard)?);
    let length = packet.uint32().ok()? as usize;
    let mut payload = Reader(packet.0.get(1..length)?);
    if payload.byte().ok()? != KEXINIT {
        return None;
    }
    let _cookie = payload.array::<16>().ok()?;
    let _key_exchange = payload.string().ok()?;
    let names = std::str::from_utf8(payload.string().ok()?).ok()?;
    Some(names.split(',').map(str::to_owned).collect())
}

/// What follows the line that begins with `SSH-`.
pub(super) fn after_identification(mut heard: &[u8]) -> Option<&[u8]> {
    loop {
        let end = heard.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = heard.split_at(end + 1);
        if line.starts_with(b"SSH-") {
            return Some(rest);
        }
        heard = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ssh_wire::Writer;

    fn kexinit(names: &[&str]) -> Vec<u8> {
        let payload = Vec::new().byte(KEXINIT).bytes(&[7; 16]);
        let payload = names.iter().fold(payload, |payload, list| payload.string(list.as_bytes()));
        Vec::new().string(&Vec::new().byte(4).bytes(&payload).bytes(&[0; 4]))
    }

    #[test]
    fn the_host_key_algorithms_are_found_behind_any_lines() {
        let packet = kexinit(&["curve25519-sha256", "rsa-sha2-512,ssh-ed25519", "aes128-ctr"]);
        let heard = [b"hello\r\nSSH-2.0-x\r\n", &packet[..]].concat();
        assert_eq!(host_key_algorithms(&heard), ["rsa-sha2-512", "ssh-ed25519"]);
        for cut in 0..heard.len() {
            assert!(host_key_algorithms(&heard[..cut]).len() <= 2);
        }
        assert_eq!(host_key_algorithms(b"hello\r\n"), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = host_key_algorithms(&[&b"SSH-2.0-x\n"[..], &bytes].concat());
        }
    }
}
