"""One agent carries many logins, and dials many hosts: see scripts/storm."""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench import Announced, Connecting, row
from storm import status, verdict

# What an agent may have more of than after its first hundred: what its allocator keeps.
KEPT = {"KiB resident": 4 << 10, "descriptors": 0, "threads": 0, "processes": 0}
FIRST = 100
AT_ONCE = 4
# Hosts that run at the same time.
BATCH = 20
# How long a connection is kept after its last session, in seconds.
KEEP_WARM = 5
# How long a thread waits for work, and some more.
IDLE_THREADS = 15


def main():
    parser = argparse.ArgumentParser(prog="storm logins")
    parser.add_argument("binaries")
    parser.add_argument("-n", "--logins", type=int, default=10_000)
    parser.add_argument("-t", "--hosts", type=int, default=1000)
    arguments = parser.parse_args()
    crowd = Logins(Announced(arguments.binaries, dumbpipe=False))
    try:
        grown = {
            "logins": crowd.grows(arguments.logins, lambda count, before: crowd.log_in(["box"] * count)),
            "hosts": crowd.grows(arguments.hosts, crowd.dial),
        }
    finally:
        crowd.close()
    faults = {
        f"{what}: {most} {name} more": most > KEPT[name] for what, more in grown.items() for name, most in more.items()
    }
    sys.exit(0 if verdict(faults, "the agent is what it was") else 1)


class Logins(Connecting):
    """A client with an agent, and as many hosts as are wanted."""

    def __init__(self, place):
        super().__init__(place)
        self.home = place.environment["IROSH_HOME"]
        with open(os.path.join(self.home, "config.toml"), "a") as settings:
            settings.write(f'keep-warm = {KEEP_WARM}\n')

    def grows(self, count, act):
        """What the agent has more of after so many than after the first hundred."""
        act(FIRST, 0)
        first = self.settled()
        row(f"the agent after {FIRST}", *(f"{number} {name}" for name, number in first.items()))
        act(count - FIRST, FIRST)
        last = self.settled()
        row(f"the agent after {count}", *(f"{number} {name}" for name, number in last.items()))
        return {name: last[name] - first[name] for name in first}

    def log_in(self, names):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            done = list(pool.map(self.ssh, names))
        failed = [said for said in done if said]
        if failed:
            sys.exit(f"storm: {len(failed)} of {len(names)} logins failed, the first of them with: {failed[0]}")

    def ssh(self, name):
        done = subprocess.run(self.to(name), env=self.place.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode != 0 and f"status {done.returncode}: {done.stderr}"

    def to(self, name):
        return ["ssh", "-F", self.place.path("config"), name, "true"]

    def dial(self, count, before):
        """Logs in once at each of so many hosts, a few of which are there at the same time."""
        for begin in range(before, before + count, BATCH):
            names = [f"host{index}" for index in range(begin, min(begin + BATCH, before + count))]
            hosts = [self.another_host(name) for name in names]
            self.configure("config", self.irosh(self.home, "ssh-config", "print").stdout)
            self.log_in(names)
            for name, host in zip(names, hosts):
                host.terminate()
                host.wait()
                self.place.processes.remove(host)
                self.irosh(self.home, "hosts", "remove", name)

    def another_host(self, name):
        host, ready = self.place.start_another(name)
        self.irosh(self.home, "hosts", "add", name, ready["ticket"])
        return host

    def settled(self):
        """What the agent is once it has let every connection go but for the first host's, and threads that wait for work
        have ended."""
        while True:
            told = json.loads(self.irosh(self.home, "agent", "status", "--json").stdout)
            if not any(host["sessions"] for host in told["hosts"]) and len(told["hosts"]) <= 1:
                break
            time.sleep(0.5)
        deadline = time.monotonic() + IDLE_THREADS
        while status(told["pid"])["threads"] > 1 and time.monotonic() < deadline:
            time.sleep(0.5)
        return status(told["pid"])


if __name__ == "__main__":
    main()
