"""irosh-pair/1 a second time, from PROTOCOL.md, over PyPI's spake2: `pair.py SCENARIO KEY [CODE]`.

Beside what wire.py has, whoever runs this knows these:

    ask to-show                     showing ID      (an endpoint of its own, which others reach)
    ask to-announce SEED ID UNTIL   announced       (a record under the key of this seed)
    ask to-find SEED                found ID
    ask to-meet C ID                came C          (connects to an endpoint)
    ask for-ids C                   ids C OWN OTHER
"""

import hashlib
import hmac
import os
import sys
import time

import spake2
from wire import *

START, ANSWER, CONFIRM, CLIENT, HOST, REFUSED_PAIRING = range(1, 7)
FIRST_LIMIT, LIMIT = 2048, 32768
IS_HOST, IS_CLIENT = b"\0", b"\1"
WRONG, DEAD, SAME_ROLE, NOT_ADMITTED, BAD_PROOF = 1, 2, 3, 5, 6

LABEL = b"irosh-pair/1 "


class Pairing(Quic):
    """What carries streams, and finds the other side."""

    def __init__(self):
        super().__init__()
        self.answers = {}

    def happens(self, what, name="", *rest):
        if what in ("showing", "announced", "found", "ids"):
            self.answers[what] = [name, *rest]
        else:
            super().happens(what, name, *rest)

    def asked(self, answer, *words):
        self.answers.pop(answer, None)
        self.say(*words)
        self.until(lambda: answer in self.answers)
        return self.answers[answer]

    def export(self, connection, label, context=b""):
        self.exported.pop(connection, None)
        self.say("export", connection, label.hex(), context.hex())
        self.until(lambda: connection in self.exported)
        return self.exported[connection]


QUIC = Pairing()


def hkdf(salt, secret, info, length=32):
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")[:length]


def seed(nameplate):
    return hkdf(b"", nameplate.encode(), LABEL + b"nameplate")


def password(code):
    return code.split("-", 1)[1].encode()


class Side:
    """One side of a pairing, from the first frame on."""

    def __init__(self, connection, stream, code, types):
        self.connection, self.stream, self.types = connection, stream, types
        _, own, other = QUIC.asked("ids", "ask for-ids", connection)
        exported = QUIC.export(connection, b"EXPORTER-irosh-pair/1")
        typing, showing = (own, other) if types else (other, own)
        one = LABEL + b"types" + bytes.fromhex(typing) + exported
        two = LABEL + b"shows" + bytes.fromhex(showing) + exported
        self.nonce = os.urandom(16)
        self.spake = (spake2.SPAKE2_A if types else spake2.SPAKE2_B)(password(code), idA=one, idB=two)

    def commitment(self, nonce):
        return hashlib.sha256(LABEL + b"commitment" + nonce).digest()

    def agree(self, mine, theirs):
        """The key, and what was said until now."""
        said = [mine, theirs] if self.types else [theirs, mine]
        self.transcript = hashlib.sha256(LABEL + b"transcript" + b"".join(said)).digest()
        message = Fields(theirs[4:])
        kind = message.byte()
        if kind == START:
            message.take(5)
        self.key = self.spake.finish(message.take(33))
        # The nonce of the other side, or what it has promised of it.
        self.promised = message.take(32 if kind == START else 16)

    def derive(self, purpose, length=32):
        return hkdf(self.transcript, self.key, LABEL + purpose, length)

    def mac(self, purpose, content):
        return hmac.digest(self.derive(purpose), self.transcript + content, "sha256")

    def send(self, kind, *fields):
        content = frame(kind, *fields)
        self.stream.send(content)
        return content

    def read(self, expected, limit=LIMIT):
        kind, fields = self.stream.read_frame(limit)
        if kind == REFUSED_PAIRING:
            raise Refusal(fields.uint32(), fields.text(1024, lines=True))
        assert kind == expected, f"{kind} in place of {expected}"
        return fields

    def confirm(self, compare=b"\0"):
        own = b"confirm types" if self.types else b"confirm shows"
        self.send(CONFIRM, self.mac(own, compare + self.nonce), compare, self.nonce)

    def confirmed(self):
        """Whether the other side knows the words."""
        fields = self.read(CONFIRM, FIRST_LIMIT)
        code, compare, self.other = fields.take(32), fields.take(1), fields.take(16)
        fields.end()
        assert self.promised == (self.other if self.types else self.commitment(self.other)), "another nonce"
        theirs = b"confirm shows" if self.types else b"confirm types"
        return hmac.compare_digest(code, self.mac(theirs, compare + self.other))

    def seal(self, kind, purpose, *fields):
        content = b"".join(fields)
        self.send(kind, self.mac(purpose, content), content)

    def opened(self, kind, purpose):
        fields = self.read(kind)
        code = fields.take(32)
        assert hmac.compare_digest(code, self.mac(purpose, fields.rest)), "a MAC does not hold"
        return fields

    def to_prove(self, public):
        return proof_message(QUIC.export(self.connection, b"EXPORTER-irosh-pair/1 identity", public))

    def introduce(self, proof=None, manner=()):
        """The client's side of the rest: what the host says of itself."""
        proof = proof or KEY.sign(self.to_prove(KEY.public))
        later = extensions([*manner, (7, b"later")])
        self.seal(CLIENT, b"client", KEY.public, proof, string(b"python@second"), later)
        fields = self.opened(HOST, b"host")
        host = {"ticket": fields.text(4096), "name": fields.text(255), "login": fields.text(255)}
        host["vouched"], host["running"] = fields.boolean(), fields.boolean()
        count = fields.uint32()
        assert count <= 16
        host["keys"] = [fields.string(4096) for _ in range(count)]
        fields.extensions()
        QUIC.close(self.connection, DONE)
        return host

    def admit(self, ticket):
        """The host's side of the rest: who the client is."""
        fields = self.opened(CLIENT, b"client")
        public, proof = fields.take(32), fields.take(64)
        name = fields.text(255)
        fields.extensions()
        assert Key.holds(public, self.to_prove(public), proof), "no proof"
        later = extensions([(1 << 31, b"of a later version")])
        keys = [uint32(1), string(string(b"ssh-ed25519") + string(bytes(range(32))))]
        names = [string(ticket.encode()), string("pythön".encode()), string(b"alice")]
        self.seal(HOST, b"host", *names, b"\0", b"\1", *keys, later)
        QUIC.until(lambda: self.connection in QUIC.codes)
        assert QUIC.codes[self.connection] == DONE
        return public, name


