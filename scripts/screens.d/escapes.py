"""The escapes that the client takes for itself."""

import os

import tidy
from prompt import CTRL_U, CTRL_Z, ENTER, SIZE, SMALLER, at_local_prompt, at_prompt, both, escape, modes_restored


def suspended_at_the_prompt(pair, before):
    escape(pair, CTRL_Z)
    pair.same("client stopped at the prompt", both("Stopped", at_local_prompt), tidy.name)
    modes_restored(pair, "modes here while it is stopped there", before)
    pair.resize(*SMALLER)
    pair.type("clear; fg" + ENTER)
    pair.until("raw modes after fg", lambda: all("-icanon" in window.modes() for window in pair.windows))
    pair.type("clear; stty size" + ENTER)
    pair.same("client continued by fg, in another size", both("18 60", at_prompt))
    pair.resize(*SIZE)
    pair.type("clear; stty size" + ENTER)
    pair.same("the size before, at the prompt", both("30 100", at_prompt))


def escapes(pair):
    escape(pair, "?")
    pair.same("~?", "immediately after newline", tidy.help)
    escape(pair, "~" + ENTER)
    pair.same("~~", both("box$ ~", at_prompt))
    escape(pair, "x" + ENTER)
    pair.same("~x", both("box$ ~x", at_prompt))
    escape(pair, "#")
    pair.same("~#", "connections are open", tidy.connections)
    escape(pair, "B")
    pair.same("~B", "box$ ~B")
    escape(pair, "Recho exchanged $((6*7))" + ENTER)
    pair.same("~R", both("exchanged 42", at_prompt))


def command_line(pair):
    escape(pair, "C")
    pair.same("~C", command_prompt, tidy.name)
    pair.type("helx\x7fp" + ENTER)
    pair.same("~C help", "Cancel dynamic forward", tidy.name)
    # Each client runs in a folder of its own, where it makes this socket.
    for name, typed, said in (
        ("~C -L", "-L ./socket:127.0.0.1:9", "Forwarding port."),
        ("~C -KL", "-KL ./socket", "Canceled forwarding."),
        ("~C -KL of nothing", "-KL 9", "Unknown port forwarding."),
        ("~C and a blank line", " ", ""),
    ):
        escape(pair, "C")
        pair.wait(name, command_prompt)
        pair.type(typed + ENTER)
        pair.wait(name, lambda look: said in look.text and not command_prompt(look))
        pair.same(name, said, tidy.name)
        pair.type(ENTER)
        pair.same(f"{name}, and a prompt again", at_prompt, tidy.name)
    late_output(pair)


def command_prompt(look):
    return look.cursor_line().rstrip() in ("ssh>", "irosh>")


def late_output(pair):
    """What comes while the line of ~C is open is shown behind it."""
    folder = pair.place.path("home/late")
    pair.type("clear; ({ until [ -e late/go ]; do sleep 0.1; done; echo late output; mktemp late/done.XXXXXX >/dev/null; } &)" + ENTER)
    pair.wait("the late output's start", lambda look: at_prompt(look) and look.cursor[1] == 0)
    pair.type(ENTER)
    pair.wait("another prompt", lambda look: at_prompt(look) and look.cursor[1] == 1)
    pair.type("~C")
    pair.wait("~C", command_prompt)
    pair.place.write("home/late/go", "")
    pair.until("the late output", lambda: len([name for name in os.listdir(folder) if name.startswith("done")]) == 2)
    pair.type("help")
    pair.same("~C holds back what comes meanwhile", "> help", tidy.name)
    pair.type(CTRL_U + ENTER)
    pair.same("what came meanwhile, behind ~C", "late output", tidy.name)
    pair.type(ENTER)
