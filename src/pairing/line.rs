//! The stream of a pairing.

use std::time::Duration;

use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::time::timeout;

use super::error::PairingError;
use crate::{
    protocol::{
        CloseCode,
        pairing::{Frame, MAX_STRANGERS_FRAME, Reason, Refused},
    },
    session::{Lost, read_frame},
};

/// How long the other side may take for a step that no person has to do.
pub(super) const STEP: Duration = Duration::from_secs(5);

/// How long a last word may take to arrive.
const LAST_WORD: Duration = Duration::from_millis(500);

/// A connection, and the one stream on it.
pub(super) struct Line {
    pub(super) connection: Connection,
    send: SendStream,
    recv: RecvStream,
}

impl Line {
    /// As the side that types.
    pub(super) async fn open(connection: Connection) -> Result<Self, PairingError> {
        let (send, recv) = connection.open_bi().await.map_err(Lost::from)?;
        Ok(Self { connection, send, recv })
    }

    /// As the side that shows.
    pub(super) async fn accept(connection: Connection) -> Result<Self, PairingError> {
        let (send, recv) = connection.accept_bi().await.map_err(Lost::from)?;
        Ok(Self { connection, send, recv })
    }

    /// Says a frame.
    pub(super) async fn say(&mut self, frame: &[u8]) -> Result<(), PairingError> {
        let said = timeout(STEP, self.send.write_all(frame)).await.map_err(|_| PairingError::Deadline)?;
        Ok(said.map_err(Lost::from)?)
    }

    /// Hears a frame, and its bytes without the header. A refusal is an error. Not cancel safe.
    pub(super) async fn hear(
        &mut self,
        max: usize,
        within: Duration,
    ) -> Result<(Frame, Vec<u8>), PairingError> {
        let heard = timeout(within, read_frame(&mut self.recv, max)).await;
        let bytes = heard.map_err(|_| PairingError::Deadline)??;
        match Frame::decode(&bytes)? {
            Frame::Refused(refused) if max == MAX_STRANGERS_FRAME => Err(refused.of_a_stranger().into()),
            Frame::Refused(refused) => Err(refused.into()),
            frame => Ok((frame, bytes)),
        }
    }

    /// Says why it does not go on, and hangs up.
    pub(super) async fn refuse(&mut self, reason: Reason, sentence: &str) {
        let frame = Frame::Refused(Refused::new(reason, sentence)).encode();
        self.last_word(&frame).await;
        self.hang_up(CloseCode::Refused);
    }

    /// Says a last frame, and gives it a while to arrive.
    pub(super) async fn last_word(&mut self, frame: &[u8]) {
        let _ = timeout(LAST_WORD, async {
            self.send.write_all(frame).await.ok()?;
            self.send.finish().ok()?;
            self.send.stopped().await.ok()
        })
        .await;
    }

    /// Ends the connection.
    pub(super) fn hang_up(&self, code: CloseCode) {
        self.connection.close(code.into(), b"");
    }
}

/// Whoever is given up in the middle of a step hears that, too: the stream alone would only end. What was said of the end
/// before holds.
impl Drop for Line {
    fn drop(&mut self) {
        self.hang_up(CloseCode::GoingAway);
    }
}
