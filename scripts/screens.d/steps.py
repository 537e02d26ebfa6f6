"""What is typed, and what has to be the same then: see scripts/screens."""

import endings
import escapes
import programs
from prompt import connect


def run(pair, stop):
    before = [window.modes() for window in pair.windows]
    connect(pair, "the first prompt")
    programs.terminal_there(pair)
    programs.colours(pair)
    programs.vim(pair, before)
    programs.less(pair)
    escapes.suspended_at_the_prompt(pair, before)
    escapes.escapes(pair)
    endings.flood(pair)
    endings.leave(pair, before)
    endings.other_ends(pair, before)
    if stop > 0:
        endings.long_stop(pair, stop)
