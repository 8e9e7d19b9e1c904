"""Curves over the steps of a run as SVG text, for pages that load nothing.

Colours are CSS variables of the page, so that a curve follows its light and dark style. Every text is escaped here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bise.corpus.svg import ticks

_WIDE, _SMALL = (640, 200), (320, 120)  # of a plot alone in its line, and of several side by side: figures stay legible
_LEFT, _BOTTOM, _TOP = 58, 24, 8  # room for the figures of the axes
_MOST_POINTS = 600


@dataclass(frozen=True)
class Curve:
    """One line of a plot."""

    name: str
    points: Sequence[tuple[float, float]]  # step, value
    colour: str  # name of a CSS variable without its dashes
    is_faint: bool = False  # drawn behind the others


def plot(curves: Sequence[Curve], words: str, *, from_zero: bool = False, is_small: bool = False) -> str:
    """Curves over the same steps; `words` says them to those who cannot see them. Nothing without two steps."""
    places = [point for curve in curves for point in curve.points]
    steps, values = [x for x, _ in places], [y for _, y in places]
    if not places or min(steps) == max(steps):
        return ""
    low, high = (0.0 if from_zero else min(values)), max(values)
    pad = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    width, height = _SMALL if is_small else _WIDE
    frame = _Frame(min(steps), max(steps), low if from_zero else low - pad, high + pad, width, height)
    drawn = "".join(_line(curve, frame) for curve in sorted(curves, key=lambda curve: not curve.is_faint))
    return (
        f'<svg class="curves" viewBox="0 {-_TOP} {width} {height + _TOP + _BOTTOM}" role="img" '
        f'aria-label="{escape(words, quote=True)}">{_axes(frame)}{drawn}</svg>'
    )


def smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A running mean over about a twentieth of the points."""
    reach = max(1, len(points) // 40)
    values = [value for _, value in points]
    found = []
    for index, (step, _) in enumerate(points):
        near = values[max(0, index - reach) : index + reach + 1]
        found.append((step, sum(near) / len(near)))
    return found


@dataclass(frozen=True)
class _Frame:
    first: float
    last: float
    low: float
    high: float
    width: int
    height: int

    def x(self, step: float) -> float:
        return _LEFT + (self.width - _LEFT - 4) * (step - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        return self.height * (1 - (value - self.low) / (self.high - self.low))


def _line(curve: Curve, frame: _Frame) -> str:
    stride = max(1, len(curve.points) // _MOST_POINTS)
    shown = [*curve.points[:-1:stride], curve.points[-1]] if curve.points else []
    path = " ".join(f"{frame.x(step):.1f},{frame.y(value):.1f}" for step, value in shown)
    kind = "faint" if curve.is_faint else "line"
    last = f"{curve.name}: {shown[-1][1]:,.4g} at step {shown[-1][0]:,.0f}" if shown else curve.name
    return (
        f'<polyline class="{kind}" points="{path}" style="stroke:var(--{curve.colour})">'
        f"<title>{escape(last)}</title></polyline>"
    )


def _axes(frame: _Frame) -> str:
    drawn = []
    for value in ticks(frame.low, frame.high):
        y = frame.y(value)
        drawn.append(f'<path class="axis" d="M{_LEFT} {y:.1f}H{frame.width}"/>')
        drawn.append(f'<text x="{_LEFT - 6}" y="{max(12.0, y + 4):.1f}" text-anchor="end">{_short(value)}</text>')
    for step in ticks(frame.first, frame.last):
        x = frame.x(step)
        anchor = "start" if x < _LEFT + 12 else "end" if x > frame.width - 20 else "middle"
        drawn.append(f'<text x="{x:.1f}" y="{frame.height + 20}" text-anchor="{anchor}">{_short(step)}</text>')
    return "".join(drawn)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):,.4g}{letter}"
    return f"{value:,.4g}"
