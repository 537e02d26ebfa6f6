"""A client of irosh/1: `client.py SCENARIO KEY`. The host's backend sends back what it is sent, unless said otherwise."""

import base64
import hashlib
import os
import random
import sys

from wire import *

QUIC = Quic()
KEY = None


class Connection:
    """A connection to the host."""

    def __init__(self, instance=None, known=()):
        self.name = QUIC.name()
        QUIC.say("connect", self.name)
        self.control = QUIC.open(self.name)
        self.sessions = {}
        self.instance = instance or os.urandom(16)
        self.known = known
        QUIC.listeners.append(self.listen)
        self.welcomed = None

    def hello(self, version=1, proof=None):
        proof = proof or KEY.sign(proof_message(QUIC.keying_material(self.name, KEY.public)))
        fields = [uint32(version), KEY.public, proof, string(b""), string(b"second 1.0"), self.instance]
        self.control.send(frame(HELLO, *fields, extensions(self.known)))

    def welcome(self):
        kind, fields = self.control.read_frame(CONTROL_LIMIT)
        assert kind == WELCOME, (kind, fields.refusal())
        said = {"version": fields.uint32(), "name": fields.text(255), "software": fields.text(255)}
        said["backend"] = fields.byte()
        count = fields.uint32()
        assert count <= 16
        said["keys"] = [fields.string(4096) for _ in range(count)]
        said["sessions"], said["seconds"] = fields.uint32(), fields.uint32()
        said["extensions"] = fields.extensions()
        self.welcomed = said
        self.listen()
        return said

    def refusal(self):
        kind, fields = self.control.read_frame(CONTROL_LIMIT)
        assert kind == REFUSED, kind
        return fields.refusal()

    def greet(self):
        self.hello()
        self.welcome()
        return self

    def listen(self):
        """Takes what the host says beside the legs."""
        while self.welcomed and (said := self.control.next_frame(CONTROL_LIMIT)):
            kind, fields = said
            if kind == ACKNOWLEDGED:
                session, count, end = fields.take(16), fields.uint64(), fields.boolean()
                self.sessions[session].is_acknowledged(count, end)
            elif kind == CLOSED:
                session, code = fields.take(16), fields.uint32()
                if session in self.sessions:
                    self.sessions[session].closed = code
            else:
                assert kind == GO_AWAY, kind
                fields.refusal()
            fields.end()

    def close_session(self, session, code=DONE):
        self.control.send(frame(CLOSED, session.id, uint32(code)))

    def leave(self, code=DETACHED):
        QUIC.close(self.name, code)


class Session:
    """A session: what was sent and is not acknowledged, and what has come."""

    def __init__(self, connection):
        self.id, self.leg_number, self.window = os.urandom(16), 0, FIRST_WINDOW
        self.said, self.ends, self.leg_ends = b"", False, False
        self.sent, self.acknowledged, self.all_delivered = 0, 0, False
        self.heard, self.heard_end, self.closed = b"", False, None
        self.leg, self.answered = None, False
        QUIC.listeners.append(self.listen)
        self.attach(connection, frame(OPEN, self.id))

    def attach(self, connection, header):
        self.connection, self.answered = connection, False
        connection.sessions[self.id] = self
        self.leg = QUIC.open(connection.name)
        self.leg.send(header)

    def resume(self, connection):
        """On another leg: from where each side is."""
        self.leg, self.leg_number = None, self.leg_number + 1
        position = [uint64(len(self.heard)), bytes([self.heard_end])]
        self.attach(connection, frame(RESUME, self.id, uint32(self.leg_number), *position))
        QUIC.until(lambda: self.answered)

    def listen(self):
        """Takes what comes on the leg, and sends what may be sent."""
        if not self.leg:
            return
        if not self.answered and (said := self.leg.next_frame(LEG_LIMIT)):
            self.answer(*said)
        if self.answered and self.leg.buffer:
            assert not self.heard_end, "bytes after the end of file"
            self.heard, self.leg.buffer = self.heard + self.leg.buffer, b""
        self.heard_end = self.heard_end or (self.answered and self.leg.ended)
        self.send()

    def answer(self, kind, fields):
        assert kind == (RESUMED if self.leg_number else OPENED), (kind, fields.rest)
        if kind == OPENED:
            self.window = fields.uint32()
            assert FIRST_WINDOW <= self.window <= GREATEST_WINDOW
        else:
            received, end = fields.uint64(), fields.boolean()
            assert self.acknowledged <= received <= len(self.said), f"it goes on at {received}"
            self.sent, self.leg_ends = received, end
        fields.end()
        self.answered = True

    def say(self, content, end=False):
        self.said, self.ends, self.leg_ends = self.said + content, end, False
        self.send()

    def send(self):
        if not self.leg or (self.leg_number and not self.answered) or self.leg.code is not None:
            return
        until = min(len(self.said), self.acknowledged + self.window)
        if until > self.sent:
            self.leg.send(self.said[self.sent : until])
            self.sent = until
        if self.ends and self.sent == len(self.said) and not self.leg_ends:
            self.leg.finish()
            self.leg_ends = True

    def is_acknowledged(self, count, end):
        assert count <= self.sent, f"{count} bytes are acknowledged, and {self.sent} were sent"
        self.acknowledged = max(self.acknowledged, count)
        self.all_delivered = self.all_delivered or end
        self.send()

    def acknowledge(self):
        position = [uint64(len(self.heard)), bytes([self.heard_end])]
        self.connection.control.send(frame(ACKNOWLEDGED, self.id, *position))

    def hears(self, count):
        self.acknowledge()
        while len(self.heard) < count:
            before = len(self.heard)
            QUIC.until(lambda: len(self.heard) > before)
            self.acknowledge()

    def comes_to_its_end(self, content):
        """All of it has come back, each side has the other's end of file, and each says that it is over."""
        self.hears(len(content))
        QUIC.until(lambda: self.heard_end)
        assert self.heard == content, "bytes are lost, or there twice"
        QUIC.until(lambda: self.all_delivered)
        assert self.acknowledged == len(self.said)
        self.acknowledge()
        self.connection.close_session(self)
        QUIC.until(lambda: self.closed is not None)
        assert self.closed == DONE, self.closed


