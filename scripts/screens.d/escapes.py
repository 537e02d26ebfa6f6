"""The escapes that the client takes for itself."""

import tidy
from prompt import CTRL_Z, ENTER, SIZE, SMALLER, at_local_prompt, at_prompt, both, escape, modes_restored


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