class Refusal(Exception):
    pass


def types(code, role, number="c"):
    """The side that types, up to what both have in common."""
    nameplate = code.split("-")[0]
    (other,) = QUIC.asked("found", "ask to-find", seed(nameplate).hex())
    QUIC.say("ask to-meet", number, other)
    QUIC.until(lambda: number in QUIC.came)
    side = Side(number, QUIC.open(number), code, True)
    # What a later version says is passed over.
    side.stream.send(frame(200, b"later"))
    promise = side.commitment(side.nonce)
    start = side.send(START, uint32(1), role, side.spake.start(), promise, extensions([(9, b"?")]))
    kind, fields = side.stream.read_frame(FIRST_LIMIT)
    if kind == REFUSED_PAIRING:
        raise Refusal(fields.uint32(), fields.text(1024, lines=True))
    assert kind == ANSWER
    side.agree(start, string(bytes([kind]) + fields.rest))
    return side


def shows(code, role):
    """The side that shows, up to a right guess."""
    nameplate = code.split("-")[0]
    (own,) = QUIC.asked("showing", "ask to-show")
    QUIC.asked("announced", "ask to-announce", seed(nameplate).hex(), own, int(time.time()) + 60)
    QUIC.asks("code " + code)
    QUIC.until(lambda: QUIC.came and QUIC.opened.get(QUIC.came[0]))
    connection = QUIC.came.pop(0)
    side = Side(connection, QUIC.opened[connection][0], code, False)
    kind, fields = side.stream.read_frame(FIRST_LIMIT)
    start = string(bytes([kind]) + fields.rest)
    assert kind == START and fields.uint32() == 1
    assert fields.take(1) != role, "both are the same"
    answer = side.send(ANSWER, side.spake.start(), side.nonce, extensions([(9, b"?")]))
    side.agree(answer, start)
    return side


def verifier(side):
    """Its bytes, for whoever has the words."""
    nonces = side.nonce + side.other if side.types else side.other + side.nonce
    return side.derive(b"verifier" + nonces, 4).hex()


def a_client_types_the_code_of_a_host():
    side = types(CODE, IS_CLIENT)
    side.confirm()
    assert side.confirmed()
    host = side.introduce()
    assert host["name"] == "testhost" and host["running"] and host["ticket"].startswith("endpoint"), host
    assert host["keys"], "no host keys"
    QUIC.asks(f"verifier {verifier(side)} ticket {host['ticket']}")


