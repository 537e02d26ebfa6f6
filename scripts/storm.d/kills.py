"""ssh, irosh-proxy or both are killed in the middle of output: see scripts/storm."""

import argparse
import os
import random
import signal
import subprocess
import sys
import time

from bench import Place, row
from storm import children, verdict

WHO = ("ssh", "irosh-proxy", "both")
# Seconds that a host waits for a client that was lost, in the part where it does not come again.
RESUME_TIME = 5
# A host that hears nothing takes a connection for lost after that time.
IDLE = 30
# What an end may take.
GRACE = 10


def main():
    parser = argparse.ArgumentParser(prog="storm kills")
    parser.add_argument("binaries")
    parser.add_argument("-n", "--rounds", type=int, default=50)
    arguments = parser.parse_args()
    came = in_turns(arguments)
    stayed_away = at_once(arguments)
    faults = {
        "a client came again and something was left": came > GRACE,
        "a client stayed away and something was left": stayed_away > IDLE + RESUME_TIME + GRACE,
    }
    sys.exit(0 if verdict(faults, "no process is left") else 1)


class Short(Place):
    """A host that does not wait for long."""

    def settings(self):
        return f"[limits]\nresume-time = {RESUME_TIME}\nmax-connections = 1000\n"


def in_turns(arguments):
    """The longest that something was left for after the client's next connection."""
    place = Place(arguments.binaries, dumbpipe=False)
    try:
        longest = 0
        for turn in range(arguments.rounds):
            kill(started(place), WHO[turn % len(WHO)])
            place.run("irosh", "true", stdin=subprocess.DEVNULL)
            longest = max(longest, until_nothing_is_left(place, GRACE))
        row(f"{arguments.rounds} kills, and the client comes again: gone after", f"{longest:.1f} s at most")
        return longest
    finally:
        place.close()


def at_once(arguments):
    """How long something is left for where the client stays away."""
    place = Short(arguments.binaries, dumbpipe=False)
    try:
        sessions = [started(place) for _ in range(arguments.rounds)]
        for turn, session in enumerate(sessions):
            kill(session, WHO[turn % len(WHO)])
        took = until_nothing_is_left(place, IDLE + RESUME_TIME + GRACE)
        row(f"{arguments.rounds} kills, and it stays away: gone after", f"{took:.1f} s")
        return took
    finally:
        place.close()


def started(place):
    """A session in the middle of output, of which no more than the first bytes are read."""
    ssh = subprocess.Popen(place.ssh("irosh", "yes"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=place.environment)
    if not ssh.stdout.read(6):
        sys.exit("storm: no session")
    time.sleep(random.random() / 5)
    return ssh


def kill(ssh, who):
    # A proxy whose ssh goes first says goodbye.
    if who != "ssh":
        for proxy in children(ssh.pid):
            os.kill(int(proxy), signal.SIGKILL)
    if who != "irosh-proxy":
        ssh.kill()
    ssh.wait()
    ssh.stdout.close()


def until_nothing_is_left(place, patience):
    """Seconds until sshd has no child, and the host none either; more than `patience` where they stay."""
    begun = time.monotonic()
    sshd = place.processes[0].pid
    while (children(sshd) or children(place.host)) and time.monotonic() < begun + patience:
        time.sleep(0.05)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
