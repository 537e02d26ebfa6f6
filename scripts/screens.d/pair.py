"""Two windows in which the same is typed, and what is the same in both."""

import difflib
import itertools
import time

from window import Tmux, Window

# Between two looks, in seconds: tmux tells of no change by itself.
LOOK = 0.05
# Lines of a difference that are printed.
LONGEST = 150


class Failed(Exception):
    """What a step needs did not come in time."""


class Tally:
    """How many steps looked the same."""

    def __init__(self):
        self.same = self.different = 0

    def same_step(self, name, detail=""):
        self.same += 1
        print(f"{name}: same{detail}", flush=True)

    def different_step(self, name, pair_of_lines, names):
        self.different += 1
        print(f"{name}: different", flush=True)
        difference = difflib.unified_diff(*pair_of_lines, *names, lineterm="", n=1)
        for line in itertools.islice(difference, LONGEST):
            print(f"    {line}", flush=True)


class Pair:
    """The two windows."""

    def __init__(self, place, tally, deadline, columns=100, rows=30):
        self.place, self.tally, self.deadline = place, tally, deadline
        self.tmux = Tmux(place.folder, place.environment, columns, rows)
        self.windows = []
        try:
            for client in place.clients:
                self.windows.append(Window(self.tmux, client, place.path(client)))
            self.wait("the local shells", "local$")
        except BaseException:
            self.close()
            raise

    def close(self):
        self.tmux.close()

    def type(self, keys):
        for window in self.windows:
            window.type(keys)

    def resize(self, *size):
        """Gives both another size, and waits until their terminals have it: tmux takes its time."""
        for window in self.windows:
            window.resize(*size)
        self.until(f"the size {size}", lambda: all(window.terminal_size() == size for window in self.windows))

    def wait(self, name, shows):
        """Waits until both show it, each as it may; how long each took, in seconds."""
        start = time.monotonic()
        took = {}
        while len(took) < len(self.windows):
            for window in self.windows:
                if window not in took and is_shown(shows, window.look()):
                    took[window] = time.monotonic() - start
            self.pause(start, name, f"{described(shows)} is not shown", len(took) == len(self.windows))
        return [took[window] for window in self.windows]

    def until(self, name, condition):
        """Waits for something that is not on the screens."""
        start = time.monotonic()
        while not condition():
            self.pause(start, name, "it did not come", False)

    def same(self, name, shows, tidy=None, history=False, detail=""):
        """Waits until both show something, look alike and stay so.

        `shows` is a text, or says of a look whether it is reached. `tidy` takes from a look what is each
        program's own, given whose it is.
        """
        start = time.monotonic()
        before = None
        while True:
            looks = [window.look(history) for window in self.windows]
            reached = all(is_shown(shows, look) for look in looks)
            tidied = [tidy(window, look) if tidy else look for window, look in zip(self.windows, looks)]
            alike = (tidied[0].state, tidied[0].cursor, tidied[0].lines) == (tidied[1].state, tidied[1].cursor, tidied[1].lines)
            if reached and alike and looks == before:
                self.tally.same_step(name, detail)
                return
            if reached and not alike and time.monotonic() - start > self.deadline:
                self.different(name, *(look.printed() for look in tidied))
                return
            before = looks
            self.pause(start, name, "never still" if reached else f"{described(shows)} is not shown", False)

    def equal(self, name, first, second):
        """Compares two values that are texts."""
        if first == second:
            self.tally.same_step(name)
        else:
            self.different(name, first.splitlines(), second.splitlines())

    def different(self, name, first, second):
        self.tally.different_step(name, (first, second), self.place.clients)

    def pause(self, start, name, wrong, done):
        if done:
            return
        # A difference has its say first.
        if time.monotonic() - start > self.deadline + 1:
            shown = "".join(
                f"\n--- {window.name}\n" + "\n".join(window.look().printed()) for window in self.windows
            )
            raise Failed(f"{name}: not reached: {wrong} after {self.deadline:g} s{shown}")
        time.sleep(LOOK)


def is_shown(shows, look):
    return shows(look) if callable(shows) else shows in look.text


def described(shows):
    return shows.__name__.replace("_", " ") if callable(shows) else repr(shows)
