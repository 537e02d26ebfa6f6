//! What people are told of agents and hosts.

use irosh::{
    agent::{self, SessionState},
    files::Paths,
    host,
    log::one_line,
    proxy::PathStatus,
};

use crate::progress::bytes;

/// The agents of a user.
pub(crate) fn agents(paths: &Paths, running: &[agent::Running]) -> String {
    if running.is_empty() {
        let mut text = "no agent is running\nthe next ssh to one of our hosts starts it".to_owned();
        let log = paths.agent_log();
        if log.exists() {
            text += &format!("\nwhat earlier ones have said is in {}", log.display());
        }
        return text;
    }
    let each = |running: &agent::Running| {
        match &running.status {
        Some(status) => agent(status),
        None if running.is_of_this_version(paths) => {
            "an agent is running that does not answer\nsee whether it stands still; ssh does without it meanwhile"
                .to_owned()
        }
        None => "an agent of another version is running; it leaves when its sessions are over".to_owned(),
    }
    };
    running.iter().map(each).collect::<Vec<_>>().join("\n")
}

fn agent(status: &agent::Status) -> String {
    let agent::Status { version, pid, age, hosts, ports } = status;
    let mut lines = vec![format!("agent {version}, pid {pid}, for {}", lasting(*age))];
    if hosts.is_empty() {
        lines.push("  no host is connected".to_owned());
    }
    lines.extend(hosts.iter().flat_map(reached));
    lines.extend(ports.iter().map(|port| {
        let (name, place) = (one_line(&port.name), port.place);
        match &port.problem {
            None => format!("  {place} is {name}"),
            Some(problem) => format!("  {place} is not {name}: {}", one_line(problem)),
        }
    }));
    lines.join("\n")
}

/// A host as the agent reaches it.
fn reached(host: &agent::HostStatus) -> Vec<String> {
    let way = match &host.path {
        Some(path) => way(path),
        None if host.warm => "connected".to_owned(),
        None => "not connected".to_owned(),
    };
    let mut lines = vec![format!("  {}  {way}", one_line(&host.name))];
    lines.extend(host.sessions.iter().map(|session| {
        let state = match (session.state, session.waits) {
            (SessionState::Opening, _) => "waits for the host's answer".to_owned(),
            (SessionState::Detached, Some(waits)) => format!("waits for the network for {}", lasting(waits)),
            (SessionState::Detached | SessionState::Attached, _) => "attached".to_owned(),
        };
        let (sent, received) = (bytes(session.sent), bytes(session.received));
        format!("    session for {}, {state}, {sent} sent, {received} received", lasting(session.age))
    }));
    lines.extend(host.last_failure.iter().map(|failure| {
        format!("    failed {} ago: {}", lasting(failure.ago), failure.message.replace('\n', "\n      "))
    }));
    lines
}

/// A host that runs here.
pub(crate) fn host(running: &host::Running) -> String {
    let Some(status) = &running.status else {
        return "a host is running that does not tell of itself\nits log may say why".to_owned();
    };
    let host::Status { version, pid, age, name, endpoint_id, backend, access, draining, peers, refused } =
        status;
    let mut lines = vec![
        format!("host {}, version {version}, pid {pid}, for {}", one_line(name), lasting(*age)),
        format!("  endpoint id {endpoint_id}"),
        format!("  backend {}, access {access}", one_line(backend)),
    ];
    lines.extend(draining.iter().map(|draining| {
        let (since, left) = (lasting(draining.age), lasting(draining.left));
        format!("  stopping for {since}: takes no new sessions, and ends those that run in {left}")
    }));
    if peers.is_empty() {
        lines.push("  nobody is connected".to_owned());
    }
    lines.extend(peers.iter().flat_map(peer));
    lines.extend(turned_away(refused));
    lines.join("\n")
}

fn peer(peer: &host::PeerStatus) -> Vec<String> {
    let stranger = if peer.listed { "" } else { "  on no list" };
    let mut lines = vec![format!("  {}  {}{stranger}", one_line(&peer.name), peer.peer)];
    lines.extend(peer.certificate.iter().map(certificate));
    lines.extend(peer.connections.iter().map(|connection| {
        let way = connection.path.as_ref().map_or_else(|| "no path".to_owned(), way);
        let sessions = count(connection.sessions as usize, "session");
        format!("    connection for {}, {way}, {sessions}", lasting(connection.age))
    }));
    lines.extend(peer.sessions.iter().map(|session| {
        let state = session
            .detached
            .map_or_else(|| "attached".to_owned(), |since| format!("detached for {}", lasting(since)));
        let (name, age) = (one_line(&session.session), lasting(session.age));
        let (received, sent) = (bytes(session.received), bytes(session.sent));
        format!("    session {name} for {age}, {state}, {received} received, {sent} sent")
    }));
    lines
}

