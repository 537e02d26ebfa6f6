"""One end of a session: says numbered lines, and counts those that the other end says, each in its turn."""

import os
import sys
import threading
import time

# Lines a second, and what each is filled up to.
RATE, LENGTH = 200, 500
# Seconds between two looks.
LOOK = 0.1


class Chat:
    """Writes to `out` what of `into` has come."""

    def __init__(self, into, out):
        self.into, self.out, self.heard, self.over = into, out, 0, False

    def say(self):
        begun, number = time.monotonic(), 0
        while not self.over:
            self.out.write(line(number))
            self.out.flush()
            number += 1
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        self.out.write(b"end\n")
        self.out.close()

    def hear(self):
        """Returns what came that should not have, if anything did."""
        number = 0
        for heard in self.into:
            if heard == b"end\n":
                return None
            if heard != line(number):
                return f"line {number} is {heard[:40]!r}"
            number += 1
            self.heard += len(heard)
        return f"nothing follows line {number}"


def line(number):
    return f"line {number} ".encode().ljust(LENGTH - 1, b".") + b"\n"


def far(log):
    """The host's end, which stops when the client's does, and notes in a file how it goes."""
    chat = Chat(sys.stdin.buffer, os.fdopen(sys.stdout.fileno(), "wb", closefd=True))
    saying = threading.Thread(target=chat.say)
    noting = threading.Thread(target=note, args=(chat, log), daemon=True)
    saying.start()
    noting.start()
    wrong = chat.hear()
    chat.over = True
    saying.join()
    if wrong:
        sys.exit(wrong)


def note(chat, log):
    with open(log, "w", encoding="ascii", buffering=1) as file:
        while True:
            file.write(f"{time.time():.3f} {chat.heard}\n")
            time.sleep(LOOK)


if __name__ == "__main__":
    far(sys.argv[1])
