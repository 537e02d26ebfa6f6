"""What is typed, and what has to be the same then: see scripts/screens."""

import os
import re
import time

import tidy

ENTER, ESCAPE = "\r", "\x1b"
CTRL_C, CTRL_L, CTRL_U, CTRL_Z = "\x03", "\x0c", "\x15", "\x1a"
VIM = "vim -u vimrc -N -n -i NONE text"

SIZE, LARGER, SMALLER = (100, 30), (132, 43), (60, 18)


def run(pair):
    before = [window.modes() for window in pair.windows]
    connect(pair)
    terminal_there(pair)
    colours(pair)
    vim(pair, before)
    less(pair)
    suspended_at_the_prompt(pair, before)
    escapes(pair)
    command_line(pair)
    flood(pair)
    leave(pair, before)
    other_ends(pair, before)


# What is waited for: a text, or one of these.


def at_prompt(look):
    """The shell there waits, on the line that the cursor is in."""
    return look.cursor_line().rstrip() == "box$"


def at_local_prompt(look):
    return look.cursor_line().rstrip() == "local$"


def both(text, condition):
    def text_and_condition(look):
        return text in look.text and condition(look)

    text_and_condition.__name__ = f"{text!r}, {condition.__name__}"
    return text_and_condition


def connect(pair, name="the first prompt"):
    pair.type("clear; connect" + ENTER)
    pair.same(name, at_prompt)


def clear(pair):
    pair.type("clear" + ENTER)
    pair.wait("a clear screen", lambda look: at_prompt(look) and look.cursor[1] == 0)


def terminal_there(pair):
    pair.equal("raw modes here", *(window.modes() for window in pair.windows))
    for command, shown in (("stty size", "30 100"), ("stty -a", "echoctl"), ("echo $TERM $(tput colors)", "tmux-256color 256")):
        pair.type(f"clear; {command}" + ENTER)
        pair.same(f"{command}", both(shown, at_prompt))


def colours(pair):
    pair.type(r"clear; printf '\e[38;2;255;120;7m\e[48;2;3;4;5m日本語 wörd e\u0301 한글\e[1;3;4;9m all\e[0m ░▒▓ 🙂\n'" + ENTER)
    pair.same("24-bit colours and wide characters", both("한글 all", at_prompt))
    # The shell's own editing of such a line: back over two wide characters, one erased, others put in.
    clear(pair)
    pair.type("echo 日本語" + "\x1b[D" * 2 + "\x7f" + "한ß" + ENTER)
    pair.same("wide characters edited", both("\n한ß本語", at_prompt))


