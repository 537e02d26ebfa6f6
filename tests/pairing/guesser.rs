//! Somebody who tries the words of a code: irosh-pair/1 with the crates that it is made of, and no more.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use iroh::{
    Endpoint, EndpointId,
    endpoint::{Connection, ConnectionError, RecvStream, SendStream},
};
use irosh::{
    protocol::{
        Extensions,
        pairing::{Answer, Confirm, EXPORTER_LABEL, Frame, MAX_FRAME, Role, Start},
    },
    session::read_frame,
    transport::{Network, PAIRING_ALPN, bind_client},
};
use sha2::{Digest, Sha256};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use tokio::sync::{mpsc, oneshot};

/// What this adds to the verifier, and what it says of that first.
const NONCE: [u8; 16] = [7; 16];

fn commitment() -> [u8; 32] {
    Sha256::digest([b"irosh-pair/1 commitment", &NONCE[..]].concat()).into()
}

/// A side of a pairing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Types,
    Shows,
}

/// Where guesses come from.
pub(crate) struct Guesser {
    pub(crate) endpoint: Endpoint,
}

impl Guesser {
    pub(crate) async fn bind(network: &Network) -> Self {
        Self { endpoint: bind_client(network).await.expect("an endpoint") }
    }

    /// A connection to who shows a code, on which nothing has been said; nothing where it takes none.
    pub(crate) async fn connect(&self, id: EndpointId) -> Option<Connection> {
        for _ in 0..200 {
            match self.endpoint.connect(id, PAIRING_ALPN).await {
                Ok(connection) => return Some(connection),
                // Its own record may not be there yet.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(25)).await,
            }
        }
        None
    }

    /// The same, with the first words.
    pub(crate) async fn begin(&self, id: EndpointId, words: &str) -> Option<Guess> {
        let connection = self.connect(id).await?;
        let (mut send, mut recv) = connection.open_bi().await.ok()?;
        let (one, two) = identities(&connection, self.endpoint.id(), Side::Types);
        let (spake, message) = Spake2::<Ed25519Group>::start_a(&Password::new(words), &one, &two);
        let message = message.try_into().expect("33 bytes");
        let (commitment, extensions) = (commitment(), Extensions::default());
        let start = Frame::Start(Start { role: Role::Client, message, commitment, extensions }).encode();
        send.write_all(&start).await.ok()?;
        let said = read_frame(&mut recv, MAX_FRAME).await.ok()?;
        let Ok(Frame::Answer(answer)) = Frame::decode(&said) else { return None };
        let key = spake.finish(&answer.message).expect("a message");
        let keys = Keys::new(&key, &start, &with_header(&said));
        Some(Guess { connection, send, recv, keys, heard: said })
    }
}

/// Who the two sides are in the key exchange, of whom this one is `side`.
fn identities(connection: &Connection, own: EndpointId, side: Side) -> (Identity, Identity) {
    let mut exported = [0; 32];
    let export = connection.export_keying_material(&mut exported, EXPORTER_LABEL, b"");
    assert!(export.is_ok(), "keying material");
    let (types, shows) = match side {
        Side::Types => (own, connection.remote_id()),
        Side::Shows => (connection.remote_id(), own),
    };
    let identity = |label: &[u8], id: EndpointId| Identity::new(&[label, id.as_bytes(), &exported].concat());
    (identity(b"irosh-pair/1 types", types), identity(b"irosh-pair/1 shows", shows))
}

fn with_header(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes(), frame].concat()
}

/// What a side has come to.
pub(crate) struct Keys {
    transcript: [u8; 32],
    hkdf: Hkdf<Sha256>,
}

impl Keys {
    fn new(key: &[u8], start: &[u8], answer: &[u8]) -> Self {
        let transcript: [u8; 32] =
            Sha256::digest([b"irosh-pair/1 transcript", start, answer].concat()).into();
        Self { hkdf: Hkdf::new(Some(&transcript), key), transcript }
    }

    pub(crate) fn confirm(&self, side: Side) -> Vec<u8> {
        let info = match side {
            Side::Types => b"irosh-pair/1 confirm types",
            Side::Shows => b"irosh-pair/1 confirm shows",
        };
        let mut key = [0; 32];
        self.hkdf.expand(info, &mut key).expect("32 bytes");
        let mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
        let mac = mac.chain_update(self.transcript).chain_update([0]).chain_update(NONCE);
        let mac = mac.finalize().into_bytes().into();
        Frame::Confirm(Confirm { mac, compare: false, nonce: NONCE }).encode()
    }
}

/// A guess that is about to be made.
pub(crate) struct Guess {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    keys: Keys,
    heard: Vec<u8>,
}

impl Guess {
    /// Makes it; returns every byte that was heard until the connection closed, and with what code it did.
    pub(crate) async fn make(mut self) -> (Vec<u8>, Option<u64>) {
        let _ = self.send.write_all(&self.keys.confirm(Side::Types)).await;
        let mut heard = self.heard;
        while let Ok(Some(chunk)) = self.recv.read_chunk(1 << 16).await {
            heard.extend_from_slice(&chunk);
        }
        match self.connection.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                heard.extend_from_slice(&close.reason);
                (heard, Some(close.error_code.into_inner()))
            }
            _ => (heard, None),
        }
    }
}

/// Shows a code of these words at an endpoint, to whoever comes, and tells when somebody has tried others on it, who is
/// answered when that is allowed.
pub(crate) async fn show_other_words(
    endpoint: Endpoint,
    words: &'static str,
    tried: mpsc::UnboundedSender<oneshot::Sender<()>>,
) {
    while let Some(incoming) = endpoint.accept().await {
        let (own, tried) = (endpoint.id(), tried.clone());
        tokio::spawn(async move {
            let connection = incoming.accept().ok()?.await.ok()?;
            let (mut send, mut recv) = connection.accept_bi().await.ok()?;
            let said = read_frame(&mut recv, MAX_FRAME).await.ok()?;
            let Ok(Frame::Start(start)) = Frame::decode(&said) else { return None };
            let (one, two) = identities(&connection, own, Side::Shows);
            let (spake, message) = Spake2::<Ed25519Group>::start_b(&Password::new(words), &one, &two);
            let message = message.try_into().expect("33 bytes");
            let answer = Answer { message, nonce: NONCE, extensions: Extensions::default() };
            let answer = Frame::Answer(answer).encode();
            let key = spake.finish(&start.message).ok()?;
            let keys = Keys::new(&key, &with_header(&said), &answer);
            send.write_all(&answer).await.ok()?;
            read_frame(&mut recv, MAX_FRAME).await.ok()?;
            let (allow, allowed) = oneshot::channel();
            tried.send(allow).ok()?;
            allowed.await.ok()?;
            // As if it were right.
            send.write_all(&keys.confirm(Side::Shows)).await.ok()?;
            connection.closed().await;
            Some(())
        });
    }
}
