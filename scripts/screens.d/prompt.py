"""The prompts of the two shells, there and here: what is waited for between steps."""

import re

ENTER, ESCAPE = "\r", "\x1b"
CTRL_C, CTRL_Z = "\x03", "\x1a"

# Columns and rows.
SIZE, LARGER, SMALLER = (100, 30), (132, 43), (60, 18)


# What `Pair.wait` and `Pair.same` wait for.


def at_prompt(look):
    """The shell there waits, on the line that the cursor is in."""
    return look.cursor_line().rstrip() == "box$"


def at_local_prompt(look):
    return look.cursor_line().rstrip() == "local$"


def back_here(look):
    """The shell here waits, behind what stands there from before."""
    return look.cursor_line()[: look.cursor[0]].rstrip().endswith("local$")


def both(text, condition):
    def text_and_condition(look):
        return text in look.text and condition(look)

    text_and_condition.__name__ = f"{text!r}, {condition.__name__}"
    return text_and_condition


def flooded(look):
    return re.search(r"^\d{5,}$", look.text, re.MULTILINE)


def connect(pair, name):
    pair.type("clear; connect" + ENTER)
    pair.same(name, at_prompt)


def clear(pair):
    pair.type("clear" + ENTER)
    pair.wait("a clear screen", lambda look: at_prompt(look) and look.cursor[1] == 0)


def escape(pair, keys):
    """Types an escape on a screen that is clear, behind a second prompt."""
    new_line(pair)
    pair.type("~" + keys)


def new_line(pair):
    # The first one ends a line that an escape may have written into.
    pair.type(ENTER + "clear" + ENTER)
    pair.wait("a clear screen", lambda look: at_prompt(look) and look.cursor[1] == 0)
    pair.type(ENTER)
    pair.wait("another prompt", lambda look: at_prompt(look) and look.cursor[1] == 1)


def modes_restored(pair, name, before):
    """Each terminal has the modes that it had before its client was started."""
    for window, modes in zip(pair.windows, before):
        pair.equal(f"{name}, by {window.name}", modes, window.modes())


def seconds(pair, took):
    return " (" + ", ".join(f"{window.name} {time:.1f} s" for window, time in zip(pair.windows, took)) + ")"
