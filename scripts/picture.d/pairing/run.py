"""Two machines that get to know each other by a code, recorded from the terminals of both.

Each is namespaces of its own (network, files, host name), and between them is a cable and nothing else. What is typed
goes into two panes of a tmux, and all that this draws is kept as asciinema keeps it (asciicast v2).
"""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

COLUMNS, ROWS = 118, 26
DEADLINE = 30


class Machine:
    """Namespaces in which this user's home is an empty folder."""

    def __init__(self, name, address, folder, programs):
        self.home = os.path.join(folder, name)
        os.mkdir(self.home, 0o700)
        with open(os.path.join(self.home, ".bashrc"), "w", encoding="ascii") as rc:
            rc.write(f"PS1='{name}$ ' PATH={programs}:$PATH\nexport HOME=/root USER=root LOGNAME=root\n")
            rc.write("export IROSH_RELAY=none IROSH_DNS=none\nunset SSH_AUTH_SOCK\n")
        open(os.path.join(self.home, ".hushlogin"), "w", encoding="ascii").close()
        begin = f"mount --bind {self.home} /root && hostname {name} && ip link set lo up && echo ready && exec sleep infinity"
        self.holder = subprocess.Popen(["unshare", "--mount", "--uts", "--net", "sh", "-c", begin], stdout=subprocess.PIPE)
        if self.holder.stdout.readline() != b"ready\n":
            sys.exit("picture: there can be no namespaces here: run it as root")
        self.address = address

    def inside(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-u", "-n", "--wdns=/root", *command]

    def shell(self, command):
        return self.inside("bash", "--rcfile", "/root/.bashrc", "-ic", command)

    def plug_in(self):
        for words in [["addr", "add", f"{self.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]]:
            subprocess.run(self.inside("ip", *words), check=True)


class Recording:
    """A tmux with a pane for each of two machines, and what it draws."""

    def __init__(self, left, right):
        self.tmux = ["tmux", "-L", f"irosh-picture-{os.getpid()}", "-f", "/dev/null"]
        self.events = []
        self.run("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), *left.inside("bash", "--rcfile", "/root/.bashrc"))
        self.run("set", "-g", "status", "off")
        self.run("split-window", "-h", *right.inside("bash", "--rcfile", "/root/.bashrc"))
        pid, screen = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execvp("tmux", [*self.tmux, "attach"])
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.begun, self.over = time.monotonic(), False
        self.watching = threading.Thread(target=self.watch, args=(screen,), daemon=True)
        self.watching.start()

    def run(self, *words):
        return subprocess.run([*self.tmux, *words], check=True, capture_output=True, text=True).stdout

    def watch(self, screen):
        while not self.over:
            if select.select([screen], [], [], 0.1)[0]:
                self.events.append((time.monotonic() - self.begun, os.read(screen, 65536)))

    def text(self, pane):
        return self.run("capture-pane", "-p", "-J", "-t", str(pane))

    def wait(self, pane, wanted):
        """Waits until a pane shows this; says what matched."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if found := re.search(wanted, self.text(pane), re.MULTILINE):
                return found
            time.sleep(0.05)
        sys.exit(f"picture: /{wanted}/ did not come:\n{self.text(pane)}")

    def type(self, pane, line):
        self.run("select-pane", "-t", str(pane))
        for key in line:
            self.run("send-keys", "-t", str(pane), "-l", key)
            time.sleep(0.03)
        time.sleep(0.3)
        self.run("send-keys", "-t", str(pane), "Enter")

    def end(self):
        self.over = True
        self.watching.join()
        subprocess.run([*self.tmux, "kill-server"], check=False)


def record(programs, folder):
    box, laptop = [Machine(name, address, folder, programs) for name, address in [("box", "10.0.0.1"), ("laptop", "10.0.0.2")]]
    pids = [machine.holder.pid for machine in (box, laptop)]
    subprocess.run(
        f"ip link add eth0 netns {pids[0]} type veth peer name eth0 netns {pids[1]}".split(), check=True
    )
    for machine in (box, laptop):
        machine.plug_in()
    host = subprocess.Popen(
        box.shell("exec irosh host --backend builtin"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    host.stdout.readline()
    screen = Recording(box, laptop)
    try:
        play(screen)
        return screen.events
    finally:
        screen.end()
        subprocess.run(laptop.shell("irosh agent stop"), check=False, capture_output=True)
        host.terminate()
        host.wait()
        for machine in (box, laptop):
            machine.holder.kill()


def play(screen):
    """What people type on the box (pane 0) and on the laptop (pane 1)."""
    for pane in (0, 1):
        screen.wait(pane, r"\$ $")
    screen.type(0, "irosh pair --login root")
    code = screen.wait(0, r"irosh join (\d+-\w+-\w+)").group(1)
    screen.type(1, f"irosh join {code}")
    screen.wait(1, r"type: +ssh box")
    screen.wait(0, r"^box\$ $")
    screen.type(1, "ssh box")
    screen.wait(1, r"^(root@)?box.*[#$] $")
    screen.type(1, "hostname")
    screen.wait(1, r"^box$")
    screen.type(1, "exit")
    screen.wait(1, r"^laptop\$ $")
    time.sleep(1)


def main():
    programs, log = sys.argv[1:]
    missing = [name for name in ("tmux", "ssh", "ip", "nsenter", "unshare") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        sys.exit(f"picture: missing: {' '.join(missing)}" if missing else "picture: run it as root, for namespaces")
    with tempfile.TemporaryDirectory() as folder:
        events = record(programs, folder)
    with open(log, "w", encoding="utf-8") as out:
        head = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "irosh pair, irosh join, ssh"}
        out.write(json.dumps(head) + "\n")
        for at, drawn in events:
            out.write(json.dumps([round(at, 3), "o", drawn.decode(errors="replace")]) + "\n")


if __name__ == "__main__":
    main()
