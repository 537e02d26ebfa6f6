"""Floods, and the ways in which a session ends."""

import time

import tidy
from programs import VIM, in_vim
from prompt import CTRL_C, CTRL_Z, ENTER, SIZE, at_local_prompt, at_prompt, back_here, both, clear, connect, escape
from prompt import flooded, modes_restored, seconds


def flood(pair):
    clear(pair)
    pair.type("clear; seq 1 100000" + ENTER)
    whole = [f"{number}" for number in range(1, 100001)]
    took = pair.wait("seq 1 100000", both("100000", at_prompt))
    pair.same("a flood of 100000 lines", both("100000", at_prompt), detail=seconds(pair, took))
    for window in pair.windows:
        lines = [line for line in window.look(history=True).text.split("\n") if line.isdecimal()]
        pair.equal(f"each of its lines, by {window.name}", "\n".join(lines[-100000:]), "\n".join(whole))
    pair.type("clear; seq 1 1000000000" + ENTER)
    pair.wait("an endless flood", flooded)
    pair.type(CTRL_C)
    took = pair.wait("Ctrl-C in a flood", at_prompt)
    pair.type("status=$?; clear; echo status $status" + ENTER)
    pair.same("Ctrl-C in a flood", both("status 130", at_prompt), detail=seconds(pair, took))


def leave(pair, before):
    """`~.` at the prompt."""
    escape(pair, ".")
    ended(pair, "~.", 255, before)


def other_ends(pair, before):
    connect(pair, "connected again")
    pair.type("clear; exit 7" + ENTER)
    ended(pair, "exit 7", 7, before)

    connect(pair, "connected a third time")
    pair.type(VIM + ENTER)
    pair.wait("vim", both("200L", in_vim(SIZE)))
    pair.type(ENTER)
    pair.wait("vim's next line", " 2,1")
    pair.type("~.")
    # Neither gives back the screen that it does not know of.
    pair.same("~. in vim", back_here)
    modes_restored(pair, "modes here after ~. in vim", before)
    pair.type(r"printf '\033[?1049l\033[0m\033[?1000l\033[?1002l\033[?1006l\033[?1l\033>\033[?25h'" + ENTER)
    pair.type("clear; echo" + ENTER)
    pair.wait("the local shells", at_local_prompt)

    connect(pair, "connected a fourth time")
    pair.type("seq 1 1000000000" + ENTER)
    pair.wait("an endless flood", flooded)
    pair.type(ENTER + "~.")
    took = pair.wait("~. in a flood", back_here)
    # Where the flood was cut is each one's own, but a prompt has a line for itself.
    own = [f"a line for itself: {at_local_prompt(window.look())}" for window in pair.windows]
    pair.equal("the prompt behind ~. in a flood", *own)
    pair.type("status=$?; clear; echo status $status" + ENTER)
    pair.same("~. in a flood", both("status 255", at_local_prompt), detail=seconds(pair, took))
    modes_restored(pair, "modes here after ~. in a flood", before)


def long_stop(pair, stop):
    """A client that is stopped for longer than a silent connection is kept has its session still."""
    connect(pair, "connected a fifth time")
    escape(pair, CTRL_Z)
    pair.same("client stopped for long", both("Stopped", at_local_prompt), tidy.name)
    # It is the time itself that is tried here, and not what comes within it.
    time.sleep(stop)
    pair.type("clear; fg" + ENTER)
    pair.wait("fg", lambda look: look.text.startswith("connect"))
    pair.type(ENTER)
    pair.wait("fg", lambda look: at_prompt(look) or at_local_prompt(look))
    pair.type("echo alive $((6*7))" + ENTER)
    pair.same(f"client continued after {stop} s", "alive 42")


def ended(pair, name, status, before):
    pair.wait(name, at_local_prompt)
    pair.same(f"{name}: what is shown", at_local_prompt)
    pair.type("status=$?; clear; echo status $status" + ENTER)
    pair.same(f"{name}: the status", both(f"status {status}", at_local_prompt))
    modes_restored(pair, f"modes here after {name}", before)
