"""Draws how the screen of a recording looks at its end (asciicast v2; needs pyte, Debian's python3-pyte)."""

import json
import re
import sys
from xml.sax.saxutils import escape

import pyte

CELL, LINE, EDGE = 7.85, 18, 14
STYLE = """
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #24292f; white-space: pre }
  .sheet { fill: #f6f8fa; stroke: #d0d7de } .line { fill: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #c9d1d9 } .sheet { fill: #0d1117; stroke: #30363d } .line { fill: #484f58 }
  }
"""


def replay(path):
    with open(path, encoding="utf-8") as log:
        head = json.loads(log.readline())
        screen = pyte.Screen(head["width"], head["height"])
        stream = pyte.Stream(screen)
        for line in log:
            # Pyte takes a private sequence (CSI > 4 ; 1 m, of the keyboard) for a look.
            stream.feed(re.sub(r"\x1b\[[>=<][0-9;]*[a-z]", "", json.loads(line)[2]))
    return head, screen


def style(cell):
    return "line" if cell.data in "│─┼" else ""


def runs(row, width):
    """The parts of a row that look alike: where each begins, how it looks, its text."""
    start = 0
    for at in range(1, width + 1):
        if at == width or style(row[at]) != style(row[start]):
            text = "".join(row[column].data for column in range(start, at))
            if text.strip():
                yield start, style(row[start]), text.rstrip()
            start = at


def draw(head, screen):
    width, height = head["width"] * CELL + 2 * EDGE, head["height"] * LINE + 2 * EDGE
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
    yield f"<title>{escape(head['title'])}</title>"
    yield f"<style>{STYLE}</style>"
    yield f'<rect class="sheet" x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="6"/>'
    for number in range(head["height"]):
        for start, look, text in runs(screen.buffer[number], head["width"]):
            x, y = EDGE + start * CELL, EDGE + (number + 0.75) * LINE
            length = f'textLength="{len(text) * CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
            yield f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" {length}>{escape(text)}</text>'
    yield "</svg>"


if __name__ == "__main__":
    source, picture = sys.argv[1:]
    with open(picture, "w", encoding="utf-8") as out:
        out.write("\n".join(draw(*replay(source))) + "\n")
