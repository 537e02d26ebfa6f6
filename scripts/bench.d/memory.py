"""scripts/bench memory: what sessions on which nothing happens cost the host, attached and detached."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

from bench import Place, row

COUNT = int(os.environ.get("COUNT", "1000"))
# Clients that start at once.
BATCH = 20
# Seconds: a host that hears nothing takes a connection for lost after IDLE, and keeps nothing of who had it after
# FORGOTTEN more.
IDLE, TIDY, FORGOTTEN = 30, 10, 90


class Mute(Place):
    """A host before an SSH server that greets and then says nothing more."""

    def __init__(self, binaries):
        self.detached = 0
        super().__init__(binaries, dumbpipe=False)

    def start_sshd(self):
        listener = socket.create_server((self.address, 0), backlog=COUNT)
        self.port = listener.getsockname()[1]
        self.held = []

        def greet():
            while True:
                stream = listener.accept()[0]
                stream.sendall(b"SSH-2.0-mute\r\n")
                self.held.append(stream)

        threading.Thread(target=greet, daemon=True).start()

    def settings(self):
        limits = ["max-connections", "max-sessions-per-peer", "max-strangers"]
        if self.knows("max-detached-per-peer"):
            limits += ["max-detached-per-peer", "max-detached"]
        return "[limits]\n" + "".join(f"{limit} = {2 * COUNT}\n" for limit in limits)

    def knows(self, key):
        """Another build may be of before there were sessions that wait."""
        with open(f"{self.binaries}/irosh", "rb") as program:
            return key.encode() in program.read()

    def heard(self, event):
        self.detached += event["event"] == "session_detached"

    def connect(self, count):
        command = [f"{self.binaries}/irosh-proxy", self.ticket]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        proxies = [subprocess.Popen(command, env=self.environment, **pipes) for _ in range(count)]
        for proxy in proxies:
            if not proxy.stdout.read(14):
                sys.exit("bench: no session")
        return proxies

    def resident(self, after=TIDY):
        """KiB, once it has come to rest."""
        time.sleep(after)
        with open(f"/proc/{self.host}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def measure(binaries):
    """KiB that a session costs: attached, and where there is such a thing, detached."""
    place = Mute(binaries)
    proxies = []
    try:
        proxies += place.connect(1)
        before = place.resident()
        while len(proxies) <= COUNT:
            proxies += place.connect(min(BATCH, COUNT + 1 - len(proxies)))
        attached = (place.resident() - before) / COUNT
        if not place.knows("max-detached-per-peer"):
            return attached, None
        for proxy in proxies:
            proxy.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + IDLE * 2
        while place.detached <= COUNT:
            if time.monotonic() > deadline:
                sys.exit(f"bench: {place.detached} sessions of {COUNT + 1} are detached")
            time.sleep(0.5)
        return attached, (place.resident(FORGOTTEN) - before) / COUNT
    finally:
        for proxy in proxies:
            proxy.kill()
            proxy.wait()
        place.close()


def main():
    builds = [os.path.abspath(folder) for folder in sys.argv[1:]]
    costs = [measure(folder) for folder in builds]
    row(f"{COUNT} idle sessions, KiB each", *("this" if folder == builds[0] else "the other" for folder in builds))
    for name, index in (("attached", 0), ("detached, with nothing in its tail", 1)):
        row(f"  {name}", *("-" if cost[index] is None else f"{cost[index]:.1f}" for cost in costs))


if __name__ == "__main__":
    main()
