"""A host with one server behind it, on loopback, and two clients that reach it."""

import getpass
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

# What the shell there reads: its prompt is ours, and nothing is said that changes from login to login.
PROFILE = r"""
# Not where passwd says that home is.
cd
PS1='box$ '
unset HISTFILE PROMPT_COMMAND MAIL MAILCHECK LESS LESSOPEN
export LESSHISTFILE=-
"""

# The status line tells when vim knows of a new size. The colours are of 24 bits.
VIMRC = r"""
set nocompatible laststatus=2 ruler hlsearch number mouse=a ttymouse=sgr timeout timeoutlen=1000 ttimeoutlen=1000
set statusline=%f\ %{&columns}x%{&lines}\ %l,%v
let &t_8f = "\<Esc>[38;2;%lu;%lu;%lum"
let &t_8b = "\<Esc>[48;2;%lu;%lu;%lum"
set termguicolors
highlight Search guibg=#ff8800 guifg=#102030
highlight LineNr guifg=#44cc88
"""


class Place:
    """What is started and written for one run; all of it goes with `close`."""

    def __init__(self, binaries, server, oracle):
        self.binaries = binaries
        self.folder = tempfile.mkdtemp(prefix="irosh-screens-")
        self.host = None
        try:
            home = self.subfolder("home")
            self.write("home/.profile", PROFILE)
            self.write("home/vimrc", VIMRC)
            lines = (f"line {number}: {'wörd 日本 ' * (number % 9)}\n" for number in range(1, 201))
            self.write("home/text", "".join(lines))
            self.environment = self.clean_environment()
            for key in ("host_key", "user_key"):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(key)], check=True)
            ticket = self.start_host(server, home)
            self.configure_clients(ticket)
            # The windows' folders, with the same words to type in each.
            self.clients = ["ssh", "ssh twin" if oracle else "irosh"]
            ssh, irosh = f"ssh -F {self.path('ssh_config')} box", f"{binaries}/irosh shell -F {self.path('ssh_config')} box"
            for client, command in zip(self.clients, [ssh, ssh if oracle else irosh]):
                self.subfolder(client)
                self.write(f"{client}/connect", f"#!/bin/sh\nexec {command}\n")
                os.chmod(self.path(f"{client}/connect"), 0o755)
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.folder, name)

    def subfolder(self, name):
        os.makedirs(self.path(name))
        return self.path(name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def clean_environment(self):
        """Of the clients and the host: loopback alone, and nothing of who runs this."""
        path = "/usr/local/bin:/usr/bin:/bin:" + os.environ.get("PATH", "")
        environment = {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": self.subfolder("client"), "SHELL": "/bin/sh"}
        environment |= {"IROSH_RELAY": "none", "IROSH_DNS": "none", "IROSH_BIND": "127.0.0.1:0"}
        # An agent would outlive the scene.
        return environment | {"IROSH_HOME": self.path("client"), "IROSH_AGENT": "off"}

    def start_host(self, server, home):
        """Starts it, and returns its ticket."""
        keys, host_key = self.path("user_key.pub"), self.path("host_key")
        variables = [f"HOME={home}", "LC_ALL=C.UTF-8"]
        host_home = self.subfolder("host")
        if server == "builtin":
            backend = "builtin"
            settings = {"HostKey": [host_key], "AuthorizedKeysFile": [keys], "SetEnv": variables}
            lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
            self.write("host/host.toml", "\n".join(["[sshd]", *lines, "StrictModes = false", ""]))
        else:
            sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
            if sshd is None:
                sys.exit("screens: sshd is missing (Debian: openssh-server)")
            if os.getuid() == 0:
                os.makedirs("/run/sshd", exist_ok=True)
            backend = f"exec:{sshd} -i -e -f {self.path('sshd_config')}"
            self.write(
                "sshd_config",
                f"HostKey {host_key}\nAuthorizedKeysFile {keys}\nStrictModes no\nUsePAM no\nPidFile none\nUseDNS no\n"
                f"PermitRootLogin yes\nPrintMotd no\nPrintLastLog no\nSetEnv {' '.join(variables)}\n",
            )
        command = [f"{self.binaries}/irosh", "host", "--json", "--access", "open", "--backend", backend]
        environment = self.environment | {"IROSH_HOME": host_home, "HOME": host_home}
        with open(self.path("host.log"), "w") as log:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": log}
            self.host = subprocess.Popen(command, env=environment, text=True, **pipes)
        # It may never say anything; the end of its stdout ends the wait.
        timer = threading.Timer(30, self.host.kill)
        timer.start()
        ready = self.host.stdout.readline()
        timer.cancel()
        if not ready:
            sys.exit(f"screens: the host did not start:\n{self.host_log()}")
        # Its events are nobody's business, but its pipe must not be full.
        threading.Thread(target=lambda: [None for _ in self.host.stdout], daemon=True).start()
        return json.loads(ready)["ticket"]

    def configure_clients(self, ticket):
        proxy = f"{self.binaries}/irosh-proxy"
        self.write(
            "ssh_config",
            f"Host box\n  User {getpass.getuser()}\n  IdentityFile {self.path('user_key')}\n  IdentitiesOnly yes\n"
            "  IdentityAgent none\n  BatchMode yes\n  StrictHostKeyChecking yes\n  UserKnownHostsFile /dev/null\n"
            "  GlobalKnownHostsFile /dev/null\n  UpdateHostKeys no\n"
            f"  ProxyCommand {proxy} %h\n  KnownHostsCommand {proxy} --known-hosts %h\n",
        )
        add = [f"{self.binaries}/irosh", "hosts", "add", "box", ticket]
        subprocess.run(add, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def host_log(self):
        """The end of what it said on stderr."""
        with open(self.path("host.log"), encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def close(self):
        if self.host is not None:
            self.host.terminate()
            try:
                self.host.wait(15)
            except subprocess.TimeoutExpired:
                self.host.kill()
                self.host.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
