//! When keys are changed, a client is asked for a sign of life, and a connection is ended.

use std::time::Duration;

use russh::{Disconnect, Limits, server::Handle};

use super::{channel::inboxes::Inboxes, config::Config};

/// Bytes after which keys are changed where nothing is configured: what AES allows for safely.
const REKEY_BYTES: usize = 1 << 30;

/// When keys are changed (RekeyLimit).
pub(super) fn limits(config: &Config) -> Limits {
    let bytes = usize::try_from(config.rekey_bytes).unwrap_or(REKEY_BYTES);
    let bytes = if bytes == 0 { REKEY_BYTES } else { bytes.min(REKEY_BYTES) };
    let time = config.rekey_interval;
    Limits {
        rekey_write_limit: bytes,
        rekey_read_limit: bytes,
        rekey_time_limit: if time.is_zero() { Duration::from_secs(100 * 365 * 86_400) } else { time },
    }
}

/// After what silence a client is asked whether it is there, and how often in vain (ClientAliveInterval,
/// ClientAliveCountMax).
pub(super) fn keepalive(config: &Config) -> (Option<Duration>, usize) {
    let interval = Some(config.client_alive_interval).filter(|interval| !interval.is_zero());
    (interval, usize::try_from(config.client_alive_count_max).unwrap_or(usize::MAX))
}

/// After so many rejections a connection ends. sshd's 0 ends it at the first.
pub(super) fn most_rejections(config: &Config) -> usize {
    usize::try_from(config.max_auth_tries.max(1)).unwrap_or(usize::MAX)
}

/// Ends a connection that has had no channel open for so long (sshd_config(5), UnusedConnectionTimeout).
pub(super) async fn end_unused(session: Handle, inboxes: Inboxes, limit: Duration) {
    if inboxes.unused_for(limit).await {
        tracing::info!("terminating inactive connection");
        let text = "nothing has used this connection for as long as the server lets it stand unused";
        let _ = session.disconnect(Disconnect::ByApplication, text.to_owned(), String::new()).await;
    }
}
