//! What host key algorithms a server offers.

/// `SSH_MSG_KEXINIT` (RFC 4253 section 7.1).
const KEXINIT: u8 = 20;

/// The host key algorithms of a server, from the bytes that it sends first: lines, of which the last one begins with
/// `SSH-` (RFC 4253 section 4.2), and a packet that is not encrypted yet. Empty where they do not say.
pub(super) fn host_key_algorithms(heard: &[u8]) -> Vec<String> {
    read(heard).unwrap_or_default()
}

fn read(heard: &[u8]) -> Option<Vec<String>> {
    let mut packet = after_identification(heard)?;
    let length = uint32(&mut packet)?;
    let mut payload = packet.get(1..length)?;
    if *payload.split_off_first()? != KEXINIT {
        return None;
    }
    let _cookie = payload.split_off(..16)?;
    let _key_exchange = string(&mut payload)?;
    let names = std::str::from_utf8(string(&mut payload)?).ok()?;
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

fn uint32(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

fn string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = uint32(bytes)?;
    bytes.split_off(..length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kexinit(names: &[&str]) -> Vec<u8> {
        let mut payload = vec![KEXINIT];
        payload.extend([7; 16]);
        for list in names {
            payload.extend(u32::try_from(list.len()).expect("short").to_be_bytes());
            payload.extend(list.as_bytes());
        }
        let mut packet = u32::try_from(payload.len() + 1 + 4).expect("short").to_be_bytes().to_vec();
        packet.push(4);
        packet.extend(payload);
        packet.extend([0; 4]);
        packet
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
