"""What systemctl, loginctl, journalctl, launchctl, rc-service and rc-update do for one service, and as little besides.

    service_tools.py NAME [ARGUMENT...]

Each call is a line of $SERVICE_TOOLS/calls. What systemctl starts is what the unit says, under service_manager.py, as the
unit's user and with what of its restrictions can be had without systemd.
"""

import os
import shlex
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = os.environ["SERVICE_TOOLS"]
DEADLINE = 60


def path(*names):
    return os.path.join(STATE, *names)


def fail(words, code=1):
    print(words, file=sys.stderr)
    sys.exit(code)


def read(file, default=""):
    try:
        with open(file) as opened:
            return opened.read()
    except FileNotFoundError:
        return default


def write(file, text):
    with open(file, "w") as opened:
        opened.write(text)


def remove(file):
    try:
        os.remove(file)
    except FileNotFoundError:
        pass


class Unit:
    """A unit of systemd, with the drop-ins that it has."""

    def __init__(self, name, user):
        self.name = name
        self.user = user
        own = os.path.expanduser("~/.config/systemd/user") if user else "/etc/systemd/system"
        self.folders = [own, "/usr/local/lib/systemd/" + ("user" if user else "system")]

    def file(self):
        files = (os.path.join(folder, self.name) for folder in self.folders)
        return next((file for file in files if os.path.exists(file)), None)

    def settings(self):
        """What is said in all sections, in the order in which it is said."""
        changes = os.path.join(self.folders[0], self.name + ".d")
        files = [self.file()] + sorted(os.path.join(changes, name) for name in names_in(changes))
        found = {}
        for line in "\n".join(map(read, files)).splitlines():
            if "=" not in line or line.startswith("#"):
                continue
            key, value = line.split("=", 1)
            if value:
                found.setdefault(key, []).append(value)
            else:
                found.pop(key, None)
        return found

    def wants(self):
        wanted_by = self.settings().get("WantedBy", ["default.target"])
        return os.path.join(self.folders[0], wanted_by[0] + ".wants", self.name)

    def command(self):
        settings = self.settings()
        words = shlex.split(settings["ExecStart"][-1].replace("%%", "%").replace("$$", "$"))
        environment = dict(os.environ)
        for line in settings.get("Environment", []):
            environment |= dict(word.split("=", 1) for word in shlex.split(line.replace("%%", "%")))
        if self.user:
            return words, environment
        # Its folders, as systemd makes them.
        owner = settings.get("User", ["root"])[0]
        for key, parent in ("State", "/var/lib"), ("Runtime", "/run"), ("Configuration", "/etc"):
            folder = os.path.join(parent, settings[key + "Directory"][0])
            mode = int(settings[key + "DirectoryMode"][0], 8)
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, mode)
            subprocess.run(["chown", owner, folder], check=True)
            environment[key.upper() + "_DIRECTORY"] = folder
        if owner == "root":
            return words, environment
        rights = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        return confined(["setpriv", "--reuid=" + owner, "--regid=" + owner, "--clear-groups", *rights, *words]), environment


def confined(words):
    """All is read-only but the folders of the service; /tmp is another one, and there is nobody at home."""
    script = """
        set -e
        mount --make-rprivate /
        for folder in / /etc /run /var/lib /var/log /usr/local/lib; do mount -o remount,bind,ro $folder; done
        for folder in /etc/irosh /var/lib/irosh /run/irosh; do mount --bind $folder $folder; mount -o remount,bind,rw $folder; done
        for folder in /tmp /home /root; do mount -t tmpfs none $folder; done
        exec "$@"
    """
    return ["unshare", "--mount", "sh", "-c", script, "sh", *words]


def names_in(folder):
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def manager():
    """The process that has the service, if it runs."""
    pid = int(read(path("pid"), "0"))
    return pid if pid and os.path.exists(f"/proc/{pid}") and read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] != "Z" else None


def wait_until(what, is_so):
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        if time.monotonic() > deadline:
            fail(f"not within {DEADLINE} s: {what}")
        time.sleep(0.02)


def ready():
    return read(path("ready"))


def prepare(unit):
    """Writes down what is to be started, the next time, too."""
    words, environment = unit.command()
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items() if name.isidentifier()]
    write(path("start"), "\n".join([*lines, "exec " + shlex.join(words)]))


