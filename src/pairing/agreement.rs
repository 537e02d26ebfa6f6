//! The key exchange of a pairing, without any I/O: SPAKE2 with the words of a code, bound to one connection.
//!
//! The side that types says `Start`, the side that shows `Answer`; what they then have in common are [`Keys`], which are
//! the same on both sides if and only if the words are, and the connection. Neither message says anything about the
//! words, and neither side can try words by itself: what tells a wrong guess from a right one is a confirmation, and the
//! side that shows gives its own only to who has given a right one.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use iroh::{EndpointId, endpoint::Connection};
use sha2::{Digest, Sha256};
use spake2::{Ed25519Group, Identity, Password, Spake2};

use super::{code::Code, verifier::Verifier};
use crate::{
    protocol::{
        EXPORTER_LENGTH, Extensions, FrameError,
        pairing::{
            Answer, COMMITMENT_LENGTH, Confirm, EXPORTER_LABEL, Frame, MAC_LENGTH, MESSAGE_LENGTH,
            NONCE_LENGTH, Role, Sealed, Start,
        },
    },
    random::random,
    ssh_wire::Writer,
};

type Nonce = [u8; NONCE_LENGTH];

/// What a side does with the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A person types it there.
    Types,
    /// It is seen there.
    Shows,
}

/// The connection of a pairing, as nobody but its two ends knows it.
#[derive(Clone)]
pub(super) struct Channel {
    pub(super) types: EndpointId,
    pub(super) shows: EndpointId,
    /// Keying material of the TLS session.
    pub(super) exported: [u8; EXPORTER_LENGTH],
}

impl Channel {
    /// The connection of this endpoint; nothing where it gives no keying material.
    pub(super) fn of(connection: &Connection, own: EndpointId, side: Side) -> Option<Self> {
        let mut exported = [0; EXPORTER_LENGTH];
        connection.export_keying_material(&mut exported, EXPORTER_LABEL, b"").ok()?;
        let (types, shows) = match side {
            Side::Types => (own, connection.remote_id()),
            Side::Shows => (connection.remote_id(), own),
        };
        Some(Self { types, shows, exported })
    }

    /// Who a side is in the key exchange: the endpoint, on this connection.
    fn identity(&self, side: Side) -> Identity {
        let (label, id) = match side {
            Side::Types => (&b"irosh-pair/1 types"[..], &self.types),
            Side::Shows => (&b"irosh-pair/1 shows"[..], &self.shows),
        };
        Identity::new(&[label, id.as_bytes(), &self.exported].concat())
    }
}

/// The side that types, once it has said its first word.
pub(super) struct Typing {
    spake: Spake2<Ed25519Group>,
    nonce: Nonce,
    start: Vec<u8>,
}

impl Typing {
    /// What it says first.
    pub(super) fn begin(code: &Code, channel: &Channel, role: Role) -> (Self, Vec<u8>) {
        let (spake, message) = Spake2::start_a(
            &Password::new(code.words()),
            &channel.identity(Side::Types),
            &channel.identity(Side::Shows),
        );
        let nonce = random();
        let (message, commitment) = (fixed(&message), commitment(&nonce));
        let start = Start { role, message, commitment, extensions: Extensions::default() };
        let start = Frame::Start(start).encode();
        (Self { spake, nonce, start: start.clone() }, start)
    }

    /// What it has in common with who has answered; `said` are the bytes of the answer, without the header.
    pub(super) fn answered(self, answer: &Answer, said: &[u8]) -> Result<Keys, NoMessage> {
        let key = self.spake.finish(&answer.message).map_err(|_| NoMessage)?;
        let nonces = Nonces { own: self.nonce, other: Promise::Told(answer.nonce) };
        Ok(Keys::new(&key, nonces, &self.start, &with_header(said)))
    }
}

