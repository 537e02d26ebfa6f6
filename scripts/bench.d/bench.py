"""The measurements behind scripts/bench: see there."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PAIRS = int(os.environ.get("PAIRS", "5"))
MIB = int(os.environ.get("MIB", "512"))
CIPHER = "aes128-gcm@openssh.com"


def cpu_of(pid):
    """CPU seconds that a process has used, or None when it is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        return sum(int(open(f"/proc/{pid}/task/{thread}/schedstat").read().split()[0]) for thread in threads) / 1e9
    except (OSError, IndexError):
        return None


class Place:
    """An sshd, an irosh host before it, and the ways to reach both."""

    def __init__(self, binaries, server=(), client=(), address="127.0.0.1", dumbpipe=True, agent=False):
        self.binaries, self.server, self.client, self.address = binaries, list(server), list(client), address
        self.folder = tempfile.mkdtemp(prefix="irosh-bench-")
        self.processes = []
        self.environment = dict(os.environ, IROSH_RELAY="none", IROSH_DNS="none", IROSH_BIND=f"{address}:0")
        # Each process by itself, unless an agent is what is measured.
        self.environment["IROSH_AGENT"] = "off"
        self.start_sshd()
        self.host, self.ticket = self.start_host()
        proxy = self.proxy(f"{binaries}/irosh-proxy %h")
        self.ways = {"direct": [], "irosh": proxy}
        self.names = {"direct": address, "irosh": self.ticket}
        if agent:
            self.ways["agent"], self.names["agent"] = proxy, self.ticket
        if dumbpipe and shutil.which("dumbpipe"):
            self.start_dumbpipe()

    def environment_of(self, way):
        """What ssh is run with there."""
        return dict(self.environment, IROSH_AGENT="auto") if way == "agent" else self.environment

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, command, prefix, **options):
        process = subprocess.Popen([*prefix, *command], **options)
        self.processes.append(process)
        return process

    def start_sshd(self):
        for key in ("host", "you"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(key)], check=True)
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.port = self.free_port()
        with open(self.path("sshd_config"), "w") as config:
            config.write(
                f"ListenAddress {self.address}:{self.port}\nHostKey {self.path('host')}\n"
                f"AuthorizedKeysFile {self.path('you.pub')}\nStrictModes no\nUsePAM no\nPidFile none\n"
                "MaxStartups 1000\nUseDNS no\nSubsystem sftp internal-sftp\n"
                # An empty home: what a .bashrc does is no server's.
                f"SetEnv HOME={self.folder}\n"
            )
        sshd = shutil.which("sshd") or "/usr/sbin/sshd"
        self.start([sshd, "-D", "-f", self.path("sshd_config")], self.server, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        probe = [*self.client, "ssh-keyscan", "-p", str(self.port), self.address]
        while not subprocess.run(probe, capture_output=True).stdout:
            if time.monotonic() > deadline:
                sys.exit("bench: sshd did not start")

    def free_port(self):
        code = f"import socket; s=socket.socket(); s.bind(('{self.address}',0)); print(s.getsockname()[1])"
        return int(subprocess.run([*self.server, sys.executable, "-c", code], capture_output=True, check=True).stdout)

    def start_host(self):
        _, ready = self.start_another("irosh-host")
        self.environment["IROSH_HOME"] = self.path("irosh-client")
        # A prefix that enters a namespace may be a process of its own; the host says who it is.
        return ready["pid"], ready["ticket"]

    def start_another(self, name):
        """A host before the sshd: its process, and what it says when it is ready."""
        command = [f"{self.binaries}/irosh", "host", "--json", "--access", "open", "--backend", f"tcp:{self.address}:{self.port}"]
        environment = dict(self.environment, IROSH_HOME=self.path(name))
        os.mkdir(environment["IROSH_HOME"], 0o700)
        with open(os.path.join(environment["IROSH_HOME"], "host.toml"), "w") as settings:
            settings.write(self.settings())
        with open(self.path(f"{name}.log"), "w") as log:
            host = self.start(command, self.server, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        ready = json.loads(host.stdout.readline())
        threading.Thread(target=lambda: [self.heard(json.loads(line)) for line in host.stdout], daemon=True).start()
        return host, ready

    def settings(self):
        """The host's host.toml."""
        return ""

    def heard(self, event):
        """Told what the host says of its sessions."""

    def start_dumbpipe(self):
        command = ["dumbpipe", "listen-tcp", "--host", f"{self.address}:{self.port}", "--ipv4-addr", f"{self.address}:0"]
        listener = self.start(command, self.server, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in listener.stderr:
            words = [word for word in line.split() if word.startswith("endpoint")]
            if words:
                ticket = words[-1]
                break
        threading.Thread(target=lambda: [None for _ in listener.stderr], daemon=True).start()
        self.ways["dumbpipe"] = self.proxy(f"dumbpipe connect {ticket}")
        self.names["dumbpipe"] = "dumbpipe"

    @staticmethod
    def proxy(command):
        return ["-o", f"ProxyCommand={command}"]

    def ssh(self, way, *command):
        port = ["-p", str(self.port)] if way == "direct" else []
        options = ["-F", "none", "-i", self.path("you"), "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-c", CIPHER]
        return [*self.client, "ssh", *options, *port, *self.ways[way], self.names[way], *command]

    def run(self, way, *command, **options):
        # dumbpipe tells its key each time.
        with tempfile.TemporaryFile() as said:
            try:
                subprocess.run(self.ssh(way, *command), check=True, env=self.environment_of(way), stderr=said, **options)
            except subprocess.CalledProcessError as error:
                said.seek(0)
                sys.exit(f"bench: ssh by {way} failed with status {error.returncode}: {said.read().decode()}")

    def close(self):
        subprocess.run([f"{self.binaries}/irosh", "agent", "stop"], env=self.environment, capture_output=True)
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def timed(act):
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def upload(place, way, count):
    zeros = subprocess.Popen(["head", "-c", str(count), "/dev/zero"], stdout=subprocess.PIPE)
    place.run(way, "cat > /dev/null", stdin=zeros.stdout)
    zeros.wait()


def download(place, way, count):
    place.run(way, f"head -c {count} /dev/zero", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def keystrokes(place, way, count=2000):
    """Milliseconds from a byte into `ssh host cat` to the same byte out of it."""
    ssh = subprocess.Popen(place.ssh(way, "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=place.environment_of(way))
    times = []
    for index in range(count + 50):
        start = time.perf_counter()
        os.write(ssh.stdin.fileno(), b"x")
        os.read(ssh.stdout.fileno(), 1)
        if index >= 50:
            times.append((time.perf_counter() - start) * 1000)
        # People pause between keys; this is enough for a connection to count as idle.
        time.sleep(0.001)
    ssh.stdin.close()
    ssh.wait()
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def bridge_cpu(place, way, transfer, count):
    """CPU seconds of the client's side, and of the host, for one transfer."""

    def clients():
        running = subprocess.run(["pgrep", "^irosh"], capture_output=True, text=True).stdout.split()
        return [pid for pid in running if pid != str(place.host) and is_ours(pid)]

    def is_ours(pid):
        try:
            return os.path.dirname(os.readlink(f"/proc/{pid}/exe")) == place.binaries
        except OSError:
            return False

    first = {pid: cpu_of(pid) for pid in clients()}
    before, most, done = cpu_of(place.host), {}, threading.Event()

    def watch():
        """What ends has to be looked at often, so that little of it is missed."""
        known = clients()
        while not done.wait(0.005):
            known = known if len(known) > len(first) else clients()
            for pid in known:
                most[pid] = max(most.get(pid, 0), (cpu_of(pid) or 0) - first.get(pid, 0))

    watcher = threading.Thread(target=watch)
    watcher.start()
    transfer(place, way, count)
    done.set()
    watcher.join()
    return sum(most.values()), cpu_of(place.host) - before


def bare_cpu(place, way, count):
    """CPU seconds of both ends of a bare iroh stream."""
    program = f"{place.binaries}/examples/bare-stream"
    server = subprocess.Popen([program, "serve"], stdout=subprocess.PIPE, text=True)
    ticket = server.stdout.readline().strip()
    client = subprocess.run([program, way, ticket, str(count)], capture_output=True, text=True, check=True)
    server_said = server.communicate()[0]
    return sum(float(said.split("cpu ")[1]) for said in (client.stdout, server_said))


def row(what, *columns):
    print(f"{what:<34}" + "".join(f"{column:>16}" for column in columns), flush=True)


def rounds(place, measure):
    """The same measurement in turns over each way, so that a noisy minute hits all alike."""
    results = {way: [] for way in place.ways}
    for way in place.ways:
        measure(way)
    for _ in range(PAIRS):
        for way in place.ways:
            results[way].append(measure(way))
    return results


def median_rates(results, count):
    return {way: count / statistics.median(seconds) for way, seconds in results.items()}


def local(binaries):
    place = Place(binaries, agent=True)
    try:
        ways = list(place.ways)
        row(f"medians of {PAIRS}, loopback", *ways, "irosh/direct")
        cold = rounds(place, lambda way: timed(lambda: place.run(way, "true", stdin=subprocess.DEVNULL)) * 1000)
        cold = {way: statistics.median(times) for way, times in cold.items()}
        row("ssh host true, cold, ms", *(f"{cold[way]:.0f}" for way in ways), f"{cold['irosh'] - cold['direct']:+.0f} ms")
        keys = rounds(place, lambda way: keystrokes(place, way))
        for index, name in enumerate(("median", "99th percentile")):
            at = {way: statistics.median(times[index] for times in keys[way]) for way in ways}
            row(f"keystroke echo, {name}, ms", *(f"{at[way]:.2f}" for way in ways), f"{at['irosh'] - at['direct']:+.2f} ms")
        for name, transfer in (("up", upload), ("down", download)):
            seconds = rounds(place, lambda way: timed(lambda: transfer(place, way, MIB << 20)))
            rates = median_rates(seconds, MIB)
            row(f"bulk {name}, {MIB} MiB, MiB/s", *(f"{rates[way]:.0f}" for way in ways), f"{rates['irosh'] / rates['direct']:.2f}")
            if "dumbpipe" in rates:
                row(f"bulk {name}, irosh/dumbpipe", f"{rates['irosh'] / rates['dumbpipe']:.2f}")
        row("CPU seconds a GiB", "client", "its agent", "host", "agent/client", "both/bare")
        for name, transfer in (("up", upload), ("down", download)):
            measured = [
                (*bridge_cpu(place, "irosh", transfer, MIB << 20), bridge_cpu(place, "agent", transfer, MIB << 20)[0], bare_cpu(place, name, MIB << 20))
                for _ in range(PAIRS)
            ]
            client, host, agent, bare = (statistics.median(column) * 1024 / MIB for column in zip(*measured))
            row(f"bulk {name}", f"{client:.2f}", f"{agent:.2f}", f"{host:.2f}", f"{agent / client:.2f}", f"{(client + host) / bare:.2f}")
    finally:
        place.close()


class Announced(Place):
    """Whose sshd need not be on loopback for its host to vouch for its key."""

    def settings(self):
        return f'host-keys = ["{self.path("host")}.pub"]\n'


class Connecting:
    """The ways in which a name leads to a host: each an ssh, but for the last, and what it needs in its environment."""

    def __init__(self, place):
        self.place = place
        place.environment["IROSH_AGENT"] = "auto"
        self.cold_home = place.path("irosh-cold")
        self.irosh(place.environment["IROSH_HOME"], "hosts", "add", "box", place.ticket)
        config = self.irosh(place.environment["IROSH_HOME"], "ssh-config", "print").stdout
        self.configure("config", config)
        self.configure("config-fdpass", self.fdpass(config))
        shutil.copytree(place.environment["IROSH_HOME"], self.cold_home)
        self.configure("config-cold", config.replace("irosh-client", "irosh-cold"))
        by = self.by("config")
        self.ways = {
            "direct": (place.ssh("direct", "true"), {}),
            "no agent": (by, {"IROSH_AGENT": "off"}),
            "agent starts": (self.by("config-cold"), {"IROSH_HOME": self.cold_home}),
            "warm": (by, {}),
            "warm, fdpass": (self.by("config-fdpass"), {}),
            "irosh exec": ([*place.client, f"{place.binaries}/irosh", "exec", "-F", place.path("config"), "box", "true"], {}),
        }

    def configure(self, file, text):
        with open(self.place.path(file), "w") as config:
            config.write(f"{text}\nHost *\n  IdentityFile {self.place.path('you')}\n  BatchMode yes\n  StrictHostKeyChecking yes\n")

    @staticmethod
    def fdpass(config):
        return config.replace("ProxyUseFdpass no", "ProxyUseFdpass yes").replace("irosh-proxy -- ", "irosh-proxy --fdpass -- ")

    def by(self, config):
        return [*self.place.client, "ssh", "-F", self.place.path(config), "box", "true"]

    def irosh(self, home, *command):
        environment = dict(self.place.environment, IROSH_HOME=home)
        return subprocess.run([f"{self.place.binaries}/irosh", *command], check=True, env=environment, capture_output=True, text=True)

    def once(self, way):
        command, variables = self.ways[way]
        if way == "agent starts":
            self.irosh(self.cold_home, "agent", "stop")
        environment = dict(self.place.environment, **variables)
        with tempfile.TemporaryFile("w+") as said:
            start = time.perf_counter()
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
            took = (time.perf_counter() - start) * 1000
            said.seek(0)
            if done.returncode != 0:
                sys.exit(f"bench: {way} failed with status {done.returncode}: {said.read()}")
        return took

    def close(self):
        for home in (self.place.environment["IROSH_HOME"], self.cold_home):
            self.irosh(home, "agent", "stop")
        self.place.close()


def connect(name, place):
    """How long `ssh host true` takes, each way in its turn: medians in milliseconds."""
    connecting = Connecting(place)
    try:
        times = {way: [] for way in connecting.ways}
        for way in connecting.ways:
            connecting.once(way)
        for _ in range(PAIRS):
            for way in connecting.ways:
                times[way].append(connecting.once(way))
        medians = {way: statistics.median(taken) for way, taken in times.items()}
        row(f"{name}, {PAIRS} each", "median, ms", "to direct, ms", "ratio")
        for way, median in medians.items():
            row(f"  {way}", f"{median:.1f}", f"{median - medians['direct']:+.1f}", f"{median / medians['direct']:.2f}")
        return medians
    finally:
        connecting.close()


def slowest_of(commands, environment):
    """Runs all at once; the seconds that the slowest of them took that was not expected to fail."""
    took = {}

    def run(index, command, fails):
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if (done.returncode != 0) != fails:
            took[index] = f"bench: {command} ended with status {done.returncode}: {done.stderr}"
        elif not fails:
            took[index] = time.perf_counter() - start

    running = [threading.Thread(target=run, args=(index, *command)) for index, command in enumerate(commands)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for failure in took.values():
        if isinstance(failure, str):
            sys.exit(failure)
    return max(took.values())


class Crowd(Connecting):
    """Many at once, of whom an agent that is not there yet dials for all."""

    CROWD = 50
    HOSTS = 9

    def __init__(self, place):
        super().__init__(place)
        self.hosts = [f"box{index}" for index in range(self.HOSTS)]
        for name in [*self.hosts, "gone"]:
            host, ready = place.start_another(name)
            self.irosh(self.cold_home, "hosts", "add", name, ready["ticket"])
        host.kill()
        self.configure("config-cold", self.irosh(self.cold_home, "ssh-config", "print").stdout)
        self.environment = dict(place.environment, IROSH_HOME=self.cold_home)

    def to(self, name, fails=False):
        return [*self.place.client, "ssh", "-F", self.place.path("config-cold"), name, "true"], fails

    def cold(self, commands):
        self.irosh(self.cold_home, "agent", "stop")
        return slowest_of(commands, self.environment)

    def measure(self):
        direct, by_agent, all_there, one_gone = [], [], [], []
        hosts = [self.to(name) for name in self.hosts]
        for _ in range(PAIRS):
            direct.append(slowest_of([(self.ways["direct"][0], False)] * self.CROWD, self.environment))
            by_agent.append(self.cold([self.to("box")] * self.CROWD))
            all_there.append(self.cold(hosts))
            one_gone.append(self.cold([*hosts, self.to("gone", fails=True)]))
        row(f"the slowest of those at once, {PAIRS} each", "before, s", "after, s", "ratio")
        for what, before, after in (
            (f"{self.CROWD}, direct and by a cold agent", direct, by_agent),
            (f"{self.HOSTS} hosts, and with a dead one", all_there, one_gone),
        ):
            before, after = statistics.median(before), statistics.median(after)
            row(f"  {what}", f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f}")


def crowds(binaries):
    crowd = Crowd(Announced(binaries, dumbpipe=False))
    try:
        crowd.measure()
    finally:
        crowd.close()


def connects(binaries):
    connect("loopback", Announced(binaries, dumbpipe=False))
    crowds(binaries)
    near, far = (connect_over(binaries, milliseconds) for milliseconds in PATHS)
    if near and far:
        row("round trips, by both paths")
        for way in near:
            row(f"  {way}", f"{(far[way] - near[way]) / (PATHS[1] - PATHS[0]):.1f}")


# Round trips of paths, in milliseconds.
PATHS = (50, 150)


def connect_over(binaries, milliseconds):
    """The medians over a path with this round trip; None where there can be no lab."""
    lab = [f"{binaries}/examples/lab", "--rate", "100mbit", "--delay", f"{milliseconds // 2}ms", "--loss", "0", "--"]
    with tempfile.NamedTemporaryFile("r") as medians:
        command = [*lab, sys.executable, os.path.abspath(__file__), binaries, "connect-inside", str(milliseconds), medians.name]
        status = subprocess.run(command).returncode
        if status == 77:
            print(f"skipped: a path of {milliseconds} ms: no lab is possible here")
            return None
        if status != 0:
            sys.exit(f"bench: a path of {milliseconds} ms: failed with status {status}")
        return json.load(medians)


def connect_inside(binaries, milliseconds, medians):
    server, client = os.environ["LAB_A"].split(), os.environ["LAB_B"].split()
    place = Announced(binaries, server, client, os.environ["LAB_ADDR_A"], dumbpipe=False)
    place.environment["IROSH_BIND"] = f"{os.environ['LAB_ADDR_B']}:0"
    with open(medians, "w") as file:
        json.dump(connect(f"a path of {milliseconds} ms", place), file)


LINKS = [
    # name, rate in Mbit/s, one-way delay, loss, MiB a transfer
    ("100 Mbit/s, 50 ms", 100, "25ms", "0", 40),
    ("100 Mbit/s, 50 ms, 1% loss", 100, "25ms", "0.01", 40),
    ("100 Mbit/s, 50 ms, 5% loss", 100, "25ms", "0.05", 40),
    ("1 Gbit/s, 100 ms", 1000, "50ms", "0", 100),
]


def wan(binaries, wanted):
    for index, (name, rate, delay, loss, mib) in enumerate(LINKS):
        if wanted and str(index) not in wanted:
            continue
        lab = [f"{binaries}/examples/lab", "--rate", f"{rate}mbit", "--delay", delay, "--loss", loss, "--"]
        inner = [sys.executable, os.path.abspath(__file__), binaries, "wan-inside", name, str(mib)]
        status = subprocess.run([*lab, *inner]).returncode
        if status == 77:
            print(f"skipped: {name}: no lab is possible here")
        elif status != 0:
            sys.exit(f"bench: {name}: failed with status {status}")


def tune(prefix):
    """The kernel's BBR and windows of 64 MiB, so that direct ssh is at its best."""
    settings = {
        "tcp_congestion_control": "bbr",
        "tcp_rmem": "4096 131072 67108864",
        "tcp_wmem": "4096 131072 67108864",
    }
    for key, value in settings.items():
        subprocess.run([*prefix, "sh", "-c", f"echo '{value}' > /proc/sys/net/ipv4/{key}"], check=False)
    return subprocess.run([*prefix, "cat", "/proc/sys/net/ipv4/tcp_congestion_control"], capture_output=True, text=True).stdout.strip()


def wan_inside(binaries, name, mib):
    server, client = os.environ["LAB_A"].split(), os.environ["LAB_B"].split()
    control = {tune(server), tune(client)}
    # Without dumbpipe: with loss, it would take an hour.
    place = Place(binaries, server, client, os.environ["LAB_ADDR_A"], dumbpipe=False)
    place.environment["IROSH_BIND"] = f"{os.environ['LAB_ADDR_B']}:0"
    try:
        ways = list(place.ways)
        row(f"{name} (TCP: {'/'.join(control)})", *ways, "irosh/direct")
        for what, transfer in (("up", upload), ("down", download)):
            seconds = rounds(place, lambda way: timed(lambda: transfer(place, way, mib << 20)))
            rates = median_rates(seconds, mib * 8 * 1.048576)
            row(f"  {what}, {mib} MiB, Mbit/s", *(f"{rates[way]:.1f}" for way in ways), f"{rates['irosh'] / rates['direct']:.2f}")
    finally:
        place.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [binaries]:
            local(binaries)
        case [binaries, "wan", *wanted]:
            wan(binaries, wanted)
        case [binaries, "connect"]:
            connects(binaries)
        case [binaries, "connect-inside", milliseconds, medians]:
            connect_inside(binaries, milliseconds, medians)
        case [binaries, "wan-inside", name, mib]:
            wan_inside(binaries, name, int(mib))
        case _:
            sys.exit("bench: scripts/bench [connect | wan [LINK...]]")
