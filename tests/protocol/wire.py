"""irosh/1 a second time: frames, proof and streams, written from PROTOCOL.md alone, to keep it honest.

QUIC is carried by whoever runs this, on stdin and stdout, a line each:

    connect C, listen           listening TICKET, came C
    export C LABEL CONTEXT      exported C BYTES
    open C S                    opened C S          (by the other side)
    data S BYTES                data S BYTES
    end S, reset S CODE         end S, reset S CODE
    close C CODE                closed C CODE       (-1: lost)
    ask WHAT                    seen                (waits for something of the test's)
"""

import base64
import subprocess
import sys
import tempfile

HELLO, WELCOME, REFUSED, ACKNOWLEDGED, GO_AWAY, CLOSED, GONE = range(1, 8)
OPEN, RESUME, OPENED, RESUMED = range(16, 20)
IGNORABLE = 128

CONTROL_LIMIT, LEG_LIMIT = 32768, 2048
FIRST_WINDOW, GREATEST_WINDOW = 32768, 16777216

# Application error codes.
DONE, BROKEN, STOPPED, DETACHED, DIED = 0, 1, 7, 9, 12


def uint32(number):
    return number.to_bytes(4, "big")


def uint64(number):
    return number.to_bytes(8, "big")


def string(value):
    return uint32(len(value)) + value


def frame(kind, *fields):
    body = bytes([kind]) + b"".join(fields)
    return string(body)


def extensions(known):
    return b"".join(uint32(number) + string(value) for number, value in known)


class Fields:
    """Reads the fields of a frame."""

    def __init__(self, body):
        self.rest = body

    def take(self, count):
        assert len(self.rest) >= count, "a frame that ends early"
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def byte(self):
        return self.take(1)[0]

    def boolean(self):
        return self.byte() != 0

    def uint32(self):
        return int.from_bytes(self.take(4), "big")

    def uint64(self):
        return int.from_bytes(self.take(8), "big")

    def string(self, limit):
        length = self.uint32()
        assert length <= limit, f"a field of {length} bytes"
        return self.take(length)

    def text(self, limit, lines=False):
        text = self.string(limit).decode()
        controls = [c for c in text if ord(c) < 32 or 127 <= ord(c) < 160]
        assert all(c == "\n" and lines for c in controls), f"control characters in {text!r}"
        return text

    def extensions(self):
        known = []
        while self.rest:
            known.append((self.uint32(), self.string(len(self.rest))))
        return known

    def refusal(self):
        return self.uint32(), self.text(1024, lines=True)

    def end(self):
        assert not self.rest, f"{len(self.rest)} bytes after the last field"


class Key:
    """An ordinary OpenSSH key without a passphrase, as an identity."""

    # PKCS #8 (RFC 8410) and SubjectPublicKeyInfo around the 32 bytes of a key.
    PRIVATE = bytes.fromhex("302e020100300506032b657004220420")
    PUBLIC = bytes.fromhex("302a300506032b6570032100")

    def __init__(self, path):
        with open(path) as file:
            fields = Fields(base64.b64decode("".join(file.read().strip().splitlines()[1:-1])))
        assert fields.take(15) == b"openssh-key-v1\0"
        cipher, _kdf, _options, one = fields.string(99), fields.string(99), fields.string(99), fields.uint32()
        assert (cipher, one) == (b"none", 1)
        fields.string(99)
        secret = Fields(fields.string(9999))
        secret.take(8)
        assert secret.string(99) == b"ssh-ed25519"
        self.public = secret.string(32)
        self.seed = secret.string(64)[:32]

    def sign(self, message):
        return openssl(["-sign", "-inkey"], self.PRIVATE + self.seed, message)

    @classmethod
    def holds(cls, public, message, signature):
        with tempfile.NamedTemporaryFile() as file:
            file.write(signature)
            file.flush()
            words = ["-verify", "-sigfile", file.name, "-pubin", "-inkey"]
            return b"Success" in openssl(words, cls.PUBLIC + public, message)


def openssl(words, key, message):
    with tempfile.NamedTemporaryFile() as key_file, tempfile.NamedTemporaryFile() as message_file:
        for file, content in ((key_file, key), (message_file, message)):
            file.write(content)
            file.flush()
        command = ["openssl", "pkeyutl", *words, key_file.name, "-keyform", "DER", "-rawin", "-in", message_file.name]
        return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


class Stream:
    """A stream of QUIC."""

    def __init__(self, quic, name):
        self.quic, self.name = quic, name
        self.buffer, self.ended, self.code = b"", False, None

    def send(self, content):
        self.quic.say("data", self.name, content.hex())

    def finish(self):
        self.quic.say("end", self.name)

    def reset(self, code):
        self.quic.say("reset", self.name, code)

    def next_frame(self, limit):
        """A frame that is there in full: its type and its fields; none yet, or none any more."""
        while len(self.buffer) >= 4:
            length = int.from_bytes(self.buffer[:4], "big")
            assert 1 <= length <= limit, f"a frame of {length} bytes"
            if len(self.buffer) < 4 + length:
                return None
            body, self.buffer = self.buffer[4 : 4 + length], self.buffer[4 + length :]
            if body[0] < IGNORABLE:
                return body[0], Fields(body[1:])
        return None

    def read_frame(self, limit):
        found = []

        def there():
            found.extend(filter(None, [self.next_frame(limit)]))
            return found or self.ended or self.code is not None

        self.quic.until(there)
        assert found, f"no frame: {self.ended=} {self.code=}"
        return found[0]


class Quic:
    """What carries streams."""

    def __init__(self):
        self.streams, self.codes, self.exported, self.came, self.opened = {}, {}, {}, [], {}
        self.ticket, self.names, self.listeners, self.seen = None, 0, [], False

    def say(self, *words):
        print(*words, flush=True)

    def name(self):
        self.names += 1
        return str(self.names)

    def until(self, condition):
        """Lets things happen until something has."""
        while not condition():
            line = sys.stdin.readline()
            assert line, "cut off"
            self.happens(*line.split())
            for listener in list(self.listeners):
                listener()

    def happens(self, what, name="", rest=""):
        if what == "data":
            self.streams[name].buffer += bytes.fromhex(rest)
        elif what == "end":
            self.streams[name].ended = True
        elif what == "reset":
            self.streams[name].code = int(rest)
        elif what == "closed":
            self.codes[name] = int(rest)
        elif what == "exported":
            self.exported[name] = bytes.fromhex(rest)
        elif what == "came":
            self.came.append(name)
        elif what == "opened":
            self.streams[rest] = Stream(self, rest)
            self.opened.setdefault(name, []).append(self.streams[rest])
        elif what == "listening":
            self.ticket = name
        else:
            assert what == "seen", what
            self.seen = True

    def open(self, connection):
        name = self.name()
        self.streams[name] = Stream(self, name)
        self.say("open", connection, name)
        return self.streams[name]

    def close(self, connection, code):
        self.say("close", connection, code)

    def asks(self, what):
        self.seen = False
        self.say("ask", what)
        self.until(lambda: self.seen)

    def keying_material(self, connection, identity):
        self.exported.pop(connection, None)
        self.say("export", connection, b"EXPORTER-irosh/1 identity".hex(), identity.hex())
        self.until(lambda: connection in self.exported)
        return self.exported[connection]


def proof_message(exported):
    return b"irosh/1 identity proof\n" + exported