def touched(side, flags):
    """The proof of a FIDO key, and the extension that says so."""
    touch = bytes([flags]) + uint32(7)
    digest = hashlib.sha256(side.to_prove(KEY.public)).digest()
    proof = KEY.sign(hashlib.sha256(b"ssh:").digest() + touch + digest)
    return proof, [(2, b"\0" + string(b"ssh:") + touch)]


def introduces_itself(prove, refused=None):
    """With what this says: a proof, and the extension that says how it was made."""
    side = types(CODE, IS_CLIENT)
    side.confirm()
    assert side.confirmed()
    try:
        side.introduce(*prove(side))
    except Refusal as refusal:
        assert refusal.args[0] == refused, refusal.args
        return
    assert not refused, "it was not refused"


def sshsig(side):
    digest = hashlib.sha512(side.to_prove(KEY.public)).digest()
    fields = [string(b"irosh/1 identity proof"), string(b""), string(b"sha512"), string(digest)]
    return KEY.sign(b"SSHSIG" + b"".join(fields))


def a_client_proves_itself_by_an_sshsig():
    introduces_itself(lambda side: (sshsig(side), [(2, b"\1" + string(b""))]))


def a_client_that_does_not_say_how_is_not_proved():
    introduces_itself(lambda side: (sshsig(side), []), BAD_PROOF)


def a_proof_of_irosh_is_none_of_a_pairing():
    def other(side):
        return KEY.sign(proof_message(QUIC.keying_material(side.connection, KEY.public))), []

    introduces_itself(other, BAD_PROOF)


def a_fido_key_that_was_touched_is_let_in():
    introduces_itself(lambda side: touched(side, 1))


def a_fido_key_that_was_not_touched_is_not():
    introduces_itself(lambda side: touched(side, 0), NOT_ADMITTED)


def a_host_types_the_code_of_a_client():
    side = types(CODE, IS_HOST)
    side.confirm()
    assert side.confirmed()
    _, name = side.admit(TICKET)
    QUIC.asks(f"verifier {verifier(side)} name {name}")


def a_client_shows_a_code_to_a_host():
    side = shows(CODE, IS_CLIENT)
    assert side.confirmed()
    side.confirm()
    host = side.introduce()
    QUIC.asks(f"verifier {verifier(side)} ticket {host['ticket']}")


def a_host_shows_a_code_to_a_client():
    side = shows(CODE, IS_HOST)
    assert side.confirmed()
    side.confirm()
    _, name = side.admit(TICKET)
    QUIC.asks(f"verifier {verifier(side)} name {name}")


def a_wrong_word_is_refused_and_tells_nothing():
    number, first, _ = CODE.split("-")
    wrong = f"{number}-{first}-{'otter' if not CODE.endswith('otter') else 'badger'}"
    side = types(wrong, IS_CLIENT)
    side.confirm()
    try:
        side.confirmed()
    except Refusal as refusal:
        assert refusal.args == (WRONG, ""), refusal.args
    else:
        raise AssertionError("it was not refused")


def another_nonce_than_was_promised_is_no_guess():
    """Though the words are right. The code is as good as before."""
    side = types(CODE, IS_CLIENT)
    side.nonce = os.urandom(16)
    side.confirm()
    QUIC.until(lambda: side.connection in QUIC.codes)
    assert QUIC.codes[side.connection] == BROKEN, QUIC.codes
    side = types(CODE, IS_CLIENT, "d")
    side.confirm()
    assert side.confirmed()
    side.introduce()


def two_of_the_same_role_are_told_so_and_it_is_no_guess():
    try:
        types(CODE, IS_HOST)
    except Refusal as refusal:
        assert refusal.args == (SAME_ROLE, ""), refusal.args
    else:
        raise AssertionError("it was not refused")


def who_shows_other_words_is_not_believed():
    """The side that types hears a MAC that is not right, in place of a refusal."""
    side = shows(CODE, IS_HOST)
    assert not side.confirmed(), "the same words"
    side.confirm()
    QUIC.until(lambda: side.connection in QUIC.codes)


if __name__ == "__main__":
    KEY = Key(sys.argv[2])
    CODE = sys.argv[3]
    TICKET = sys.argv[4] if len(sys.argv) > 4 else None
    globals()[sys.argv[1]]()
