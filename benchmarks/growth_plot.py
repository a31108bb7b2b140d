"""Draw how a figure grows, as an SVG image: one panel per quantity, with logarithmic axes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.sax.saxutils import escape

Line: TypeAlias = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 360, 260
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 34, 14, 46
_COLORS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")
_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram.

    Attributes:
        title: What is on the axes.
        unit: The quantity on the horizontal axis.
        lines: The points of each line, by its name.
    """

    title: str
    unit: str
    lines: Mapping[str, Line]


def svg(panels: Sequence[Panel]) -> str:
    """Return the image. A straight line at 45 degrees is linear growth."""
    rows = math.ceil(len(panels) / _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT
    drawn = [
        f'<g transform="translate({index % _COLUMNS * _WIDTH},{index // _COLUMNS * _HEIGHT})">{_panel(panel)}</g>'
        for index, panel in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines.values() for point in line]
    xs, ys = (
        _Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT),
        _Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP),
    )
    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(panel.title)}</text>']
    for tick in xs.ticks():
        x = xs.place(tick)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{tick:,g}</text>')
    for tick in ys.ticks():
        y = ys.place(tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 16}">{escape(panel.unit)}</text>')
    for number, (name, line) in enumerate(panel.lines.items()):
        color = _COLORS[number % len(_COLORS)]
        path = "L".join(f"{xs.place(x):.1f} {ys.place(y):.1f}" for x, y in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{xs.place(x):.1f}" cy="{ys.place(y):.1f}" r="3" fill="{color}"/>' for x, y in line]
        parts.append(f'<text x="{_LEFT + 6}" y="{_TOP + 14 + 14 * number}" fill="{color}">{escape(name)}</text>')
    return "".join(parts)


class _Axis:
    """A logarithmic axis. Zero is drawn as one tenth of the smallest other value."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        positive = [value for value in values if value > 0] or [1.0]
        self._zero = min(positive) / 10
        low = min(positive) if len(positive) == len(values) else self._zero
        self._low, self._high = math.floor(math.log10(low)), math.ceil(math.log10(max(positive)))
        self._high = max(self._high, self._low + 1)
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return the position of a value."""
        share = (math.log10(value if value > 0 else self._zero) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Return the powers of ten on the axis."""
        return [10.0**power for power in range(self._low, self._high + 1)]
