//! What is wrong with the machine's name servers, as far as their list tells.

use std::net::IpAddr;

/// Where that list is: resolv.conf(5).
const LIST: &str = "/etc/resolv.conf";

/// A sentence about the list, where there is something wrong with it.
pub(crate) fn resolver_fault() -> Option<String> {
    match std::fs::read_to_string(LIST) {
        Ok(text) => fault_of(&text).map(|fault| format!("{LIST} {fault}")),
        Err(error) => Some(format!("{LIST} cannot be read: {error}")),
    }
}

fn fault_of(text: &str) -> Option<String> {
    let mut servers = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let server = words.next().unwrap_or_default();
        // An address may have a zone: fe80::1%eth0.
        if server.split('%').next().unwrap_or_default().parse::<IpAddr>().is_err() {
            return Some(format!("line {number}: `{server}` is not the address of a name server"));
        }
        servers += 1;
    }
    (servers == 0).then(|| "names no name server".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_wrong_is_named() {
        assert_eq!(fault_of("# by hand\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n"), None);
        let fault = fault_of("search example\nnameserver dns.example\n").expect("a fault");
        assert_eq!(fault, "line 2: `dns.example` is not the address of a name server");
        assert_eq!(fault_of("search example\n").as_deref(), Some("names no name server"));
    }
}