/// A nonce that nobody can tell from this, and for which this stands alone.
fn commitment(nonce: &Nonce) -> [u8; COMMITMENT_LENGTH] {
    Sha256::digest([b"irosh-pair/1 commitment", &nonce[..]].concat()).into()
}

/// What the side that shows says to a first word, and has in common with who has said it; `said` are the bytes of that,
/// without the header. Each time with a secret that was never used before: of any number of such answers, none helps
/// with another.
pub(super) fn answer(
    code: &Code,
    channel: &Channel,
    start: &Start,
    said: &[u8],
) -> Result<(Keys, Vec<u8>), NoMessage> {
    let (spake, message) = Spake2::<Ed25519Group>::start_b(
        &Password::new(code.words()),
        &channel.identity(Side::Types),
        &channel.identity(Side::Shows),
    );
    let key = spake.finish(&start.message).map_err(|_| NoMessage)?;
    let nonces = Nonces { own: random(), other: Promise::Commitment(start.commitment) };
    let answer = Answer { message: fixed(&message), nonce: nonces.own, extensions: Extensions::default() };
    let answer = Frame::Answer(answer).encode();
    Ok((Keys::new(&key, nonces, &with_header(said), &answer), answer))
}

/// What should be a message of SPAKE2 is no point of the curve, or the wrong side's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMessage;

impl From<NoMessage> for FrameError {
    fn from(_: NoMessage) -> Self {
        Self::Truncated
    }
}

/// SPAKE2's messages have that length, whatever the words are.
fn fixed(message: &[u8]) -> [u8; MESSAGE_LENGTH] {
    let mut fixed = [0; MESSAGE_LENGTH];
    let length = message.len().min(MESSAGE_LENGTH);
    fixed[..length].copy_from_slice(&message[..length]);
    fixed
}

/// A header is a length, so that a frame with it is as a string.
fn with_header(frame: &[u8]) -> Vec<u8> {
    Vec::new().string(frame)
}

/// What the two sides add to the verifier. The side that types has promised its own before it is told the other one, and
/// tells it last. So neither can choose what both show, who stands in between included.
#[derive(Clone)]
struct Nonces {
    own: Nonce,
    other: Promise,
}

/// What the other side has said of its nonce before it confirms.
#[derive(Clone)]
enum Promise {
    Commitment([u8; COMMITMENT_LENGTH]),
    Told(Nonce),
}

/// What both sides have in common whose words are the same.
#[derive(Clone)]
pub(super) struct Keys {
    hkdf: Hkdf<Sha256>,
    nonces: Nonces,
    /// The hash of what was said until then.
    transcript: [u8; 32],
}

impl Keys {
    fn new(key: &[u8], nonces: Nonces, start: &[u8], answer: &[u8]) -> Self {
        let said = [b"irosh-pair/1 transcript", start, answer].concat();
        let transcript: [u8; 32] = Sha256::digest(said).into();
        Self { hkdf: Hkdf::new(Some(&transcript), key), nonces, transcript }
    }

    /// The key of one purpose.
    fn key<const N: usize>(&self, purpose: &str) -> [u8; N] {
        let mut key = [0; N];
        let made = self.hkdf.expand(format!("irosh-pair/1 {purpose}").as_bytes(), &mut key);
        debug_assert!(made.is_ok(), "a key is no longer than a block");
        key
    }

    fn mac(&self, purpose: &str) -> Hmac<Sha256> {
        let key: [u8; 32] = self.key(purpose);
        // Any length of key is one.
        Hmac::new_from_slice(&key).unwrap_or_else(|_| unreachable!("HMAC takes any key"))
    }

    /// The proof that a side knows the words.
    pub(super) fn confirm(&self, side: Side, compare: bool) -> Confirm {
        let nonce = self.nonces.own;
        let mac = self.confirmation(side, compare, &nonce).finalize().into_bytes().into();
        Confirm { mac, compare, nonce }
    }

