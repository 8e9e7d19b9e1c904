"""Figures with their intervals on one scale, one below the other, beside a line that stands for no difference.

What statisticians call a forest plot. Colours are CSS variables of the page; every text is escaped here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bise.corpus.svg import ticks

_WIDTH, _LEFT, _RIGHT, _ROW, _AXIS = 640, 170, 92, 22, 24
_LONGEST_NAME = 26


@dataclass(frozen=True)
class Row:
    """One figure."""

    name: str
    value: float
    low: float
    high: float
    told: str  # the figure in words, beside its bar
    colour: str  # name of a CSS variable without its dashes


def interval_plot(rows: Sequence[Row], line: float, words: str) -> str:
    """Draw figures around `line`, the value of no difference; `words` says them to those who cannot see them."""
    ends = [line, *(end for row in rows for end in (row.low, row.high))]
    pad = 0.06 * (max(ends) - min(ends)) or 0.01
    low, high = min(ends) - pad, max(ends) + pad
    bottom = _ROW * len(rows)

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / (high - low)

    drawn = []
    for tick in ticks(low, high):
        drawn.append(f'<path class="axis" d="M{x(tick):.1f} 0V{bottom}"/>')
        drawn.append(f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:,.4g}</text>')
    drawn.append(f'<path class="same" d="M{x(line):.1f} -4V{bottom + 2}"/>')
    for index, row in enumerate(rows):
        y = _ROW * (index + 0.5)
        name = row.name if len(row.name) <= _LONGEST_NAME else row.name[: _LONGEST_NAME - 1] + "…"
        drawn.append(f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        drawn.append(
            f'<g style="color:var(--{row.colour})"><title>{escape(f"{row.name}: {row.told}")}</title>'
            f'<path class="interval" d="M{x(row.low):.1f} {y:.1f}H{x(row.high):.1f}"/>'
            f'<circle cx="{x(row.value):.1f}" cy="{y:.1f}" r="4"/></g>'
        )
        drawn.append(f'<text x="{_WIDTH}" y="{y + 4:.1f}" text-anchor="end">{escape(row.told)}</text>')
    return (
        f'<svg class="intervals" viewBox="0 -6 {_WIDTH} {bottom + _AXIS + 6}" role="img" '
        f'aria-label="{escape(words, quote=True)}">{"".join(drawn)}</svg>'
    )