def content(length):
    return random.Random(length).randbytes(length)


def a_session_from_hello_to_the_echo_of_closed():
    connection = Connection()
    connection.hello()
    # Nothing is waited for.
    session = Session(connection)
    session.say(content(20_000))
    said = connection.welcome()
    assert (said["version"], said["name"], said["backend"]) == (1, "testhost", 3), said
    assert said["sessions"] > 0 and said["seconds"] == 24 * 60 * 60, said
    session.say(content(3_000_000), end=True)
    session.comes_to_its_end(content(20_000) + content(3_000_000))
    QUIC.close(connection.name, DONE)


def a_server_is_heard_from_its_banner_on():
    """An SSH server, whose key is named."""
    connection = Connection()
    connection.hello()
    session = Session(connection)
    session.say(b"SSH-2.0-second\r\n")
    keys = connection.welcome()["keys"]
    assert base64.b64decode(sys.argv[3].split()[1]) in keys, keys
    QUIC.until(lambda: b"\r\n" in session.heard)
    banner = session.heard.split(b"\r\n")[0]
    assert banner.startswith(b"SSH-2.0-"), banner
    QUIC.until(lambda: len(session.heard) > len(banner) + 8)
    packet = Fields(session.heard[len(banner) + 2 :])
    assert packet.uint32() < 35000 and packet.take(2)[1] == 20, "no SSH_MSG_KEXINIT"


def what_a_client_of_the_future_says_is_passed_over():
    connection = Connection(known=[(4_000_000_000, b"what?"), (0, b""), (4_000_000_000, b"again")])
    later = frame(200, b"of a later version")
    connection.control.send(later)
    connection.greet()
    connection.control.send(later + frame(128))
    leg = QUIC.open(connection.name)
    leg.send(later + frame(OPEN, os.urandom(16)))
    kind, fields = leg.read_frame(LEG_LIMIT)
    assert kind == OPENED, (kind, fields.rest)
    leg.send(b"hello")
    QUIC.until(lambda: leg.buffer == b"hello")


def another_version_is_refused_and_costs_nothing():
    for _ in range(20):
        connection = Connection()
        connection.hello(version=2)
        code, sentence = connection.refusal()
        assert code == 11 and "version" in sentence, (code, sentence)
        QUIC.until(lambda: connection.name in QUIC.codes)
        assert QUIC.codes[connection.name] == 3
    Connection().greet()


def a_proof_that_does_not_hold_is_refused():
    connection = Connection()
    connection.hello(proof=KEY.sign(proof_message(bytes(32))))
    assert connection.refusal()[0] == 5


def manner(sshsig, application=b"", flags=0, counter=0):
    """How a proof is made: the extension that says so."""
    touch = bytes([flags]) + uint32(counter) if application else b""
    return [(2, bytes([sshsig]) + string(application) + touch)]


def to_prove(connection):
    return proof_message(QUIC.keying_material(connection.name, KEY.public))


def a_proof_may_be_an_sshsig():
    for said, answer in ((manner(True), WELCOME), ([], REFUSED)):
        connection = Connection(known=said)
        digest = hashlib.sha512(to_prove(connection)).digest()
        fields = [string(b"irosh/1 identity proof"), string(b""), string(b"sha512"), string(digest)]
        connection.hello(proof=KEY.sign(b"SSHSIG" + b"".join(fields)))
        assert connection.control.read_frame(CONTROL_LIMIT)[0] == answer, said


def a_fido_key_proves_what_its_bytes_alone_do_not():
    """The host knows this key as one on a FIDO key, and no other way."""

    def answer(flags, said):
        connection = Connection(known=manner(False, b"ssh:", said, 7))
        digest = hashlib.sha256(to_prove(connection)).digest()
        touch = bytes([flags]) + uint32(7)
        connection.hello(proof=KEY.sign(hashlib.sha256(b"ssh:").digest() + touch + digest))
        kind, fields = connection.control.read_frame(CONTROL_LIMIT)
        return fields.refusal()[0] if kind == REFUSED else kind

    assert answer(1, 1) == WELCOME
    # Nobody has touched it, or it does not say so itself.
    assert (answer(0, 0), answer(0, 1)) == (5, 5)
    connection = Connection()
    connection.hello()
    assert connection.refusal()[0] == 1


