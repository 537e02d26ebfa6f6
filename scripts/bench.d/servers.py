"""scripts/bench server: the built-in server beside OpenSSH's sshd, the same ssh before both."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time

from bench import MIB, PAIRS, Place, download, keystrokes, row, rounds, timed, upload

HERE = os.path.dirname(os.path.abspath(__file__))


class Servers(Place):
    """sshd and the built-in server with one configuration, each started for a connection."""

    def __init__(self, binaries, server=(), client=(), address="127.0.0.1"):
        self.hosts = []
        super().__init__(binaries, server, client, address, dumbpipe=False)
        config = self.path("sshd_config")
        sshd = shutil.which("sshd") or "/usr/sbin/sshd"
        self.commands = {"sshd": [sshd, "-i", "-f", config], "builtin": [f"{binaries}/irosh-sshd", "-i", "-f", config]}

    def listen(self):
        """Reached over TCP, by a listener that starts one for each connection."""
        self.ways, self.names, self.ports, self.listeners = {}, {}, {}, {}
        for way, command in self.commands.items():
            self.ports[way] = self.free_port()
            listener = [sys.executable, f"{HERE}/inetd.py", self.address, str(self.ports[way]), *command]
            self.listeners[way] = self.start(listener, self.server, stdout=subprocess.PIPE)
            self.listeners[way].stdout.readline()
            self.ways[way], self.names[way] = ["-p", str(self.ports[way])], self.address

    def bridge(self):
        """Reached through a host each."""
        self.ways, self.names = {}, {}
        for way, command in self.commands.items():
            backend = "exec:" + " ".join(command)
            host = [f"{self.binaries}/irosh", "host", "--json", "--access", "open", "--backend", backend]
            environment = dict(self.environment, IROSH_HOME=self.path(f"host-{way}"), IROSH_BIND=f"{self.address}:0")
            log = open(self.path(f"{way}.log"), "w")
            process = self.start(host, self.server, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
            ticket = json.loads(process.stdout.readline())["ticket"]
            self.ways[way], self.names[way] = self.proxy(f"{self.binaries}/irosh-proxy %h"), ticket

    def sftp(self, way, batch):
        ssh = self.ssh(way)
        command = ["sftp", "-q", "-b", "-", *ssh[len(self.client) + 1:]]
        # sftp spells the port as scp does.
        command = ["-P" if word == "-p" else word for word in command]
        subprocess.run([*self.client, *command], input=batch, text=True, check=True, capture_output=True, env=self.environment)

    def idle_memory(self, way, crowd=20):
        """KiB for each of many idle connections: shared pages are divided among those who share them."""
        connect = self.ssh(way, "echo in; exec cat")
        quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        clients = [subprocess.Popen(connect, env=self.environment, **quiet) for _ in range(crowd)]
        for ssh in clients:
            ssh.stdout.readline()
        time.sleep(1)
        total = 0
        for pid in descendants(self.listeners[way].pid):
            with open(f"/proc/{pid}/cmdline") as line:
                if line.read().startswith("cat"):
                    continue
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        for ssh in clients:
            ssh.stdin.close()
            ssh.wait()
        return total / crowd


def descendants(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [one for child in found for one in (child, *descendants(child))]


def compare(place, name, measure, better="higher"):
    results = rounds(place, measure)
    at = {way: statistics.median(values) for way, values in results.items()}
    row(name, *(f"{at[way]:.1f}" for way in place.ways), f"{at['builtin'] / at['sshd']:.2f} ({better})")


def local(binaries):
    place = Servers(binaries)
    try:
        place.listen()
        row(f"medians of {PAIRS}, loopback", *place.ways, "builtin/sshd")
        compare(place, "ssh host true, ms", lambda way: timed(lambda: place.run(way, "true", stdin=subprocess.DEVNULL)) * 1000, "lower")
        compare(place, "keystroke echo, ms", lambda way: keystrokes(place, way)[0], "lower")
        for name, transfer in (("up", upload), ("down", download)):
            compare(place, f"bulk {name}, {MIB} MiB, MiB/s", lambda way: MIB / timed(lambda: transfer(place, way, MIB << 20)))
        big, copy = place.path("big"), place.path("copy")
        with open(big, "wb") as file:
            for _ in range(MIB):
                file.write(os.urandom(1 << 20))
        for name in ("put", "get"):
            compare(place, f"sftp {name}, {MIB} MiB, MiB/s", lambda way: MIB / timed(lambda: place.sftp(way, f"{name} {big} {copy}\n")))
        compare(place, "one of 20 idle connections, KiB", place.idle_memory, "lower")
    finally:
        place.close()


def link(binaries):
    lab = [f"{binaries}/examples/lab", "--rate", "100mbit", "--delay", "25ms", "--loss", "0.01", "--"]
    status = subprocess.run([*lab, sys.executable, os.path.abspath(__file__), binaries, "inside"]).returncode
    if status == 77:
        print("skipped: no lab is possible here")
    elif status != 0:
        sys.exit(f"bench: the link failed with status {status}")


def inside(binaries):
    server, client = os.environ["LAB_A"].split(), os.environ["LAB_B"].split()
    place = Servers(binaries, server, client, os.environ["LAB_ADDR_A"])
    place.environment["IROSH_BIND"] = f"{os.environ['LAB_ADDR_B']}:0"
    try:
        place.bridge()
        row("100 Mbit/s, 50 ms, 1% loss", *place.ways, "builtin/sshd")
        for name, transfer in (("up", upload), ("down", download)):
            compare(place, f"  {name}, 40 MiB, Mbit/s", lambda way: 40 * 8 * 1.048576 / timed(lambda: transfer(place, way, 40 << 20)))
    finally:
        place.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [binaries]:
            local(binaries)
            link(binaries)
        case [binaries, "inside"]:
            inside(binaries)