def vim(pair, before):
    pair.type(f"clear; {VIM}" + ENTER)
    pair.same("vim opened", both("200L", in_vim(SIZE)))
    pair.type("20Ggg/line 7" + ENTER)
    pair.same("search in vim", "/line 7")
    pair.type("onew text wörd 日本" + ESCAPE)
    pair.same("text typed", both("new text wörd 日本", lambda look: "INSERT" not in look.text))
    pair.resize(*LARGER)
    pair.same("window larger", in_vim(LARGER))
    pair.resize(*SMALLER)
    pair.same("window smaller", in_vim(SMALLER))
    for columns in range(61, 101, 3):
        for window in pair.windows:
            window.resize(columns, columns // 3)
    pair.resize(*SIZE)
    pair.same("many sizes at once", in_vim(SIZE))
    pasted = "".join(f"pasted line {number} {'日本 wörd ' * 4}\r" for number in range(500))
    pair.type(":set paste" + ENTER + "Go" + pasted + "end of paste" + ESCAPE)
    pair.same("a paste of 30 KB", both("end of paste", lambda look: "INSERT" not in look.text))
    pair.type(CTRL_Z)
    pair.same("vim stopped by Ctrl-Z", both("Stopped", at_prompt))
    pair.type("clear; echo before fg; fg" + ENTER)
    pair.same("vim continued by fg", both("end of paste", in_vim(SIZE)))
    suspended_in_vim(pair, before)
    pair.type(":q!" + ENTER)
    pair.same("screen restored after vim", both("before fg", at_prompt))


def in_vim(size):
    def vim_has_this_size(look):
        return f"{size[0]}x{size[1]} " in look.text.replace("─", "") and "alternate 1" in look.state

    return vim_has_this_size


def suspended_in_vim(pair, before):
    # Escapes count behind a newline only, which in vim is a motion.
    pair.type(ENTER + "~" + CTRL_Z)
    pair.same("client stopped in vim", both("Stopped", at_local_prompt), tidy.name)
    modes_restored(pair, "modes here while it is stopped", before)
    pair.resize(90, 24)
    pair.type("clear; stty size" + ENTER)
    pair.wait("the size here", "24 90")
    pair.type("clear; fg" + ENTER)
    # The size has changed, so vim draws all of it.
    pair.same("client continued in vim, in another size", in_vim((90, 24)))
    pair.equal("raw modes here again", *(window.modes() for window in pair.windows))
    pair.resize(*SIZE)
    pair.same("the size before", in_vim(SIZE))


def less(pair):
    pair.type("clear; less text" + ENTER)
    pair.same("less opened", both("line 29:", lambda look: "alternate 1" in look.state))
    pair.type("/line 15" + ENTER)
    pair.same("search in less", lambda look: look.text.startswith("line 15:"))
    pair.type("n")
    pair.same("next match", lambda look: look.text.startswith("line 150:"))
    pair.type("G")
    pair.same("end of the file", "(END)")
    pair.resize(*SMALLER)
    pair.type("gr")
    pair.same("less in a smaller window", lambda look: look.text.startswith("line 1:"))
    pair.resize(*SIZE)
    pair.type("r")
    pair.same("less in a larger window", lambda look: "line 29:" in look.text)
    pair.type("q")
    pair.same("screen restored after less", at_prompt)


def suspended_at_the_prompt(pair, before):
    escape(pair, CTRL_Z)
    pair.same("client stopped at the prompt", both("Stopped", at_local_prompt), tidy.name)
    modes_restored(pair, "modes here while it is stopped there", before)
    pair.resize(*SMALLER)
    pair.type("clear; fg" + ENTER)
    until(pair, "raw modes after fg", lambda: all("-icanon" in window.modes() for window in pair.windows))
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
    pair.type("clear; (until [ -e late/go ]; do sleep 0.1; done; echo late output; mktemp late/done.XXXXXX >/dev/null &)" + ENTER)
    pair.wait("the late output's start", lambda look: at_prompt(look) and look.cursor[1] == 0)
    pair.type(ENTER)
    pair.wait("another prompt", lambda look: at_prompt(look) and look.cursor[1] == 1)
    pair.type("~C")
    pair.wait("~C", command_prompt)
    pair.place.write("home/late/go", "")
    until(pair, "the late output", lambda: len([name for name in os.listdir(folder) if name.startswith("done")]) == 2)
    pair.type("help")
    pair.same("~C holds back what comes meanwhile", "> help", tidy.name)
    pair.type(CTRL_U + ENTER)
    pair.same("what came meanwhile, behind ~C", "late output", tidy.name)
    pair.type(ENTER)


def until(pair, name, condition):
    start = time.monotonic()
    while not condition():
        pair.pause(start, name, "not so", False)


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


def flooded(look):
    return re.search(r"^\d{5,}$", look.text, re.MULTILINE)


def seconds(pair, took):
    return " (" + ", ".join(f"{window.name} {time:.1f} s" for window, time in zip(pair.windows, took)) + ")"


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
    pair.type(ENTER + "~.")
    pair.wait("~. in vim", at_local_prompt)
    # Neither gives back the screen that it does not know of.
    pair.same("~. in vim", at_local_prompt, tidy.closed)
    modes_restored(pair, "modes here after ~. in vim", before)
    pair.type(r"printf '\033[?1049l\033[?1000l\033[?1002l\033[?1006l\033[?1l\033>\033[?25h'" + ENTER)
    pair.type("clear; echo" + ENTER)
    pair.wait("the local shells", at_local_prompt)

    connect(pair, "connected a fourth time")
    pair.type("seq 1 1000000000" + ENTER)
    pair.wait("an endless flood", flooded)
    pair.type(ENTER + "~.")
    took = pair.wait("~. in a flood", at_local_prompt)
    pair.type("status=$?; clear; echo status $status" + ENTER)
    pair.same("~. in a flood", both("status 255", at_local_prompt), detail=seconds(pair, took))
    modes_restored(pair, "modes here after ~. in a flood", before)


def ended(pair, name, status, before):
    pair.wait(name, at_local_prompt)
    pair.same(f"{name}: what is shown", at_local_prompt)
    pair.type("status=$?; clear; echo status $status" + ENTER)
    pair.same(f"{name}: the status", both(f"status {status}", at_local_prompt))
    modes_restored(pair, f"modes here after {name}", before)


def modes_restored(pair, name, before):
    """Each terminal has the modes that it had before its client was started."""
    for window, modes in zip(pair.windows, before):
        pair.equal(f"{name}, by {window.name}", modes, window.modes())