def start(unit):
    prepare(unit)
    remove(path("ready"))
    environment = dict(os.environ, SERVICE_READY=path("ready"))
    if not unit.user:
        # Where the service sees the socket at which it says that it is ready.
        environment["TMPDIR"] = "/run"
    log = open(path("log"), "a")
    runner = [sys.executable, os.path.join(HERE, "service_manager.py"), "sh", path("start")]
    process = subprocess.Popen(runner, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    write(path("pid"), str(process.pid))
    wait_until("a service that is ready, or has failed", lambda: ready() or process.poll() is not None)
    if not ready():
        fail(f"Job for {unit.name} failed because the control process exited with error code.")


def stop():
    pid = manager()
    if pid:
        os.kill(pid, signal.SIGTERM)
        wait_until("a service that has ended", lambda: manager() is None)


def systemctl(words):
    user = "--user" in words
    options = [word for word in words if word.startswith("--")]
    verb, *rest = (word for word in words if not word.startswith("--"))
    if user and not os.path.exists(os.path.join(os.environ["XDG_RUNTIME_DIR"], "systemd/private")):
        fail("Failed to connect to bus: No medium found")
    if verb == "daemon-reload":
        return
    unit = Unit(rest[0], user)
    if verb == "show":
        file = unit.file()
        active = "active" if manager() else "inactive"
        enabled = "enabled" if file and os.path.islink(unit.wants()) else "disabled"
        print(f"LoadState={'loaded' if file else 'not-found'}\nActiveState={active}\nSubState=running")
        print(f"UnitFileState={enabled}\nFragmentPath={file or ''}")
        return
    if verb == "reset-failed":
        return
    if not unit.file():
        fail(f"Failed to {verb} {unit.name}: Unit {unit.name} not found.", 5)
    if verb == "enable":
        os.makedirs(os.path.dirname(unit.wants()), exist_ok=True)
        remove(unit.wants())
        os.symlink(unit.file(), unit.wants())
    elif verb == "disable":
        remove(unit.wants())
        if "--now" in options:
            stop()
    elif verb == "stop":
        stop()
    elif verb == "start" or verb == "restart" and not manager():
        if not manager():
            start(unit)
    elif verb == "restart":
        before = ready()
        prepare(unit)
        os.kill(manager(), signal.SIGUSR1)
        wait_until("a service that is ready again", lambda: ready() != before)
    else:
        fail(f"unknown verb {verb}")


def loginctl(words):
    verb, name = [word for word in words if not word.startswith("--")]
    if verb == "show-user":
        if not os.path.exists(path("linger")):
            fail(f"Failed to get user: User {name} is not logged in or lingering")
        print("yes")
    elif verb == "enable-linger":
        if os.path.exists(path("refuses")):
            fail("Could not enable linger: Access denied")
        write(path("linger"), name)
        if os.path.exists(path("no-session")):
            # Its manager comes up with it.
            os.makedirs(os.path.join(os.environ["XDG_RUNTIME_DIR"], "systemd"), exist_ok=True)
            write(os.path.join(os.environ["XDG_RUNTIME_DIR"], "systemd/private"), "")
    else:
        remove(path("linger"))


def journalctl(_):
    print(read(path("log")), end="")


def launchctl(words):
    verb, *rest = words
    target = rest[-1]
    if verb == "print":
        if target.startswith("gui/") and target.count("/") == 1:
            fail("Could not find domain")
        if target.count("/") > (0 if target.startswith("system") else 1) and not os.path.exists(path("loaded")):
            fail(f"Could not find service in domain for {target}", 113)
        print("\tstate = " + ("running" if os.path.exists(path("running")) else "not running"))
    elif verb == "bootstrap":
        # As it is for as long as the one before is going.
        if os.path.exists(path("going")):
            remove(path("going"))
            fail("Bootstrap failed: 5: Input/output error", 5)
        write(path("loaded"), target)
    elif verb == "bootout":
        remove(path("loaded"))
        remove(path("running"))
        write(path("going"), "")
    elif verb == "kickstart":
        write(path("running"), "")


def rc_service(words):
    _, verb = words
    if verb == "status" and not os.path.exists(path("running")):
        fail(" * status: stopped", 3)
    if verb in ("start", "restart"):
        write(path("running"), "")
    elif verb == "stop":
        remove(path("running"))


def rc_update(words):
    verb = words[0]
    if verb == "show":
        print("           irosh-host | default" if os.path.exists(path("default")) else "")
    elif verb == "add":
        write(path("default"), "")
    else:
        remove(path("default"))


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    with open(path("calls"), "a") as calls:
        calls.write(" ".join([name, *words]) + "\n")
    globals()[name.replace("-", "_")](words)
