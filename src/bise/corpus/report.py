"""The report of a run: one HTML page that loads nothing, with what was dropped where, distributions, and samples.

Texts of the corpus are strangers' texts, and are escaped.
"""

import itertools
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.corpus.explain import in_digits
from bise.corpus.rules import BOUNDS
from bise.corpus.seen import Run
from bise.corpus.statistics import STATISTICS
from bise.corpus.svg import Part, Threshold, bar, distribution
from bise.page import legend, page, tiles

_GROUPS: Mapping[str, tuple[str, ...]] = {  # colour -> reasons that share it
    "language": ("languages", "min_language_confidence", "min_contradiction"),
    "quality": ("min_score", *(bound.rule for bound in BOUNDS if bound.family != "gopher_repetition")),
    "repetition": tuple(bound.rule for bound in BOUNDS if bound.family == "gopher_repetition"),
    "duplicates": ("repeated_id", "exact_duplicate", "near_duplicate", "max_cut"),
    "lists": (),  # blocklists, word lists, contamination
    "mix": ("max_bytes", "mix"),
}
_COLOURS = {reason: colour for colour, reasons in _GROUPS.items() for reason in reasons}
_NAMES = {
    "language": "other language",
    "quality": "quality rules",
    "repetition": "repeats itself",
    "duplicates": "repeats another",
    "lists": "lists and tests",
    "mix": "not in the mix",
}
_SAMPLES = 4  # of each reason, and of each language's kept documents


def write_report(run: Run, path: Path) -> None:
    """Write the report of a finished run."""
    path.write_text(report(run), encoding="utf-8")


def report(run: Run) -> str:
    """The page as HTML."""
    reasons = run.words("reason")
    sections = (
        _head(run),
        _where(run, reasons, "lang", "By language"),
        _where(run, reasons, "source", "By source"),
        _reasons(reasons),
        _distributions(run, reasons),
        _clusters(run),
        _samples(run, reasons),
    )
    return page(f"Curation: {run.manifest.name}", sections)


def _head(run: Run) -> str:
    facts = run.manifest.facts
    shown = [
        (f"{facts['read']:,}", "documents seen"),
        (f"{facts['kept']:,}", "kept"),
        (_megabytes(facts["read_bytes"]), "of text seen"),
        (_megabytes(facts["kept_bytes"]), "of text kept"),
        (f"{len(facts['sources']):,}", "sources"),  # type: ignore[arg-type]
        (f"{facts['bad_lines']:,}", "malformed records"),
    ]
    made = f"Made {escape(run.manifest.created[:10])} with Bise {escape(run.manifest.bise_version)}."
    return f'<h1>Curation: {escape(run.manifest.name)}</h1><p class="quiet">{made}</p>{tiles(shown)}'


def _megabytes(size: object) -> str:
    assert isinstance(size, int)
    return f"{size / 1e6:,.1f} MB"


def _colour(reason: str) -> str:
    return _COLOURS.get(reason, "lists") if reason else "kept"


def _legend() -> str:
    return legend({"kept": "kept", **_NAMES}.items())


def _where(run: Run, reasons: NDArray[np.object_], column: str, title: str) -> str:
    """A bar for each language or source: what became of its documents."""
    values = run.words(column)
    counted = {name: _count_colours(reasons[values == name]) for name in sorted(set(values))}
    rows = []
    for name, parts in sorted(counted.items(), key=lambda item: -sum(part.value for part in item[1])):
        total = sum(part.value for part in parts)
        kept = sum(part.value for part in parts if part.colour == "kept")
        words = f"{name or 'unknown'}: {kept:,.0f} of {total:,.0f} documents kept"
        rows.append(_row(name or "unknown", bar(parts, total, words), f"{kept:,.0f} of {total:,.0f}"))
    return f'<h2>{title}</h2>{_legend()}<div class="rows">{"".join(rows)}</div>'


def _row(name: str, drawn: str, number: str) -> str:
    return f'<div class="row"><span>{escape(name)}</span>{drawn}<span class="number">{number}</span></div>'


def _count_colours(reasons: NDArray[np.object_]) -> list[Part]:
    counts = dict.fromkeys(("kept", *_NAMES), 0)
    for reason, count in zip(*np.unique(reasons, return_counts=True), strict=True):
        counts[_colour(reason)] += int(count)
    return [Part(_NAMES.get(colour, "kept"), count, colour) for colour, count in counts.items()]


def _reasons(reasons: NDArray[np.object_]) -> str:
    names, counts = np.unique(reasons[reasons != ""], return_counts=True)
    if not len(names):
        return "<h2>By reason</h2><p>Nothing was dropped.</p>"
    rows = []
    for index in np.argsort(-counts, kind="stable"):
        name, count = str(names[index]), int(counts[index])
        words = f"{name}: {count:,} documents"
        rows.append(_row(name, bar([Part(name, count, _colour(name))], counts.max(), words), f"{count:,}"))
    words = "Each is the key of the recipe that dropped the documents; the first one that fails is given."
    return f'<h2>By reason</h2><p class="quiet">{words}</p><div class="rows">{"".join(rows)}</div>'


