"""A host of irosh/1: `host.py SCENARIO`. What it is sent it sends back, and what else it does has a scenario's name."""

import sys

from wire import *

QUIC = Quic()
WINDOW = 65536
LATER = frame(200, b"of a later version") + frame(128)


class Guest:
    """A client's connection, from its `Hello` on."""

    def __init__(self, known=(), backend=77, answer=None):
        QUIC.until(lambda: QUIC.came)
        self.name, self.legs, self.session = QUIC.came.pop(0), 1, None
        QUIC.until(lambda: QUIC.opened.get(self.name))
        self.control = QUIC.opened[self.name][0]
        self.hello(*self.control.read_frame(CONTROL_LIMIT))
        name, software = string("höst".encode()), string(b"second 1.0")
        limits = uint32(8) + uint32(3600)
        welcome = [uint32(1), name, software, bytes([backend]), uint32(0), limits, extensions(known)]
        self.control.send(LATER + frame(WELCOME, *welcome) + LATER)
        QUIC.listeners.append(self.listen)

    def hello(self, kind, fields):
        assert (kind, fields.uint32()) == (HELLO, 1)
        public, proof = fields.take(32), fields.take(64)
        assert fields.string(16) == b"" and fields.text(255).startswith("irosh-proxy")
        fields.take(16)
        fields.extensions()
        assert Key.holds(public, proof_message(QUIC.keying_material(self.name, public)), proof)

    def leg(self):
        """The next leg, and what it asks for."""
        QUIC.until(lambda: len(QUIC.opened[self.name]) > self.legs)
        leg = QUIC.opened[self.name][self.legs]
        self.legs += 1
        return leg, *leg.read_frame(LEG_LIMIT)

    def opens(self):
        leg, kind, fields = self.leg()
        assert kind == OPEN, kind
        self.session = Session(fields.take(16))
        fields.end()
        leg.send(LATER + frame(OPENED, uint32(WINDOW)))
        self.session.attach(self, leg)
        return self.session

    def listen(self):
        while said := self.control.next_frame(CONTROL_LIMIT):
            kind, fields = said
            # Nobody has died.
            assert kind in (ACKNOWLEDGED, CLOSED), kind
            assert fields.take(16) == self.session.id
            if kind == ACKNOWLEDGED:
                count, _end = fields.uint64(), fields.boolean()
                assert count <= self.session.sent, f"{count} bytes of {self.session.sent}"
                self.session.acknowledged = max(self.session.acknowledged, count)
            else:
                self.session.closed = fields.uint32()
                if self.session.answers:
                    self.control.send(frame(CLOSED, self.session.id, uint32(self.session.closed)))
            fields.end()


