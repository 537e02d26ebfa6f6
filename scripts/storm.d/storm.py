"""The connection is cut again and again while bytes pass both ways: see scripts/storm."""

import argparse
import hashlib
import os
import subprocess
import sys
import threading
import time

from bench import Place, row

# What a host or a client may have more of afterwards: what its allocator keeps, and threads that wait for work.
KEPT = {"KiB resident": 8 << 10, "descriptors": 0, "threads": 4, "processes": 0}
# Sessions and connections take some seconds to be forgotten where nobody says that they are gone.
SETTLED = 60


def main():
    parser = argparse.ArgumentParser(prog="storm")
    parser.add_argument("binaries")
    parser.add_argument("-m", "--mib", type=int, default=1024, help="MiB each way")
    parser.add_argument("-e", "--every", type=int, default=200, metavar="MS", help="milliseconds between two cuts")
    parser.add_argument("-s", "--silent", action="store_true", help="the host is not told of a cut")
    arguments = parser.parse_args()
    if arguments.silent and "LAB_CONTROL" not in os.environ:
        lab = f"{arguments.binaries}/examples/lab"
        os.execv(lab, [lab, "--delay", "1ms", "--", sys.executable, *sys.argv])
    place = inside_lab(arguments.binaries) if arguments.silent else Stormy(arguments.binaries)
    try:
        sys.exit(0 if storm(place, arguments) else 1)
    finally:
        place.close()


class Stormy(Place):
    """A host that counts what comes back, and lets a client come as often as it likes."""

    def __init__(self, *where):
        self.events = []
        super().__init__(*where, dumbpipe=False)
        self.ways["storm"] = self.proxy(f"{self.binaries}/examples/cut-proxy %h")
        self.names["storm"] = self.ticket

    def settings(self):
        # A connection that nobody ends is kept for half a minute.
        return "[limits]\nmax-connections = 10000\nmax-startups = '1000:30:2000'\nper-source-max-startups = 1000\n"

    def heard(self, event):
        self.events.append(event)

    def count(self, kind):
        return sum(event["event"] == kind for event in list(self.events))


def inside_lab(binaries):
    place = Stormy(binaries, os.environ["LAB_A"].split(), os.environ["LAB_B"].split(), os.environ["LAB_ADDR_A"])
    place.environment["IROSH_BIND"] = f"{os.environ['LAB_ADDR_B']}:0"
    return place


def status(pid):
    """Resident KiB, descriptors, threads and children of a process."""
    with open(f"/proc/{pid}/status") as lines:
        fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {
        "KiB resident": int(fields["VmRSS"].split()[0]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
        "processes": len(children(pid)),
    }


class Pouring:
    """`ssh box cat` with bytes that do not repeat: the same have to come back."""

    def __init__(self, place, way, mib):
        self.mib = mib
        self.given, self.got, self.returned = hashlib.sha256(), hashlib.sha256(), 0
        command = place.ssh(way, "cat")
        self.ssh = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=place.environment)
        # The first bytes come back, so there is a session, and a process that carries it.
        self.ssh.stdin.write(b"begun\n")
        self.ssh.stdin.flush()
        if self.ssh.stdout.read(6) != b"begun\n":
            sys.exit("storm: no session")
        self.proxy = children(self.ssh.pid)[0]

    def pour(self):
        giving = threading.Thread(target=self.give)
        giving.start()
        for _ in range(self.mib):
            piece = self.ssh.stdout.read(1 << 20)
            self.returned += len(piece)
            self.got.update(piece)
        giving.join()

    def give(self):
        for _ in range(self.mib):
            piece = os.urandom(1 << 20)
            self.given.update(piece)
            try:
                self.ssh.stdin.write(piece)
            except BrokenPipeError:
                return
        self.ssh.stdin.flush()

    def is_whole(self):
        return self.returned == self.mib << 20 and self.got.digest() == self.given.digest()

    def end(self):
        self.ssh.stdin.close()
        return self.ssh.stdout.read() == b"" and self.ssh.wait() == 0


def children(pid):
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()


def storm(place, arguments):
    place.environment["CUT_PROXY_MS"] = str(arguments.every)
    # What a host has once it has had a session like this, without cuts, is what it starts from.
    warm = Pouring(place, "irosh", arguments.mib)
    calm = rate(warm)
    client_before = status(warm.proxy)["KiB resident"]
    ended = warm.end()
    before = settle(place, lambda now: now["processes"] == 0)
    pouring = Pouring(place, "storm", arguments.mib)
    stormy = rate(pouring)
    client_after = status(pouring.proxy)["KiB resident"]
    ended = pouring.end() and ended
    left = lambda now: [key for key in KEPT if now[key] > before[key] + KEPT[key]]
    after = settle(place, lambda now: not left(now))
    cuts = place.count("session_resumed")
    row(f"{arguments.mib} MiB each way, a cut every {arguments.every} ms", "before", "after")
    for key in before:
        row(f"  host, {key}", before[key], after[key])
    row("  client, KiB resident", client_before, client_after)
    row("  MiB/s each way", f"{calm:.1f}", f"{stormy:.1f}")
    row("  resumed", "", cuts)
    faults = {
        "what came back is not what was sent": not (pouring.is_whole() and warm.is_whole()),
        "a session did not end as it should": not ended,
        "nothing was cut": cuts == 0,
        f"the host has more {' and '.join(left(after))} than before": left(after),
        "the client has more memory than before": client_after > client_before + KEPT["KiB resident"],
    }
    return verdict(faults, "byte-exact both ways, and nothing left behind")


def verdict(faults, well):
    for what, holds in faults.items():
        if holds:
            print(f"storm: {what}", file=sys.stderr)
    if not any(faults.values()):
        print(well)
    return not any(faults.values())


def rate(pouring):
    begun = time.monotonic()
    pouring.pour()
    return pouring.mib / (time.monotonic() - begun)


def settle(place, settled):
    """How the host stands once it has come to rest."""
    deadline = time.monotonic() + SETTLED
    while not settled(now := status(place.host)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return now


if __name__ == "__main__":
    main()
