"""Draws what scripts/bench has printed, a bar for each way: `draw.py startup|throughput LOG PICTURE`."""

import re
import sys

WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 760, 210, 90, 44, 18, 14
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-weight: 600 }
  .sheet { fill: #fff } .direct { fill: #868e96 } .irosh { fill: #1864ab }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .sheet { fill: #0d1117 } .direct { fill: #909296 } .irosh { fill: #74c0fc }
  }
"""
# What `scripts/bench connect` calls a way, and what it is.
WAYS = {
    "direct": "ssh direct",
    "no agent": "ssh by irosh, no agent",
    "warm": "ssh by irosh, warm",
    "irosh exec": "irosh exec, warm",
}


def startup(lines):
    """Groups of (name, number, unit, class): how long `ssh host true` takes over paths."""
    groups, bars = [], []
    for line in lines:
        heading = re.match(r"(loopback|a path of [^,]*), \d+ each", line)
        if not line.startswith("  "):
            bars = []
        if heading:
            groups.append((f"ssh host true, {heading[1]}", bars))
        row = re.match(r"  (\S.*?)  +([\d.]+) ", line)
        if row and row[1] in WAYS:
            bars.append((WAYS[row[1]], float(row[2]), "ms", "direct" if row[1] == "direct" else "irosh"))
    return groups


def throughput(lines):
    """Groups of bars: what one transfer moves over links that delay and lose."""
    groups = []
    for line in lines:
        heading = re.match(r"(\d+ [MG]bit/s, .*?) \(TCP: (\w+)\)", line)
        if heading:
            groups.append((heading[1], []))
        row = re.match(r"  (up|down), .* Mbit/s +([\d.]+) +([\d.]+)", line)
        if groups and row:
            groups[-1][1].append((f"ssh direct, {row[1]}", float(row[2]), "Mbit/s", "direct"))
            groups[-1][1].append((f"ssh by irosh, {row[1]}", float(row[3]), "Mbit/s", "irosh"))
    return groups


TITLES = {
    startup: "How long ssh takes from its start to its end",
    throughput: "What one ssh session moves over links with delay and loss",
}


def draw(kind, groups):
    most = max(number for _, bars in groups for _, number, _, _ in bars)
    height = TOP + sum(GAP + 20 + BAR * len(bars) for _, bars in groups) + GAP
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    yield f"<title>{TITLES[kind]}</title>"
    yield f"<style>{STYLE}</style>"
    yield f'<rect class="sheet" width="{WIDTH}" height="{height}"/>'
    yield f'<text class="title" x="16" y="26">{TITLES[kind]}</text>'
    y = TOP
    for heading, bars in groups:
        y += GAP + 20
        yield f'<text class="title" x="16" y="{y - 8}">{heading}</text>'
        for name, number, unit, way in bars:
            length = number / most * (WIDTH - LEFT - RIGHT)
            yield f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
            yield f'<rect class="{way}" x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{BAR - 4}"/>'
            yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{number:.0f} {unit}</text>'
            y += BAR
    yield "</svg>"


if __name__ == "__main__":
    name, source, picture = sys.argv[1:]
    kind = {"startup": startup, "throughput": throughput}[name]
    with open(source, encoding="utf-8") as log:
        groups = kind(log.read().splitlines())
    if not groups:
        sys.exit(f"picture: {source} has no figures of {name}")
    with open(picture, "w", encoding="ascii") as out:
        out.write("\n".join(draw(kind, groups)) + "\n")
