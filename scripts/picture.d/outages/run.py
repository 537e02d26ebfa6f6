"""The session behind scripts/picture, between the two sides of a lab."""

import os
import subprocess
import sys
import threading
import time

from bench import Place
from chat import Chat, note

# When the link goes away, for how long, and when all is over, in seconds.
OUTAGES = [(5, 1), (12, 8), (28, 20)]
END = 60


def main(binaries, log):
    place = Place(binaries, os.environ["LAB_A"].split(), os.environ["LAB_B"].split(), os.environ["LAB_ADDR_A"], dumbpipe=False)
    place.environment["IROSH_BIND"] = f"{os.environ['LAB_ADDR_B']}:0"
    try:
        begun, wrong = talk(place)
        write(log, begun, {"down": place.path("near"), "up": place.path("far")})
        sys.exit(wrong and f"picture: {wrong}")
    finally:
        place.close()


def talk(place):
    """Returns when it began, and what was wrong with what was heard."""
    far = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat.py"), place.path("far")]
    ssh = subprocess.Popen(place.ssh("irosh", *far), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=place.environment)
    chat = Chat(ssh.stdout, ssh.stdin)
    wrong = []
    hearing = threading.Thread(target=lambda: wrong.append(chat.hear()))
    saying = threading.Thread(target=chat.say)
    hearing.start()
    saying.start()
    while chat.heard == 0:
        time.sleep(0.01)
    begun = time.time()
    threading.Thread(target=note, args=(chat, place.path("near")), daemon=True).start()
    for start, length in OUTAGES:
        time.sleep(begun + start - time.time())
        order("down")
        time.sleep(length)
        order("up")
    time.sleep(begun + END - time.time())
    chat.over = True
    saying.join()
    hearing.join()
    status = ssh.wait()
    return begun, wrong[0] or (f"ssh ended with status {status}" if status else None)


def order(word):
    with open(os.environ["LAB_CONTROL"], "w", encoding="ascii") as control:
        control.write(f"{word}\n")


def write(log, begun, noted):
    """Seconds since the start, and bytes that each end had heard by then."""
    with open(log, "w", encoding="ascii") as file:
        for start, length in OUTAGES:
            file.write(f"outage {start} {length}\n")
        for way, path in noted.items():
            with open(path, encoding="ascii") as notes:
                for at, heard in (line.split() for line in notes):
                    if 0 <= float(at) - begun <= END:
                        file.write(f"{way} {float(at) - begun:.1f} {heard}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