def _distributions(run: Run, reasons: NDArray[np.object_]) -> str:
    cards = []
    meanings = {statistic.name: statistic.meaning for statistic in STATISTICS}
    for name in dict.fromkeys(bound.statistic for bound in BOUNDS if bound.family in run.rules.families):
        values = run.values(name).astype(np.float64)
        known = ~np.isnan(values)
        bounds = [bound for bound in BOUNDS if bound.statistic == name and bound.family in run.rules.families]
        thresholds = [
            Threshold(float(getattr(run.rules, bound.rule)), "min" if bound.is_minimum else "max") for bound in bounds
        ]
        shown = [threshold for threshold in thresholds if _matters(threshold, values[known])]
        dropped = sum(int((reasons == bound.rule).sum()) for bound in bounds)
        limits = ", ".join(f"{threshold.side} {threshold.value:g}" for threshold in thresholds)
        plot = distribution(
            values[known & (reasons == "")], values[known & (reasons != "")], shown, f"{name}; {limits}"
        )
        cards.append(
            f'<div class="card"><h3>{escape(name)}</h3><p class="quiet">{escape(meanings[name])}; {escape(limits)}; '
            f"dropped {dropped:,}</p>{plot}</div>"
        )
    words = (
        "Every document seen, kept ones below, dropped ones above them, for whatever reason. The line is the threshold "
        "and points to what it drops; a language may have one of its own. Heights are square roots of numbers."
    )
    return f'<h2>Statistics and thresholds</h2><p class="quiet">{words}</p><div class="grid">{"".join(cards)}</div>'


def _matters(threshold: Threshold, values: NDArray[np.float64]) -> bool:
    """Whether a threshold is near the values: one that is far away would squeeze them into a corner."""
    if not len(values):
        return False
    low, high = np.percentile(values, [0.5, 99.5])
    return bool(low - 3 * (high - low) <= threshold.value <= high + 3 * (high - low))


def _clusters(run: Run) -> str:
    numbers = run.values("cluster").astype(np.float64)
    _, sizes = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    title = "<h2>Documents that repeat each other</h2>"
    if not len(sizes):
        return f"{title}<p>None.</p>"
    rows = []
    edges = [2, 3, 4, 6, 11, 101, 1 << 62]
    counts = [int(((sizes >= low) & (sizes < high)).sum()) for low, high in itertools.pairwise(edges)]
    for (low, high), count in zip(itertools.pairwise(edges), counts, strict=True):
        name = f"{low}" if high == low + 1 else f"{low} to {high - 1}" if high < 1 << 62 else f"over {low - 1}"
        drawn = bar([Part(name, count, "duplicates")], max(counts), f"{count:,} clusters of {name} documents")
        rows.append(_row(f"{name} documents", drawn, f"{count:,}"))
    words = f"{len(sizes):,} clusters; one document of each is kept. The largest has {int(sizes.max()):,}."
    return f'{title}<p class="quiet">{words}</p><div class="rows">{"".join(rows)}</div>'


def _samples(run: Run, reasons: NDArray[np.object_]) -> str:
    langs = run.words("lang")
    kept = {f"kept, {lang or 'unknown'}": (reasons == "") & (langs == lang) for lang in sorted(set(langs))}
    dropped = {f"dropped, {reason}": reasons == reason for reason in sorted(set(reasons) - {""})}
    ids = run.words("id")
    chosen = {title: ids[_spread(np.flatnonzero(mask))] for title, mask in (kept | dropped).items() if mask.any()}
    rows = {row["id"]: row for row in run.rows(*(name for group in chosen.values() for name in group))}
    groups = [
        f"<details><summary>{escape(title)}</summary>{''.join(_sample(rows[name]) for name in group)}</details>"
        for title, group in chosen.items()
    ]
    return f"<h2>Samples</h2>{''.join(groups)}"


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A few rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLES, len(rows))).astype(np.int64))]


def _sample(row: Mapping[str, Any]) -> str:
    value, threshold = row["value"], row["threshold"]
    numbers = (
        f", {in_digits(value)} against {in_digits(threshold)}" if value is not None and threshold is not None else ""
    )
    twin = f", twin {escape(str(row['twin']))}" if row["twin"] else ""
    return (
        f'<div class="sample"><code>{escape(str(row["id"]))}{numbers}{twin}</code>'
        f"<p>{escape(str(row['beginning'])) or '<span class=quiet>no beginning was kept</span>'}</p></div>"
    )
