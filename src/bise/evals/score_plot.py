"""Scores as points with their 95 % intervals, models above each other within a task, and a tick where guessing stands.

Colours are CSS variables of the page. Every text is escaped here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bise.corpus.svg import ticks

_WIDTH, _LEFT, _RIGHT = 640, 150, 16
_ROW, _GAP, _AXIS = 15, 11, 24  # heights: of a point, between tasks, and of the axis
_LONGEST_NAME = 22


@dataclass(frozen=True)
class Point:
    """One model's score on one task."""

    model: str
    value: float
    reach: float  # half of the interval
    colour: str  # name of a CSS variable without its dashes


@dataclass(frozen=True)
class PointRow:
    """One task."""

    name: str
    points: Sequence[Point]
    chance: float | None = None


def score_plot(rows: Sequence[PointRow], words: str, *, unit: str = "") -> str:
    """Draw tasks on one scale that begins at zero; `words` says it to those who cannot see it."""
    high = max(point.value + point.reach for row in rows for point in row.points) or 1.0
    drawn, top = [], 0.0
    for row in rows:
        drawn.append(_row(row, top, high, unit))
        top += _ROW * len(row.points) + _GAP
    return (
        f'<svg class="scores" viewBox="0 0 {_WIDTH} {top + _AXIS:.0f}" role="img" '
        f'aria-label="{escape(words, quote=True)}">{_axis(high, top, unit)}{"".join(drawn)}</svg>'
    )


def _x(value: float, high: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(value, 0.0), high) / high


def _row(row: PointRow, top: float, high: float, unit: str) -> str:
    height = _ROW * len(row.points)
    name = row.name if len(row.name) <= _LONGEST_NAME else row.name[: _LONGEST_NAME - 1] + "…"
    drawn = [f'<text x="{_LEFT - 10}" y="{top + height / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>']
    if row.chance is not None:
        x = _x(row.chance, high)
        drawn.append(
            f'<path class="chance" d="M{x:.1f} {top - 2:.1f}v{height + 4}"><title>guessing: {row.chance:.3g}</title></path>'
        )
    for index, point in enumerate(row.points):
        y = top + _ROW * (index + 0.5)
        low, stop = _x(point.value - point.reach, high), _x(point.value + point.reach, high)
        told = f"{point.model}: {point.value:.3f} ± {point.reach:.3f}{unit}"
        drawn.append(
            f'<g style="color:var(--{point.colour})"><title>{escape(told)}</title>'
            f'<path class="interval" d="M{low:.1f} {y:.1f}H{stop:.1f}"/>'
            f'<circle cx="{_x(point.value, high):.1f}" cy="{y:.1f}" r="4"/></g>'
        )
    return "".join(drawn)


def _axis(high: float, bottom: float, unit: str) -> str:
    drawn = []
    for tick in ticks(0.0, high):
        x = _x(tick, high)
        drawn.append(f'<path class="axis" d="M{x:.1f} 0V{bottom:.1f}"/>')
        drawn.append(f'<text x="{x:.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{tick:,.4g}{escape(unit)}</text>')
    return "".join(drawn)
