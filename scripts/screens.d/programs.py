"""Full-screen programs, and what a terminal there is."""

from prompt import CTRL_Z, ENTER, ESCAPE, LARGER, SIZE, SMALLER, at_local_prompt, at_prompt, both, clear, modes_restored
import tidy

VIM = "vim -u vimrc -N -n -i NONE text"


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
    pair.type("g")
    pair.same("start of the file", lambda look: look.text.startswith("line 1:"))
    # tmux cuts off the first lines; it is less that draws them again. It would lose keys meanwhile.
    pair.resize(*SMALLER)
    pair.same("less in a smaller window", lambda look: look.text.startswith("line 1:"))
    pair.resize(*SIZE)
    pair.same("less in a larger window", lambda look: "line 29:" in look.text)
    pair.type("q")
    pair.same("screen restored after less", at_prompt)
