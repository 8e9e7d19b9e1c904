"""One document's story: where it came from, what each step measured, and why it was kept or dropped."""

from dataclasses import dataclass
from typing import Any

from bise.corpus.rules import BOUNDS, thresholds_for
from bise.corpus.seen import Run

_SCORES = {"quality": "quality", "listed_words": "listed"}  # columns, and what a story calls them


@dataclass(frozen=True)
class Check:
    """One rule applied to a document."""

    rule: str  # the key in the recipe
    value: float
    threshold: float
    passed: bool


@dataclass(frozen=True)
class Story:
    """All that a run knows of one document."""

    row: dict[str, Any]
    checks: tuple[Check, ...]  # every rule that applied, in their order; the row says which dropped it
    twin: dict[str, Any] | None  # the row of the kept document that it repeats
    cluster: tuple[str, ...]  # ids of all documents that repeat each other with it

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "document": self.row,
            "checks": [vars(check) for check in self.checks],
            "twin": self.twin,
            "cluster": list(self.cluster),
        }


def explain(run: Run, document_id: str) -> Story:
    """Tell one document's story.

    Raises:
        NotFoundError: the run has seen no such document.
    """
    row = run.document(document_id)
    twin = _twin(run, row["twin"]) if row["twin"] else None
    return Story(row, tuple(_checks(run, row)), twin, tuple(_cluster(run, row)))


def _twin(run: Run, name: str) -> dict[str, Any]:
    """The row of a kept twin, in this run or in an earlier one that it was compared with."""
    root = run.directory.resolve().parent.parent
    earlier = [Run(root / parent.name) for parent in run.manifest.inputs if parent.kind == "run"]
    rows = [row for place in (run, *earlier) for row in place.rows(name) if not row["reason"]]
    return rows[0] if rows else run.document(name)


def _checks(run: Run, row: dict[str, Any]) -> list[Check]:
    checks = []
    for bound, threshold in zip(BOUNDS, thresholds_for(run.rules, row["lang"]), strict=True):
        value = row[bound.statistic]
        if value is not None and value == value and threshold == threshold:  # neither is NaN
            failed = value < threshold if bound.is_minimum else value > threshold
            checks.append(Check(bound.rule, value, threshold, not failed))
    return checks


def _cluster(run: Run, row: dict[str, Any]) -> list[str]:
    if row["cluster"] is None:
        return []
    ids: list[str] = run.words("id")[run.values("cluster") == row["cluster"]].tolist()
    return ids


def in_words(story: Story) -> str:
    """The story for a terminal."""
    row = story.row
    lines = [
        f"{row['id']}: {_fate(row)}",
        "",
        f"  from      {row['file']}, line {row['line']:,}, source {row['source']}",
        f"  language  {row['lang'] or 'unknown'}{_confidence(row)}",
        f"  text      {row['bytes']:,} bytes: {_beginning(row)}",
        *(f"  {words:<9} {row[name]:.4g}" for name, words in _SCORES.items() if row[name] is not None),
        *(f"  {name:<9} {_detail(value)}" for name, value in row["details"].items()),
    ]
    if row["cut_bytes"]:
        lines.append(f"  cut       {row['cut_bytes']:,} bytes that earlier documents have, too")
    if story.twin:
        lines += [
            f"  twin      {story.twin['id']}, {row['similarity']:.2f} alike: {_beginning(story.twin)}",
            f"            from {story.twin['file']}, line {story.twin['line']:,}",
        ]
    if story.cluster:
        lines.append(f"  cluster   {len(story.cluster):,} documents: {', '.join(story.cluster[:8])}")
    lines += ["", "  rule                                  value   threshold"]
    for check in story.checks:
        mark = " " if check.passed else "✗"
        lines.append(f"{mark} {check.rule:<34} {in_digits(check.value):>10}  {in_digits(check.threshold):>10}")
    return "\n".join(lines)


def in_digits(value: float) -> str:
    """Counts with all their digits, shares with four."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"


def _fate(row: dict[str, Any]) -> str:
    if not row["reason"]:
        return "kept" if row["copies"] == 1 else f"kept, written {row['copies']} times"
    numbers = "" if row["value"] is None else f" ({in_digits(row['value'])}, threshold {in_digits(row['threshold'])})"
    return f"dropped, {row['reason']}{numbers}"


def _confidence(row: dict[str, Any]) -> str:
    confidence = row["confidence"]
    return "" if confidence is None else f", confidence {confidence:.2f}"


def _beginning(row: dict[str, Any]) -> str:
    return " ".join(row["beginning"].split())[:160] or "(no beginning was kept)"


def _detail(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    if isinstance(value, list):
        return "; ".join(map(_detail, value))
    return str(value)
