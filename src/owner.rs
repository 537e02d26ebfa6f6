//! Whose process is at the other end of a local connection.
//!
//! On Linux a socket's owner is in `/proc/net/tcp` (proc_pid_net(5)). Where that does not say, nothing is known.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::unistd::geteuid;

/// Tables of the calling process's own network namespace; `/proc/net` is hidden where `ProcSubset=pid`.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// What the kernel shows in place of a user whom this user namespace does not know.
const OVERFLOW: u32 = 65534;

/// State of a socket in the tables (`enum tcp_state` in Linux).
const LISTEN: u8 = 0x0A;

/// One row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    uid: u32,
    /// 0 for a socket that no process holds.
    inode: u64,
}

/// Whether a server that belongs to this user may be one that root or this user has started.
///
/// `None` where it cannot be told.
pub(crate) fn is_trusted(uid: u32) -> Option<bool> {
    if uid == 0 || uid == geteuid().as_raw() {
        return Some(true);
    }
    if uid == OVERFLOW && !knows_root(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default()) {
        return None;
    }
    Some(false)
}

/// Whether a user namespace (user_namespaces(7)) has the outer root in it, so that who is unknown is not root.
fn knows_root(uid_map: &str) -> bool {
    uid_map.lines().any(|line| line.split_ascii_whitespace().nth(1) == Some("0"))
}

/// The user whose process has the other end of a connection between `ours` and `theirs`; reads files, so it blocks.
pub(crate) fn of_connection(ours: SocketAddr, theirs: SocketAddr) -> Option<u32> {
    let (ours, theirs) = (canonical(ours), canonical(theirs));
    let other_end = |row: &Row| row.local == theirs && row.remote == ours && row.inode != 0;
    tables().flatten().find(other_end).map(|row| row.uid)
}

/// Who has connected to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Root, or this user.
    Trusted,
    /// Another user.
    Foreign(u32),
    /// Nobody any more: the process on this machine that has connected holds its end no longer.
    Gone,
    /// It cannot be told, as of those on other machines.
    Unknown,
}

/// Who has connected from `theirs` to `ours`; reads files, so it blocks.
pub(crate) fn of_caller(ours: SocketAddr, theirs: SocketAddr) -> Caller {
    let is_local = theirs.ip().to_canonical().is_loopback() || theirs.ip() == ours.ip();
    match of_connection(ours, theirs) {
        Some(uid) => match is_trusted(uid) {
            Some(true) => Caller::Trusted,
            Some(false) => Caller::Foreign(uid),
            None => Caller::Unknown,
        },
        // The tables tell of this connection: they have our own end.
        None if is_local && of_connection(theirs, ours).is_some() => Caller::Gone,
        None => Caller::Unknown,
    }
}

/// The sockets that listen on a port, by number: another set means that a server was started there. Blocks, but
/// not for long: those that listen come first, and the kernel makes a table while it is read.
pub(crate) fn listeners(port: u16) -> Vec<u64> {
    let listening = tables().flat_map(|table| table.take_while(|row| row.state == LISTEN));
    let mut inodes: Vec<_> = listening.filter(|row| row.local.port() == port).map(|row| row.inode).collect();
    inodes.sort_unstable();
    inodes
}

/// The rows of each table.
fn tables() -> impl Iterator<Item = impl Iterator<Item = Row>> {
    let open = TABLES.into_iter().filter_map(|table| File::open(table).ok());
    open.map(|table| BufReader::new(table).lines().map_while(Result::ok).filter_map(|line| row(&line)))
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...`
fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Row { local, remote, state, uid, inode })
}

/// `0100007F:0016`: the address as 32-bit words of this machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    let words = bytes.chunks_exact_mut(4).zip(0..ip.len() / 8);
    for (chunk, word) in words {
        let word = u32::from_str_radix(ip.get(word * 8..word * 8 + 8)?, 16).ok()?;
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        32 => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// An IPv4 connection may be in the table of IPv6, and an address has a scope in one place only.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

    #[test]
    #[cfg(target_endian = "little")]
    fn rows_of_both_tables_are_read() {
        assert_eq!(row(HEADER), None);
        let v4 = "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 12345 1 0000000000000000 100 0 0 10 0";
        let read = row(v4).expect("a row");
        assert_eq!(read.local, "127.0.0.1:22".parse().expect("an address"));
        assert_eq!((read.state, read.uid, read.inode), (LISTEN, 7, 12345));
        let v6 = "   1: 00000000000000000000000001000000:0016 0000000000000000FFFF00000100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 99 1";
        let read = row(v6).expect("a row");
        assert_eq!(read.local, "[::1]:22".parse().expect("an address"));
        assert_eq!(read.remote, "127.0.0.1:54321".parse().expect("an address"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_owner_of_a_server_is_found_by_the_connection_to_it() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let theirs = listener.local_addr().expect("an address");
            let before = listeners(theirs.port());
            assert_eq!(before.len(), 1);
            let client = std::net::TcpStream::connect(theirs).expect("connected");
            let (server, ours) = listener.accept().expect("accepted");
            let owner = of_connection(ours, theirs).expect("known");
            assert_eq!((owner, is_trusted(owner)), (geteuid().as_raw(), Some(true)));
            assert_eq!(of_caller(theirs, ours), Caller::Trusted);
            drop((server, listener));
            assert_eq!(of_connection(ours, theirs), None, "nobody holds it any more");
            assert_ne!(listeners(theirs.port()), before);
            drop(client);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_caller_who_has_closed_is_gone_and_one_from_elsewhere_is_unknown() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let ours = listener.local_addr().expect("an address");
        let client = std::net::TcpStream::connect(ours).expect("connected");
        let (_server, theirs) = listener.accept().expect("accepted");
        drop(client);
        assert_eq!(of_caller(ours, theirs), Caller::Gone);
        let elsewhere = "192.0.2.1:1234".parse().expect("an address");
        assert_eq!(of_caller(ours, elsewhere), Caller::Unknown);
    }

    #[test]
    fn a_namespace_that_does_not_know_root_cannot_tell_who_is_not_root() {
        assert!(knows_root("         0          0 4294967295\n"));
        assert!(knows_root("         0          0          1\n       998        998          1\n"));
        assert!(!knows_root("         0       1000          1\n"));
        assert!(!knows_root(""));
    }
}
