"""scripts/bench copy: irosh put and get beside scp and rsync, all through the same host."""

import os
import shutil
import statistics
import subprocess
import sys

from bench import CIPHER, PAIRS, Place, download, row, timed, tune, upload

HERE = os.path.abspath(__file__)


class Copies(Place):
    """Each program copies between a folder here and one at the host, which are the same disk."""

    def __init__(self, binaries, server=(), client=(), address="127.0.0.1"):
        super().__init__(binaries, server, client, address, dumbpipe=False)
        with open(self.path("ssh_config"), "w") as config:
            config.write(
                f"Host box\n  ProxyCommand {binaries}/irosh-proxy {self.ticket}\n  StrictHostKeyChecking no\n"
                f"  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n  Ciphers {CIPHER}\n"
                f"Host *\n  IdentityFile {self.path('you')}\n  IdentitiesOnly yes\n  BatchMode yes\n"
            )
        self.config = self.path("ssh_config")

    def copy(self, program, way, source):
        """Seconds to copy a file or a folder to a name that is not there."""
        target = self.path("copy")
        shutil.rmtree(target, ignore_errors=True)
        if os.path.exists(target):
            os.unlink(target)
        irosh = [f"{self.binaries}/irosh", "put" if way == "up" else "get", "-q", "-F", self.config, self.ticket]
        there = lambda path: f"box:{path}"
        first, second = (source, there(target)) if way == "up" else (there(source), target)
        folder = os.path.isdir(source)
        command = {
            "irosh": [*irosh, source, target],
            "scp": ["scp", "-q", "-F", self.config, *(["-r"] if folder else []), first, second],
            "rsync": ["rsync", "-r", "-e", f"ssh -F {self.config}", first + ("/" if folder else ""), second],
        }[program]
        os.sync()
        seconds = timed(lambda: subprocess.run([*self.client, *command], check=True, env=self.environment, stdin=subprocess.DEVNULL))
        same = subprocess.run(["diff", "-rq", source, target], capture_output=True)
        if same.returncode != 0:
            sys.exit(f"bench: {program} {way}: not the same: {same.stdout[:300]}")
        return seconds

    def compare(self, name, source, show):
        for way in ("up", "down"):
            seconds = {program: [] for program in ("irosh", "scp", "rsync")}
            for _ in range(PAIRS):
                for program, times in seconds.items():
                    times.append(self.copy(program, way, source))
            at = {program: statistics.median(times) for program, times in seconds.items()}
            best = min(at["scp"], at["rsync"])
            row(f"{name} {way}", *(show(value) for value in at.values()), f"{best / at['irosh']:.2f}")


def tree(path, files, size):
    for number in range(files):
        folder = os.path.join(path, str(number % 50))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, str(number)), "wb") as file:
            file.write(os.urandom(size))
    return path


def large(path, mib):
    with open(path, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    return path


def in_seconds(seconds):
    return f"{seconds:.2f} s"


def local(binaries):
    place = Copies(binaries)
    try:
        row(f"medians of {PAIRS}, loopback", "irosh", "scp", "rsync", "best/irosh")
        place.compare("1 GiB", large(place.path("large"), 1024), in_seconds)
        place.compare("10,000 files of 4 KiB", tree(place.path("tree"), 10_000, 4096), in_seconds)
    finally:
        place.close()


def link(binaries):
    lab = [f"{binaries}/examples/lab", "--rate", "100mbit", "--delay", "50ms", "--"]
    status = subprocess.run([*lab, sys.executable, HERE, binaries, "inside"]).returncode
    if status == 77:
        print("skipped: no lab is possible here")
    elif status != 0:
        sys.exit(f"bench: the link failed with status {status}")


def inside(binaries):
    server, client = os.environ["LAB_A"].split(), os.environ["LAB_B"].split()
    control = {tune(server), tune(client)}
    place = Copies(binaries, server, client, os.environ["LAB_ADDR_A"])
    place.environment["IROSH_BIND"] = f"{os.environ['LAB_ADDR_B']}:0"
    try:
        row(f"100 Mbit/s, 100 ms (TCP: {'/'.join(control)})", "irosh", "scp", "rsync", "best/irosh")
        mib = 1024
        rate = lambda seconds: f"{mib * 8.388608 / seconds:.1f}"
        # What the link itself gives a plain ssh, without a disk.
        for way, transfer in (("up", upload), ("down", download)):
            row(f"  ssh direct, {mib} MiB {way}, Mbit/s", rate(timed(lambda: transfer(place, "direct", mib << 20))))
        place.compare(f"{mib} MiB, Mbit/s", large(place.path("large"), mib), rate)
        place.compare("500 files of 2 KiB", tree(place.path("tree"), 500, 2048), in_seconds)
    finally:
        place.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [binaries]:
            local(binaries)
            link(binaries)
        case [binaries, "local"]:
            local(binaries)
        case [binaries, "link"]:
            link(binaries)
        case [binaries, "inside"]:
            inside(binaries)