    /// Whether the other side has told the nonce that it has promised. Who has not proves nothing.
    pub(super) fn keeps_promise(&self, confirm: &Confirm) -> bool {
        match &self.nonces.other {
            Promise::Commitment(promised) => commitment(&confirm.nonce) == *promised,
            Promise::Told(nonce) => confirm.nonce == *nonce,
        }
    }

    /// Whether it is the proof of that side. In the same time, whatever it is.
    pub(super) fn confirms(&self, side: Side, confirm: &Confirm) -> bool {
        let Confirm { mac, compare, nonce } = confirm;
        self.confirmation(side, *compare, nonce).verify_slice(mac).is_ok()
    }

    fn confirmation(&self, side: Side, compare: bool, nonce: &Nonce) -> Hmac<Sha256> {
        let purpose = match side {
            Side::Types => "confirm types",
            Side::Shows => "confirm shows",
        };
        self.mac(purpose).chain_update(self.transcript).chain_update([u8::from(compare)]).chain_update(nonce)
    }

    /// What one of the two says of itself, so that the other knows that it has.
    pub(super) fn seal(&self, role: Role, body: Vec<u8>) -> Sealed {
        let mac: [u8; MAC_LENGTH] = self.sealing(role, &body).finalize().into_bytes().into();
        Sealed { mac, body }
    }

