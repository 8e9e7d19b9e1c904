"""Small plots as SVG text, for pages that load nothing: bars in parts, and distributions with thresholds.

Colours are CSS variables of the page, so that a plot follows its light and dark style. Every text is escaped here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH = 320
_PLOT_HEIGHT = 96
_AXIS_HEIGHT = 16
_BINS = 40
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Part:
    """One part of a bar."""

    name: str
    value: float
    colour: str  # name of a CSS variable without its dashes


def bar(parts: Sequence[Part], total: float, words: str) -> str:
    """A bar cut into parts, as long as their share of the total; `words` says it to those who cannot see it."""
    drawn, left = [], 0.0
    for part in parts:
        width = 100 * part.value / total if total else 0.0
        if width:
            drawn.append(
                f'<rect x="{left:.3f}%" width="{width:.3f}%" height="100%" fill="var(--{part.colour})">'
                f"<title>{escape(part.name)}: {part.value:,.0f}</title></rect>"
            )
        left += width
    return f'<svg class="bar" role="img" aria-label="{escape(words, quote=True)}">{"".join(drawn)}</svg>'


@dataclass(frozen=True)
class Threshold:
    """A value below or above which documents are dropped."""

    value: float
    side: str  # "min" or "max"


def distribution(
    kept: NDArray[np.float64], dropped: NDArray[np.float64], thresholds: Sequence[Threshold], words: str
) -> str:
    """How often each value occurs, kept over dropped, with a line at each threshold.

    The scale reaches from the 0.5th to the 99.5th percentile and all thresholds; what lies outside is in the outermost
    bins. Frequencies are drawn by their square roots, so that rare values are seen beside frequent ones.
    """
    everything = np.concatenate([kept, dropped])
    if not len(everything):
        return ""
    marks = [threshold.value for threshold in thresholds]
    low, high = (float(value) for value in np.percentile(everything, [0.5, 99.5]))
    low, high = min([low, *marks]), max([high, *marks])
    pad = 0.04 * (high - low) or 1.0
    edges = np.linspace(low - (pad if low else 0.0), high + pad, _BINS + 1)
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in (kept, dropped)]
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_PLOT_HEIGHT + _AXIS_HEIGHT}" role="img" '
        f'aria-label="{escape(words, quote=True)}">'
        f"{_columns(counts[0], counts[1])}{_lines(thresholds, edges)}{_axis(edges)}</svg>"
    )


def _columns(kept: NDArray[np.int64], dropped: NDArray[np.int64]) -> str:
    tallest = max(1.0, float(np.sqrt(kept + dropped).max()))
    width = _WIDTH / len(kept)
    drawn = []
    for index, (good, bad) in enumerate(zip(kept.tolist(), dropped.tolist(), strict=True)):
        if not good + bad:
            continue
        height = _PLOT_HEIGHT * (good + bad) ** 0.5 / tallest
        good_height = height * good / (good + bad)
        left, top = index * width, _PLOT_HEIGHT - height
        title = f"<title>{good:,} kept, {bad:,} dropped</title>"
        drawn.append(f"<g>{title}{_block(left, top, width, height - good_height, 'dropped')}")
        drawn.append(f"{_block(left, _PLOT_HEIGHT - good_height, width, good_height, 'kept')}</g>")
    return "".join(drawn)


def _block(left: float, top: float, width: float, height: float, colour: str) -> str:
    if height <= 0:
        return ""
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(0.5, width - 0.7):.1f}" height="{height:.1f}" '
        f'fill="var(--{colour})"/>'
    )


def _lines(thresholds: Sequence[Threshold], edges: NDArray[np.float64]) -> str:
    drawn = []
    for threshold in thresholds:
        x = _place(threshold.value, edges)
        away = -7 if threshold.side == "min" else 7  # a flag towards what is dropped
        drawn.append(
            f'<path class="threshold" d="M{x:.1f} {_PLOT_HEIGHT}V0l{away} 4l{-away} 4">'
            f"<title>{escape(threshold.side)} {threshold.value:g}</title></path>"
        )
    return "".join(drawn)


def _axis(edges: NDArray[np.float64]) -> str:
    drawn = [f'<path class="axis" d="M0 {_PLOT_HEIGHT}H{_WIDTH}"/>']
    for tick in ticks(float(edges[0]), float(edges[-1])):
        x = _place(tick, edges)
        anchor = "start" if x < 12 else "end" if x > _WIDTH - 12 else "middle"
        drawn.append(f'<text x="{x:.1f}" y="{_PLOT_HEIGHT + 13}" text-anchor="{anchor}">{tick:,.10g}</text>')
    return "".join(drawn)


def _place(value: float, edges: NDArray[np.float64]) -> float:
    return float(_WIDTH * (value - edges[0]) / (edges[-1] - edges[0]))


def ticks(low: float, high: float) -> list[float]:
    """At most six round numbers between two."""
    decade = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(decade * factor for factor in _ROUND if (high - low) / (decade * factor) <= 5)
    return [round(index * step, 12) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
