"""Draw the pictures of `docs/performance.md` from its tables of results, so that both always agree."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

PLOTS = ("peers.svg", "first-token.svg")
"""The names of the pictures in `docs/`."""

_PEERS = {
    "dragoman": "dragoman",
    "LiteLLM": "LiteLLM",
    "Portkey": "Portkey",
    "bare protocol": "bare protocol, in Python",
}
"""The columns that are drawn, and their names in the picture."""

_RATES = {
    "requests/s, 16 connections": "Requests per second, 16 connections",
    "requests/s, next turns of 100 KB": "Requests per second, next turns of 100 KB",
    "requests/s, new conversations of 100 KB": "Requests per second, new conversations of 100 KB",
    "chunks/s, 50 streams": "Text chunks per second, 50 streams",
}
_LENGTH = re.compile(r"(?P<messages>[\d,]+) (?:earlier )?messages for the first time")
_LEVELS = {
    "cold": "a process for each request",
    "warm process": "new, on a warm process",
    "live conversation": "next turn of a live conversation",
}
"""Rows without a number of messages: a part of their name, and their name in the picture."""

_TIME = re.compile(r"(?P<median>[\d,.]+) \((?P<low>[\d,.]+) to (?P<high>[\d,.]+)\)")
_WIDTH = 480
_STYLE = """\
text { font: 12px sans-serif; fill: #1f2328 } .title { font-weight: bold } .end { text-anchor: end }
.middle { text-anchor: middle } .back { fill: #fff } .grid { stroke: #d1d9e0 } .quiet { fill: #59636e }
.bar0 { fill: #a84d00 } .bar { fill: #8c959f } .line { stroke: #a84d00; stroke-width: 2; fill: none }
.level { stroke: #59636e; stroke-dasharray: 5 4 } circle { fill: #a84d00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .back { fill: #131416 } .grid { stroke: #3d444d } .quiet { fill: #9198a1 }
.bar0, circle { fill: #f5a05a } .bar { fill: #6e7681 } .line { stroke: #f5a05a } .level { stroke: #9198a1 }
}"""


@dataclass(frozen=True, slots=True)
class _Scale:
    """A logarithmic axis from `start` to `end`, in pixels, for values from `low` to `high`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return the position of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)


def plots(page: str) -> dict[str, str]:
    """Return the SVG images by name, drawn from the text of `docs/performance.md`.

    Raises:
        ValueError: A table or a row is missing.
    """
    peers, first_token = PLOTS
    return {peers: _peers(_table(page, "medians of")), first_token: _first_token(_table(page, "to the first token"))}


def write_plots(docs: Path) -> None:
    """Draw the pictures in the directory of the docs."""
    for name, image in plots((docs / "performance.md").read_text(encoding="utf-8")).items():
        (docs / name).write_text(image, encoding="utf-8")


def _table(page: str, head: str) -> dict[str, dict[str, str]]:
    """Return the rows of the table whose first heading starts with `head`: cells by heading, by the first cell."""
    found = re.search(rf"^\| {head}.*\n\|[-|]+\n(?:\|.*\n?)+", page, re.MULTILINE)
    if not found:
        raise ValueError(f"docs/performance.md has no table that starts with {head!r}")
    heading, _, *lines = found[0].splitlines()
    names = _cells(heading)
    return {cells[0]: dict(zip(names, cells, strict=True)) for cells in map(_cells, lines)}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _peers(rows: Mapping[str, Mapping[str, str]]) -> str:
    """Draw one group of bars for each rate. Lengths are logarithmic."""
    rates = {title: {name: _number(rows[row][name]) for name in _PEERS} for row, title in _RATES.items()}
    values = [value for group in rates.values() for value in group.values() if value]
    scale = _Scale(10 ** math.floor(math.log10(min(values))), max(values), 160, _WIDTH - 70)
    parts, y = [], 8
    for title, group in rates.items():
        y += 20
        parts.append(_text(12, y, title, "title"))
        for name, value in group.items():
            y += 20
            kind = "bar0" if name == "dragoman" else "bar"
            parts.append(_text(scale.start - 8, y, _PEERS[name], "end"))
            end = scale.place(value) if value else scale.start
            parts.append(f'<path class="{kind}" d="M{scale.start} {y - 11}H{end}v14H{scale.start}z"/>')
            parts.append(_text(end + 6, y, f"{value:,.0f}" if value else "fails", "quiet"))
        y += 10
    parts.append(_text(12, y + 16, "Bars are logarithmic: ten times as much is one step longer.", "quiet"))
    return _image(y + 28, "Throughput of gateways", parts)


def _first_token(rows: Mapping[str, Mapping[str, str]]) -> str:
    """Draw the time to the first token by the length of the conversation, between the rows that have no length."""
    line = {
        float(found["messages"].replace(",", "")): _time(row)
        for name, row in rows.items()
        if (found := _LENGTH.match(name))
    }
    levels = {text: _time(row)[0] for part, text in _LEVELS.items() for name, row in rows.items() if part in name}
    if not line or len(levels) != len(_LEVELS):
        raise ValueError("docs/performance.md lacks rows of times to the first token")
    top, bottom = 44, 290
    highest = max(*(high for _, _, high in line.values()), *levels.values())
    xs = _Scale(min(line), max(line), 60, _WIDTH - 30)
    ms = 100 * math.ceil(highest * 1.1 / 100)

    def place(value: float) -> float:
        return round(bottom - (bottom - top) * value / ms, 1)

    parts = [_text(12, 22, "Milliseconds to the first token", "title")]
    for tick in range(0, ms + 1, 100):
        parts.append(f'<path class="grid" d="M50 {place(tick)}H{_WIDTH - 20}"/>')
        parts.append(_text(44, place(tick) + 4, f"{tick:,}", "end"))
    for text, level in levels.items():
        parts.append(f'<path class="level" d="M50 {place(level)}H{_WIDTH - 20}"/>')
        parts.append(_text(_WIDTH - 22, place(level) - 5, f"{text}: {level:,.0f}", "end quiet"))
    parts.append(f'<path class="line" d="M{"L".join(f"{xs.place(x)} {place(time[0])}" for x, time in line.items())}"/>')
    for x, (median, low, high) in line.items():
        parts.append(f'<path class="line" d="M{xs.place(x)} {place(low)}V{place(high)}"/>')
        parts.append(f'<circle cx="{xs.place(x)}" cy="{place(median)}" r="4"/>')
        parts.append(_text(xs.place(x), place(high) - 6, f"{median:,.0f}", "middle"))
        parts.append(_text(xs.place(x), bottom + 18, f"{x:,.0f}", "middle"))
    parts.append(_text(12, bottom + 38, "Messages that the gateway receives for the first time (logarithmic)", "quiet"))
    return _image(bottom + 50, "Time to the first token by the length of a conversation", parts)


def _number(cell: str) -> float | None:
    """Return the figure of a cell, or None for a peer that fails."""
    return float(cell.replace(",", "")) if cell.replace(",", "").replace(".", "").isdigit() else None


def _time(row: Mapping[str, str]) -> tuple[float, float, float]:
    """Return the median, the lowest and the highest time of a row, in milliseconds.

    Raises:
        ValueError: The row has no times.
    """
    if not (found := _TIME.match(row["ms"])):
        raise ValueError(f"docs/performance.md has no times in {row}")
    median, low, high = (float(found[name].replace(",", "")) for name in ("median", "low", "high"))
    return median, low, high


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


def _image(height: float, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">'
    back = f'<rect class="back" width="{_WIDTH}" height="{height}"/>'
    return "\n".join([head, f"<title>{title}</title><style>{_STYLE}</style>", back, *parts, "</svg>\n"])