    /// What the other has said of itself.
    pub(super) fn open<'a>(&self, role: Role, sealed: &'a Sealed) -> Option<&'a [u8]> {
        let mac = self.sealing(role, &sealed.body);
        mac.verify_slice(&sealed.mac).is_ok().then_some(&sealed.body)
    }

    fn sealing(&self, role: Role, body: &[u8]) -> Hmac<Sha256> {
        self.mac(&role.to_string()).chain_update(self.transcript).chain_update(body)
    }

    /// What both machines show, once the side of this has confirmed, which is the other one.
    pub(super) fn verifier(&self, side: Side, confirm: &Confirm) -> Verifier {
        let (types, shows) = match side {
            Side::Types => (&confirm.nonce, &self.nonces.own),
            Side::Shows => (&self.nonces.own, &confirm.nonce),
        };
        let mut bytes = [0; 4];
        let made = self.hkdf.expand_multi_info(&[b"irosh-pair/1 verifier", types, shows], &mut bytes);
        debug_assert!(made.is_ok(), "it is no longer than a block");
        Verifier(bytes)
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    fn channel(exported: u8) -> Channel {
        let id = |seed| SecretKey::from_bytes(&[seed; 32]).public();
        Channel { types: id(1), shows: id(2), exported: [exported; EXPORTER_LENGTH] }
    }

    fn code(text: &str) -> Code {
        text.parse().expect("a code")
    }

    fn body(frame: &[u8]) -> &[u8] {
        &frame[4..]
    }

    /// What the side that types and the side that shows come to.
    fn exchange(typed: (&str, &Channel), shown: (&str, &Channel)) -> (Keys, Keys) {
        let (typing, said) = Typing::begin(&code(typed.0), typed.1, Role::Client);
        let Ok(Frame::Start(start)) = Frame::decode(body(&said)) else { panic!("no start") };
        let (shows, said) = answer(&code(shown.0), shown.1, &start, body(&said)).expect("a message");
        let Ok(Frame::Answer(answer)) = Frame::decode(body(&said)) else { panic!("no answer") };
        (typing.answered(&answer, body(&said)).expect("a message"), shows)
    }

    fn agree((types, shows): &(Keys, Keys)) -> bool {
        let (one, other) = (types.confirm(Side::Types, false), shows.confirm(Side::Shows, false));
        assert!(shows.keeps_promise(&one) && types.keeps_promise(&other));
        let agree = shows.confirms(Side::Types, &one);
        assert_eq!(agree, types.confirms(Side::Shows, &other));
        agree
    }

    /// What the two show.
    fn verifiers((types, shows): &(Keys, Keys)) -> (Verifier, Verifier) {
        let (one, other) = (types.confirm(Side::Types, false), shows.confirm(Side::Shows, false));
        (types.verifier(Side::Shows, &other), shows.verifier(Side::Types, &one))
    }

    #[test]
    fn the_same_words_on_one_connection_agree_and_nothing_else_does() {
        let here = channel(1);
        let right = exchange(("7-velvet-otter", &here), ("7-velvet-otter", &here));
        assert!(agree(&right));
        let (one, other) = verifiers(&right);
        assert_eq!(one, other);
        // The nameplate is no part of the secret.
        assert!(agree(&exchange(("8-velvet-otter", &here), ("7-velvet-otter", &here))));
        for wrong in ["7-velvet-badger", "7-amber-otter"] {
            let sides = exchange((wrong, &here), ("7-velvet-otter", &here));
            assert!(!agree(&sides), "{wrong}");
            let (one, other) = verifiers(&sides);
            assert_ne!(one, other);
        }
        let who_is_between = Channel { shows: SecretKey::from_bytes(&[3; 32]).public(), ..channel(1) };
        for elsewhere in [channel(2), who_is_between] {
            assert!(!agree(&exchange(("7-velvet-otter", &elsewhere), ("7-velvet-otter", &here))));
        }
    }

    #[test]
    fn a_confirmation_is_of_one_side_and_what_it_says() {
        let here = channel(1);
        let (types, shows) = exchange(("7-velvet-otter", &here), ("7-velvet-otter", &here));
        let confirm = types.confirm(Side::Types, false);
        assert!(!types.confirms(Side::Shows, &confirm), "it can be sent back");
        assert!(!shows.confirms(Side::Types, &Confirm { compare: true, ..confirm.clone() }));
        // And of one exchange.
        let (_, again) = exchange(("7-velvet-otter", &here), ("7-velvet-otter", &here));
        assert!(!again.confirms(Side::Types, &confirm));
    }

    #[test]
    fn what_both_show_hangs_on_a_nonce_that_each_has_promised_before_it_knew_the_other() {
        let here = channel(1);
        let (types, shows) = exchange(("7-velvet-otter", &here), ("7-velvet-otter", &here));
        for (own, side, other) in [(&types, Side::Shows, &shows), (&shows, Side::Types, &types)] {
            let confirm = other.confirm(side, false);
            let mut chosen = confirm.clone();
            chosen.nonce[0] ^= 1;
            assert_ne!(own.verifier(side, &confirm), own.verifier(side, &chosen));
            assert!(own.keeps_promise(&confirm) && !own.keeps_promise(&chosen));
            assert!(!own.confirms(side, &chosen), "it is another one's");
        }
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_other_side_alone_and_whole() {
        let here = channel(1);
        let (types, shows) = exchange(("7-velvet-otter", &here), ("7-velvet-otter", &here));
        let sealed = types.seal(Role::Client, b"about me".to_vec());
        assert_eq!(shows.open(Role::Client, &sealed), Some(&b"about me"[..]));
        assert_eq!(shows.open(Role::Host, &sealed), None);
        assert_eq!(shows.open(Role::Client, &Sealed { body: b"about you".to_vec(), ..sealed }), None);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let here = channel(1);
        let (_, said) = Typing::begin(&code("7-velvet-otter"), &here, Role::Client);
        let Ok(Frame::Start(start)) = Frame::decode(body(&said)) else { panic!("no start") };
        let with = |change: fn(&mut [u8; MESSAGE_LENGTH])| {
            let mut start = start.clone();
            change(&mut start.message);
            answer(&code("7-velvet-otter"), &here, &start, body(&said)).is_ok()
        };
        assert!(with(|_| ()));
        assert!(!with(|message| message[0] = b'B'), "the other side's");
        let no_point = |message: &mut [u8; MESSAGE_LENGTH]| {
            message[1..].fill(0);
            message[1] = 2;
        };
        assert!(!with(no_point), "no point of the curve");
    }
}
