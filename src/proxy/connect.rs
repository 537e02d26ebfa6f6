//! One try at a host.

use iroh::{Endpoint, EndpointAddr, endpoint::Connection};
use tokio::time::{Instant, timeout_at};

use super::{dial_error::Missed, patience::Patience};
use crate::transport::ALPN;

/// Connects by all addresses at once; a host that is busy is tried again for so often.
pub(super) async fn connect(
    endpoint: &Endpoint,
    addr: &EndpointAddr,
    deadline: Instant,
    refusals: u32,
) -> Result<Connection, Missed> {
    let mut patience = Patience::until(deadline);
    let mut refused = 0;
    loop {
        let missed = match timeout_at(deadline, endpoint.connect(addr.clone(), ALPN)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Missed::of(&error),
            Err(_) => Missed::Silent,
        };
        refused += 1;
        if missed != Missed::TurnedAway || refused >= refusals || !patience.pause().await {
            return Err(missed);
        }
    }
}