class Session:
    """What has come, which is what is to be sent."""

    def __init__(self, name):
        self.id, self.heard, self.heard_end = name, b"", False
        self.sent, self.acknowledged, self.closed = 0, 0, None
        self.leg, self.number, self.told, self.answers, self.withholds = None, 0, (0, False), True, 0
        QUIC.listeners.append(self.listen)

    def attach(self, guest, leg):
        self.guest, self.leg, guest.session, self.ended = guest, leg, self, False
        self.told = (0, False)
        self.listen()

    def listen(self):
        if not self.leg or self.leg.code is not None:
            return
        if self.leg.buffer:
            assert not self.heard_end, "bytes after the end of file"
            self.heard, self.leg.buffer = self.heard + self.leg.buffer, b""
        self.heard_end = self.heard_end or self.leg.ended
        until = min(len(self.heard), self.acknowledged + WINDOW)
        if until > self.sent:
            self.leg.send(self.heard[self.sent : until])
            self.sent = until
        # A client that has the end of file is done, and does not come back.
        if self.heard_end and self.sent == len(self.heard) and not self.ended and not self.withholds:
            self.leg.finish()
            self.ended = True
        told = (len(self.heard) - self.withholds, self.heard_end and not self.withholds)
        if told > self.told:
            self.told = told
            self.acknowledge(*told)

    def acknowledge(self, count, end=False):
        self.guest.control.send(frame(ACKNOWLEDGED, self.id, uint64(count), bytes([end])))

    def hears(self, count):
        QUIC.until(lambda: len(self.heard) >= count)

    def is_cut(self, forgets=0):
        """The leg is lost, and with it the last that has come on it, which nobody was told of."""
        leg, self.leg = self.leg, None
        leg.reset(DETACHED)
        if forgets:
            self.heard, self.heard_end = self.heard[:-forgets], False

    def asks(self):
        """Where the client goes on, on another connection."""
        guest = Guest()
        leg, kind, fields = guest.leg()
        assert kind == RESUME and fields.take(16) == self.id, kind
        number, position, end = fields.uint32(), fields.uint64(), fields.boolean()
        fields.end()
        assert number > self.number and self.acknowledged <= position <= self.sent, (number, position)
        assert not end or (self.heard_end and position == len(self.heard))
        self.number = number
        return guest, leg, position

    def resumes(self):
        guest, leg, self.sent = self.asks()
        leg.send(LATER + frame(RESUMED, uint64(len(self.heard)), bytes([self.heard_end])))
        self.attach(guest, leg)

    def comes_to_its_end(self):
        """What the client says then need not be acknowledged: it has all of it."""
        QUIC.until(lambda: self.closed is not None)
        assert (self.closed, self.sent, self.ended) == (DONE, len(self.heard), True)


def opened(**more):
    QUIC.say("listen")
    QUIC.until(lambda: QUIC.ticket)
    QUIC.asks(QUIC.ticket)
    return Guest(**more).opens()


def a_host_of_the_future_is_understood():
    opened(known=[(4_000_000_000, b"what?"), (0, b"")]).comes_to_its_end()


def nothing_is_lost_with_a_leg():
    session = opened()
    for _ in range(3):
        session.hears(len(session.heard) + 50_000)
        session.withholds = 1_000
        session.hears(len(session.heard) + 1_000)
        session.is_cut(forgets=1_000)
        session.withholds = 0
        session.resumes()
    session.comes_to_its_end()


def an_end_of_file_under_way_at_the_cut_arrives():
    session = opened()
    session.withholds = 10
    # The client's, as if it had not come; then as it came, and the host's own is still to be sent.
    QUIC.until(lambda: session.heard_end)
    session.is_cut(forgets=10)
    session.resumes()
    QUIC.until(lambda: session.heard_end)
    session.is_cut()
    session.withholds = 0
    session.resumes()
    session.comes_to_its_end()


def an_answer_to_closed_that_is_lost_is_done_without():
    session = opened()
    session.answers = False
    session.comes_to_its_end()
    QUIC.until(lambda: session.guest.name in QUIC.codes)
    assert QUIC.codes[session.guest.name] == DONE


def is_told(session):
    QUIC.until(lambda: session.closed is not None)
    assert session.closed == BROKEN, session.closed


def an_acknowledgement_of_what_was_not_sent_ends_the_session():
    session = opened()
    session.hears(1)
    session.acknowledge(1 << 63)
    is_told(session)


def resumed_from(position):
    session = opened()
    session.hears(FIRST_WINDOW + 1)
    session.is_cut()
    guest, leg, _ = session.asks()
    guest.session = session
    leg.send(frame(RESUMED, uint64(position), b"\0"))
    is_told(session)


def a_position_that_was_never_sent_ends_the_session():
    resumed_from(1 << 40)


def a_position_that_is_no_longer_kept_ends_the_session():
    resumed_from(0)


def a_host_that_has_forgotten_the_session_says_so():
    session = opened()
    session.hears(FIRST_WINDOW + 1)
    session.is_cut()
    guest, leg, _ = session.asks()
    guest.session = session
    leg.send(frame(REFUSED, uint32(10), string("gone, all gone\nconnect again".encode())))
    leg.finish()
    QUIC.until(lambda: guest.name in QUIC.codes)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
