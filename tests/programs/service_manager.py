"""What systemd does for a service that has a store of descriptors (sd_notify(3), FDSTORE=1), and as little besides.

    service_manager.py PROGRAM [ARGUMENT...]

SIGUSR1 restarts the service, as `systemctl restart` does: SIGTERM, and once it has ended it is started with what it has
stored. SIGTERM stops it for good, and what is stored is dropped. Where $SERVICE_READY names a file, how often the
service was ready is written there.
"""

import array
import os
import select
import signal
import socket
import sys
import tempfile

MOST = 512
FIRST = 3  # SD_LISTEN_FDS_START


class Manager:
    def __init__(self, command):
        self.command = command
        self.store = []  # names and descriptors, in the order in which they came
        self.folder = tempfile.TemporaryDirectory()
        self.address = os.path.join(self.folder.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        # The service may be another user's.
        os.chmod(self.folder.name, 0o755)
        os.chmod(self.address, 0o777)
        self.asked = []
        waker, self.woken = os.pipe()
        os.set_blocking(self.woken, False)
        signal.set_wakeup_fd(self.woken)
        self.waker = waker
        for wanted in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(wanted, lambda number, _: self.asked.append(number))

    def start(self):
        self.pid = os.fork()
        if self.pid == 0:
            self.become()

    def become(self):
        # First out of the way of where they are to be.
        high = [os.dup2(fd, 600 + index) for index, (_, fd) in enumerate(self.store)]
        for index, fd in enumerate(high):
            os.dup2(fd, FIRST + index, inheritable=True)
        os.closerange(FIRST + len(high), 2000)
        environment = dict(os.environ, NOTIFY_SOCKET=self.address, FDSTORE=str(MOST))
        if self.store:
            names = ":".join(name for name, _ in self.store)
            environment |= {"LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names, "LISTEN_PID": str(os.getpid())}
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(self.command[0], self.command, environment)

    def hear(self):
        room = socket.CMSG_SPACE(16 * array.array("i").itemsize)
        text, ancillary, _, _ = self.socket.recvmsg(1 << 16, room)
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        words = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
        if "FDSTOREREMOVE" in words:
            self.drop(lambda name: name == words["FDNAME"])
        if "FDSTORE" in words and len(self.store) + len(fds) <= MOST:
            self.store += [(words["FDNAME"], fd) for fd in fds]
        else:
            if "READY" in words and "SERVICE_READY" in os.environ:
                self.tell_ready()
            # A barrier, too: who waits for it sees it closed.
            for fd in fds:
                os.close(fd)

    def tell_ready(self):
        """A file that says how often the service has been ready."""
        self.times = getattr(self, "times", 0) + 1
        file = os.environ["SERVICE_READY"]
        with open(file + ".new", "w") as opened:
            opened.write(str(self.times))
        os.rename(file + ".new", file)

    def drop(self, whose):
        for name, fd in self.store:
            if whose(name):
                os.close(fd)
        self.store = [(name, fd) for name, fd in self.store if not whose(name)]

    def run(self):
        self.start()
        restarts = stops = False
        while True:
            ready, _, _ = select.select([self.socket, self.waker], [], [])
            if self.socket in ready:
                self.hear()
                continue
            os.read(self.waker, 1024)
            asked, self.asked = self.asked, []
            if signal.SIGUSR1 in asked:
                restarts = True
                os.kill(self.pid, signal.SIGTERM)
            if signal.SIGTERM in asked:
                stops = True
                os.kill(self.pid, signal.SIGTERM)
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if pid == 0:
                    break
                if pid != self.pid:
                    continue
                if restarts and not stops:
                    restarts = False
                    self.start()
                else:
                    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(Manager(sys.argv[1:]).run())
