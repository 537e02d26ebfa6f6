"""Takes from what two clients show what is each one's own, so that the rest can be compared."""

import dataclasses
import re


def name(_, look):
    """The program's name, where it says its own."""
    for ours, ssh in (("[suspend irosh]", "[suspend ssh]"), (" - suspend irosh", " - suspend ssh")):
        look = replaced(look, ours, ssh)
    return look


def help(window, look):
    """The list of escapes: ssh has more, and speaks of the connections that it shares with others."""
    look = without_lines(name(window, look), r" ~(C|V/v|&) +- ")
    return replaced(look, " (and any multiplexed sessions)", "")


def connections(_, look):
    """The list of what is open: ssh lists channels, with its own numbers, and irosh forwards."""
    return without_lines(look, r"  (#|-[LRD])")


def replaced(look, old, new):
    """Has another text in each line; a cursor behind it moves along."""
    column, row = look.cursor
    line = look.lines[row] if row < len(look.lines) else ""
    # The lines that are tidied have no attributes, so that a column is a character.
    at = (line + " ").find(old)
    if 0 <= at < column:
        column += len(new) - len(old)
    lines = tuple((line + " ").replace(old, new).removesuffix(" ") for line in look.lines)
    return dataclasses.replace(look, lines=lines, cursor=(column, row))


def without_lines(look, pattern):
    """Is without lines; a cursor below them moves up."""
    column, row = look.cursor
    gone = [number for number, line in enumerate(look.lines) if re.match(pattern, line)]
    lines = tuple(line for number, line in enumerate(look.lines) if number not in gone)
    return dataclasses.replace(look, lines=lines, cursor=(column, row - sum(number < row for number in gone)))
