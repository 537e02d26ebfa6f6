//! A host's answer: whether it is reached, lets us in and has an SSH server, by which path, and of what size.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};

use super::{case::Case, finding::Finding};
use crate::{
    names::Aliases,
    protocol::CloseCode,
    proxy::{Dialer, HostConnection, SessionStream, milliseconds},
    transport::{Network, Target},
};

/// How long a direct path may take to be found.
const SEARCH: Duration = Duration::from_secs(4);

/// How long the host's SSH server may take to say its first word.
const FIRST_WORD: Duration = Duration::from_secs(8);

/// The smallest packet that QUIC can do with (RFC 9000 section 14), with which every connection begins.
const SMALLEST: u16 = 1200;

/// How long larger packets may take to be tried: each takes a round trip, and three where it is lost.
const SIZES: Duration = Duration::from_secs(5);

pub(super) async fn look(dialer: &Dialer, case: &Case, name: &str, has_key: bool) -> Vec<Finding> {
    let failed = |why: &dyn Display| vec![Finding::failed("host", why)];
    if !has_key {
        return failed(&"not dialled: it would not know who we are\nsee what is said of the key");
    }
    let target = match Aliases::load(&case.paths.aliases()).map(|aliases| aliases.resolve(name)) {
        Ok(Ok(target)) => target,
        Ok(Err(error)) => return failed(&error),
        Err(error) => return failed(&error),
    };
    let begun = Instant::now();
    let host = match dialer.let_in(&target).await {
        Ok((host, _)) => host,
        Err(error) => return failed(&error),
    };
    let took = milliseconds(begun.elapsed());
    let (path, server) = tokio::join!(path(&host, &case.network), server(dialer, &target, &host));
    let mut found = vec![Finding::ok("host", format!("it lets us in after {took:.0} ms"))];
    found.extend(path);
    found.push(server);
    host.close(CloseCode::Done);
    found
}

/// By which path it is reached, and how large packets may be there.
async fn path(host: &HostConnection, network: &Network) -> Vec<Finding> {
    let _ = timeout(SEARCH, host.is_direct()).await;
    let Some(path) = host.path() else { return Vec::new() };
    let rtt = path.rtt_ms;
    if path.relayed {
        let why = host.why_relayed(network).await.map(|why| format!("; not direct: {why}"));
        let found = format!("{path}, {rtt:.0} ms{}", why.unwrap_or_default());
        return vec![Finding::ok("path", found)];
    }
    vec![Finding::ok("path", format!("{path}, {rtt:.0} ms")), size(host).await]
}

async fn size(host: &HostConnection) -> Finding {
    let largest = || {
        let paths = host.connection().paths();
        paths.iter().filter(|path| path.is_selected()).map(|path| path.stats().current_mtu).max()
    };
    let larger = async {
        while largest().is_none_or(|size| size <= SMALLEST) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(SIZES, larger).await.is_ok() {
        return Finding::ok("MTU", format!("packets of {} bytes pass", largest().unwrap_or_default()));
    }
    Finding::warning(
        "MTU",
        &format!(
            "no packet of more than {SMALLEST} bytes passes, which is the least that QUIC can do with\nlook for a tunnel \
             or VPN on the way, and raise its MTU"
        ),
    )
}

/// Whether an SSH server answers there.
async fn server(dialer: &Dialer, target: &Target, host: &HostConnection) -> Finding {
    const CHECK: &str = "ssh server";
    let failed = |why: &dyn Display| Finding::failed(CHECK, why);
    let begun = Instant::now();
    let (mut stream, status) = match SessionStream::open(dialer, target, host.clone()).await {
        Ok(opened) => opened,
        Err(error) => return failed(&error),
    };
    let mut word = vec![0; 255];
    match timeout(FIRST_WORD, stream.read(&mut word)).await {
        Ok(Ok(0)) => failed(
            &"the host's ssh server ended the session before its first word\non the host, look at its log",
        ),
        Ok(Ok(length)) => {
            let said = String::from_utf8_lossy(&word[..length]);
            let line = said.lines().next().unwrap_or_default();
            if line.starts_with("SSH-") {
                return Finding::ok(CHECK, crate::log::one_line(line));
            }
            failed(&format!(
                "what answers is none: it says `{}`\non the host, look at --backend",
                crate::log::one_line(line)
            ))
        }
        Ok(Err(error)) => failed(&error),
        Err(_) => failed(&status.why_silent(begun.elapsed())),
    }
}
