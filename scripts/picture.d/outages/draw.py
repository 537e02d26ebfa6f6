"""Draws what run.py has logged: bytes delivered over time, each way, with the outages marked."""

import sys

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
NAMES = {"down": "host to client", "up": "client to host"}
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #333 }
  .sheet { fill: #fff } .outage { fill: #d9480f; opacity: .16 } .grid { stroke: #ccc; stroke-width: 1 }
  path { fill: none; stroke-width: 2 } .down { stroke: #1864ab; fill: none } .up { stroke: #2b8a3e; stroke-dasharray: 6 4 }
  text.down { fill: #1864ab; stroke: none } text.up { fill: #2b8a3e; stroke: none } text.gone { fill: #a33a0c }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .sheet { fill: #0d1117 } .outage { fill: #ff922b; opacity: .22 } .grid { stroke: #30363d }
    .down { stroke: #74c0fc } .up { stroke: #8ce99a }
    text.down { fill: #74c0fc } text.up { fill: #8ce99a } text.gone { fill: #ffa94d }
  }
"""


def read(path):
    outages, ways = [], {way: [] for way in NAMES}
    with open(path, encoding="ascii") as log:
        for kind, *numbers in (line.split() for line in log):
            (outages if kind == "outage" else ways[kind]).append(tuple(map(float, numbers)))
    return outages, ways


def draw(outages, ways):
    end = max(at for points in ways.values() for at, _ in points)
    most = max(heard for points in ways.values() for _, heard in points)
    across = lambda at: LEFT + at / end * (WIDTH - LEFT - RIGHT)
    up = lambda heard: HEIGHT - BOTTOM - heard / most * (HEIGHT - TOP - BOTTOM)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    yield "<title>Bytes that one ssh session delivered each way, over three outages</title>"
    yield f"<style>{STYLE}</style>"
    yield f'<rect class="sheet" width="{WIDTH}" height="{HEIGHT}"/>'
    for start, length in outages:
        yield f'<rect class="outage" x="{across(start):.1f}" y="{TOP}" width="{across(length) - LEFT:.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        yield f'<text class="gone" x="{across(start + length / 2):.1f}" y="{TOP - 8}" text-anchor="middle">{length:.0f} s</text>'
    for mega in range(int(most / 1e6) + 1):
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(mega * 1e6):.1f}" y2="{up(mega * 1e6):.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{up(mega * 1e6) + 4:.1f}" text-anchor="end">{mega} MB</text>'
    for at in range(0, int(end) + 1, 10):
        yield f'<text x="{across(at):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{at} s</text>'
    for index, (way, points) in enumerate(ways.items()):
        line = " ".join(f"{across(at):.1f},{up(heard):.1f}" for at, heard in points)
        yield f'<path class="{way}" d="M{line}"/>'
        yield f'<text class="{way}" x="{WIDTH - RIGHT + 10}" y="{TOP + 12 + 18 * index}">{NAMES[way]}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">bytes delivered; the network is away where it is shaded</text>'
    yield "</svg>"


if __name__ == "__main__":
    source, picture = sys.argv[1:]
    with open(picture, "w", encoding="ascii") as out:
        out.write("\n".join(draw(*read(source))) + "\n")
