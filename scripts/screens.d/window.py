"""A window of tmux: what is typed into it, and what it shows."""

import dataclasses
import itertools
import os
import subprocess

# dash leaves a terminal's modes as a program left them, so that a mistake there is seen.
SHELL = ["env", "PS1=local$ ", "dash", "-i"]

CONFIGURATION = """
set -g default-terminal tmux-256color
set -g history-limit 300000
set -g status off
set -g escape-time 0
set -g allow-rename off
set -g automatic-rename off
"""

# Whatever a program can change and does not write.
STATE = (
    "size #{pane_width}x#{pane_height} cursor-visible #{cursor_flag} alternate #{alternate_on} "
    "keypad #{keypad_flag} cursor-keys #{keypad_cursor_flag} mouse #{mouse_any_flag} sgr #{mouse_sgr_flag} "
    "insert #{insert_flag} origin #{origin_flag} wrap #{wrap_flag} region #{scroll_region_upper}-#{scroll_region_lower}"
)


class TmuxError(Exception):
    """tmux did not do as it was told."""


@dataclasses.dataclass(frozen=True)
class Look:
    """All that can be seen of a window at one time."""

    state: str
    # Column and row, from 0.
    cursor: tuple
    # With attributes, as escape sequences.
    lines: tuple
    text: str

    def cursor_line(self):
        lines = self.text.split("\n")
        return lines[self.cursor[1]] if self.cursor[1] < len(lines) else ""

    def printed(self):
        """For a person, and for a comparison of lines."""
        column, row = self.cursor
        lines = [f"{number:3} {line!r}" for number, line in enumerate(self.lines) if line]
        return [self.state, f"cursor in column {column} of row {row}", *lines]


class Tmux:
    """A tmux of our own."""

    def __init__(self, folder, environment, columns, rows):
        self.socket, self.environment = os.path.join(folder, "tmux"), environment
        self.size = (columns, rows)
        configuration = os.path.join(folder, "tmux.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION)
        # One that shows nothing, so that those that are compared are made alike.
        self("-f", configuration, "new-session", "-d", "-s", "screens", "-x", str(columns), "-y", str(rows), "cat")

    def __call__(self, *arguments):
        command = ["tmux", "-u", "-S", self.socket, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            raise TmuxError(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], env=self.environment, capture_output=True)


class Window:
    """A shell in a folder, on a terminal of its own."""

    def __init__(self, tmux, name, folder):
        self.tmux, self.name = tmux, name
        shell = [*SHELL[:1], f"PATH={folder}:{tmux.environment['PATH']}", *SHELL[1:]]
        self.target = tmux("new-window", "-d", "-P", "-F", "#{pane_id}", "-t", "screens:", "-c", folder, *shell).strip()
        self.resize(*tmux.size)
        self.terminal = tmux("display-message", "-p", "-t", self.target, "#{pane_tty}").strip()

    def type(self, keys):
        for printable, run in itertools.groupby(keys, lambda key: key >= " " and key != "\x7f"):
            run = "".join(run)
            if printable:
                # In parts, since a command line has an end.
                for start in range(0, len(run), 4000):
                    # A ; at the end would be tmux's own.
                    part = run[start : start + 4000]
                    part = part[:-1] + "\\;" if part.endswith(";") else part
                    self.tmux("send-keys", "-t", self.target, "-l", "--", part)
            else:
                self.tmux("send-keys", "-t", self.target, "-H", *(f"{ord(key):02x}" for key in run))

    def resize(self, columns, rows):
        self.tmux("resize-window", "-t", self.target, "-x", str(columns), "-y", str(rows))

    def look(self, history=False):
        """What it shows; with `history`, also what has scrolled out."""
        capture = ["capture-pane", "-p", "-t", self.target, *(["-S", "-"] if history else [])]
        shown = self.tmux(
            *["display-message", "-p", "-t", self.target, f"#{{cursor_x}} #{{cursor_y}} {STATE}", ";"],
            *[*capture, "-e", ";"],
            *["display-message", "-p", "-t", self.target, "\x01", ";"],
            *capture,
        )
        first, rest = shown.split("\n", 1)
        column, row, state = first.split(" ", 2)
        lines, _, text = rest.partition("\x01\n")
        return Look(state, (int(column), int(row)), tuple(lines.rstrip("\n").split("\n")), text)

    def terminal_size(self):
        said = subprocess.run(["stty", "size", "-F", self.terminal], capture_output=True, text=True, check=True).stdout
        rows, columns = said.split()
        return int(columns), int(rows)

    def modes(self):
        """Those of its terminal, on this side, without its size."""
        said = subprocess.run(["stty", "-a", "-F", self.terminal], capture_output=True, text=True, check=True).stdout
        return said.split("\n", 1)[0].split(";", 1)[0] + "\n" + said.split("\n", 1)[1]