/// By what somebody is here who has no line, in a line to follow the name.
pub(crate) fn certificate(certificate: &host::CertificateStatus) -> String {
    let host::CertificateStatus { key_id, serial, principals, authority, expires } = certificate;
    let names = if principals.is_empty() {
        "no principals".to_owned()
    } else {
        format!("principals {}", one_line(&principals.join(",")))
    };
    let until = expires.map_or_else(|| "for ever".to_owned(), |ends| format!("until {ends}"));
    format!(
        "    by the certificate `{}`, serial {serial}, {names}, of {authority}, {until}",
        one_line(key_id)
    )
}

/// Where somebody is here from and since when, and with how many sessions, in lines to follow the name.
pub(crate) fn presence(peer: &host::PeerStatus) -> Vec<String> {
    let mut lines: Vec<_> = peer
        .connections
        .iter()
        .map(|connection| {
            let way = connection.path.as_ref().map_or_else(|| "no path".to_owned(), way);
            format!("    here for {}, {way}", lasting(connection.age))
        })
        .collect();
    let detached = peer.sessions.iter().filter(|session| session.detached.is_some()).count();
    if !peer.sessions.is_empty() {
        let (all, attached) = (count(peer.sessions.len(), "session"), peer.sessions.len() - detached);
        lines.push(format!("    {all}: {attached} attached, {detached} detached"));
    }
    lines
}

/// So many of these.
pub(crate) fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn turned_away(refused: &host::Refused) -> Vec<String> {
    let host::Refused { count, unheard, last } = refused;
    if *count == 0 && *unheard == 0 {
        return Vec::new();
    }
    let unheard = match unheard {
        0 => String::new(),
        unheard => format!(", and {unheard} turned away unheard as too many came at once"),
    };
    let mut lines = vec![format!("  {count} refused{unheard}")];
    lines.extend(last.iter().map(|last| {
        let times = if last.times > 1 { format!(" {} times", last.times) } else { String::new() };
        let who = last.peer.as_deref().unwrap_or("unproved");
        let (from, reason) = (one_line(&last.from), one_line(&last.reason));
        format!("    {} ago{times}, {who} from {from}: {reason}", lasting(last.ago))
    }));
    lines
}

fn way(path: &PathStatus) -> String {
    format!("{path}, {:.1} ms", path.rtt_ms)
}

fn lasting(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use irosh::host::{ConnectionStatus, Draining, LastRefused, PeerStatus, Refused, SessionStatus};

    use super::*;

    #[test]
    fn times_are_in_the_unit_that_says_most() {
        let said = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(lasting);
        assert_eq!(said, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }

    #[test]
    fn what_a_peer_has_chosen_is_no_line_of_its_own_and_cannot_steer_the_terminal() {
        let status = host::Status {
            version: "0.1.0".to_owned(),
            pid: 1,
            age: 3,
            name: "box".to_owned(),
            endpoint_id: "e".to_owned(),
            backend: "builtin".to_owned(),
            access: host::Access::Open,
            draining: Some(Draining { age: 1, left: 9 }),
            peers: vec![PeerStatus {
                name: "eve\x1b[2J\n  root".to_owned(),
                peer: "SHA256:x".to_owned(),
                listed: false,
                certificate: Some(host::CertificateStatus {
                    key_id: "eve\n".to_owned(),
                    serial: 7,
                    principals: vec!["eve\x1b".to_owned(), "ops".to_owned()],
                    authority: "SHA256:y".to_owned(),
                    expires: None,
                }),
                connections: vec![ConnectionStatus { age: 5, path: None, sessions: 1 }],
                sessions: vec![SessionStatus {
                    session: "01".to_owned(),
                    age: 5,
                    detached: Some(4),
                    received: 1,
                    sent: 20_000,
                }],
            }],
            refused: Refused {
                count: 2,
                unheard: 1,
                last: vec![LastRefused {
                    ago: 7,
                    times: 2,
                    peer: None,
                    from: "192.0.2.1:5".to_owned(),
                    reason: "not our protocol".to_owned(),
                }],
            },
        };
        let said = host(&host::Running { status: Some(status) });
        assert_eq!(
            said,
            "host box, version 0.1.0, pid 1, for 3 s\n  endpoint id e\n  backend builtin, access open\n  \
             stopping for 1 s: takes no new sessions, and ends those that run in 9 s\n  \
             eve\\u{1b}[2J   root  SHA256:x  on no list\n    \
             by the certificate `eve `, serial 7, principals eve\\u{1b},ops, of SHA256:y, for ever\n    connection for 5 s, no path, 1 session\n    \
             session 01 for 5 s, detached for 4 s, 1B received, 20KB sent\n  \
             2 refused, and 1 turned away unheard as too many came at once\n    \
             7 s ago 2 times, unproved from 192.0.2.1:5: not our protocol"
        );
    }
}