def a_certificate_lets_in_who_is_on_no_list():
    with open(sys.argv[3]) as file:
        certificate = base64.b64decode(file.read().split()[1])
    connection = Connection()
    connection.hello()
    assert connection.refusal()[0] == 1
    Connection(known=[(1, certificate)]).greet()
    connection = Connection(known=[(1, certificate[:-1])])
    connection.hello()
    code, sentence = connection.refusal()
    assert code == 1 and "certificate" in sentence, (code, sentence)


def cut(how):
    """A leg is lost with bytes under way both ways, three times, and nothing is lost or doubled."""
    connection = Connection().greet()
    session = Session(connection)
    for number in range(3):
        session.say(content(700_000 + number))
        # Some have come back, of which the host is told nothing.
        goal = len(session.heard) + 100_000
        QUIC.until(lambda: len(session.heard) >= goal)
        assert session.sent > len(session.heard), "nothing is under way"
        if how == "connection":
            session.connection.leave()
        elif how == "leg":
            session.leg.reset(DETACHED)
        if how != "leg":
            connection = Connection().greet()
        session.resume(connection)
    session.say(b"", end=True)
    session.comes_to_its_end(b"".join(content(700_000 + number) for number in range(3)))


def nothing_is_lost_with_a_connection():
    cut("connection")


def nothing_is_lost_with_a_leg():
    cut("leg")


def nothing_is_lost_where_the_old_connection_lives():
    cut("nothing")


def an_end_of_file_under_way_at_the_cut_arrives():
    session = Session(Connection().greet())
    session.say(content(50_000))
    session.hears(50_000)
    session.say(content(60_000), end=True)
    session.leg.reset(DETACHED)
    session.connection.leave()
    session.resume(Connection().greet())
    # The host's own comes, and is not acknowledged.
    QUIC.until(lambda: session.heard_end)
    session.connection.leave()
    session.resume(Connection().greet())
    session.comes_to_its_end(content(50_000) + content(60_000))


def an_end_of_file_that_was_not_seen_is_sent_again():
    session = Session(Connection().greet())
    session.say(content(10_000), end=True)
    QUIC.until(lambda: session.heard_end)
    # As if the last of it had been lost on its way.
    session.connection.leave()
    session.leg, session.heard, session.heard_end = None, session.heard[:-100], False
    session.resume(Connection().greet())
    session.comes_to_its_end(content(10_000))


def both_tails_are_full_at_the_cut():
    session = Session(Connection().greet())
    QUIC.until(lambda: session.answered)
    window = session.window
    # More than the host, its backend and the pipes between take, while nothing is acknowledged to them.
    session.say(content(4 * window), end=True)
    QUIC.until(lambda: session.acknowledged >= window and session.sent == session.acknowledged + window)
    QUIC.until(lambda: len(session.heard) >= window)
    assert len(session.heard) == window, "more than the window is under way"
    session.connection.leave()
    session.resume(Connection().greet())
    session.comes_to_its_end(content(4 * window))


def a_session_is_closed_while_it_is_detached():
    session = Session(Connection().greet())
    session.say(b"x")
    session.hears(1)
    session.connection.leave()
    connection = Connection().greet()
    connection.sessions[session.id] = session
    connection.close_session(session, STOPPED)
    QUIC.until(lambda: session.closed is not None)
    assert session.closed == STOPPED
    # Again, as if the echo had been lost; the host has nothing of that name any more.
    session.closed = None
    connection.close_session(session, STOPPED)
    QUIC.until(lambda: session.closed is not None)
    assert session.closed == STOPPED


def sessions_of_an_instance_that_is_gone_are_ended():
    session = Session(Connection(instance=b"an instance, one").greet())
    session.say(b"x")
    session.hears(1)
    session.connection.leave()
    connection = Connection().greet()
    connection.control.send(frame(GONE, b"an instance, two", b"an instance, one"))
    QUIC.asks("the end of the session")
    leg = QUIC.open(connection.name)
    leg.send(frame(RESUME, session.id, uint32(1), uint64(1), b"\0"))
    kind, fields = leg.read_frame(LEG_LIMIT)
    assert kind == REFUSED and fields.refusal()[0] == 10


def a_server_that_ends_while_nobody_is_there_is_heard_to_the_last_byte():
    """The backend reads a line, sends 300,000 bytes and is gone."""
    session = Session(Connection().greet())
    session.say(b"go\n")
    QUIC.until(lambda: session.answered)
    session.connection.leave()
    QUIC.asks("the end of the server")
    session.resume(Connection().greet())
    QUIC.until(lambda: session.heard_end)
    assert session.heard == b"x" * 300_000, len(session.heard)
    session.acknowledge()
    QUIC.until(lambda: session.closed is not None)
    assert session.closed == DONE


if __name__ == "__main__":
    KEY = Key(sys.argv[2])
    globals()[sys.argv[1]]()
