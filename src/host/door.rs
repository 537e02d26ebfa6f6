//! The door: who gets a place on the way in, and who loses it.

use std::{sync::Arc, time::Instant};

use iroh::endpoint::{Incoming, IncomingAddr};

use super::{
    connection,
    limits::dice,
    newcomer::Newcomer,
    newcomers::{Origin, Verdict},
    shared::Shared,
};

impl Shared {
    /// Takes a connection in before anything is spent on it, or turns it away.
    pub(super) async fn take(self: Arc<Self>, incoming: Incoming) {
        let origin = Origin::of(&incoming.remote_addr());
        // What a relay says of who sends cannot be forged.
        let proved =
            incoming.remote_addr_validated() || !matches!(incoming.remote_addr(), IncomingAddr::Ip(_));
        let places = self.limits.read().await.places();
        let verdict = self.newcomers().judge(&origin, proved, places, dice(), Instant::now());
        match verdict {
            Verdict::Refuse => {
                self.audit.unheard();
                incoming.refuse();
            }
            Verdict::Prove => _ = incoming.retry(),
            Verdict::Take => {
                let newcomer = Newcomer::new(self.clone(), origin, proved);
                self.tasks.clone().spawn(connection::serve(self, incoming, newcomer));
            }
        }
    }
}
