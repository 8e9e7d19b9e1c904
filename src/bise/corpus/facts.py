"""What the manifest of a run says in numbers, counted from what the run wrote."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from bise.corpus.output import STATISTICS_FOLDER
from bise.corpus.recipe import CurateRecipe
from bise.corpus.units import Unit
from bise.corpus.work import WorkDirectory

_BAD_SHOWN = 20  # the count is of all


def corpus_facts(directory: Path, recipe: CurateRecipe) -> dict[str, Any]:
    """Counts by reason, language and source, with each source's licence and origin."""
    seen = ds.dataset(directory / STATISTICS_FOLDER).to_table(columns=["source", "lang", "reason", "bytes", "copies"])
    counted = seen.group_by(["source", "lang", "reason"]).aggregate(
        [("bytes", "count"), ("bytes", "sum"), ("copies", "sum")]
    )
    rows = counted.to_pylist()
    kept = [row for row in rows if not row["reason"]]
    dropped = [row for row in rows if row["reason"]]
    by_source, by_language = _sums(kept, "source"), _sums(kept, "lang")
    sources = {
        source.name: {
            **by_source.get(source.name, {"documents": 0, "bytes": 0}),
            "dropped": sum(row["bytes_count"] for row in dropped if row["source"] == source.name),
            "licence": source.licence,
            "repository": source.repository,
            "commit": source.commit,
        }
        for source in recipe.sources.list
    }
    reasons = Counter[str]()
    for row in dropped:
        reasons[row["reason"]] += row["bytes_count"]
    return {
        "read": seen.num_rows,
        "read_bytes": sum(row["bytes_sum"] for row in rows),
        "kept": sum(row["bytes_count"] for row in kept),
        "kept_bytes": sum(row["bytes_sum"] for row in kept),
        "written": sum(row["copies_sum"] for row in kept),  # with repeats
        "dropped": dict(sorted(reasons.items())),
        "languages": by_language,
        "sources": sources,
    }


def _sums(rows: Sequence[dict[str, Any]], key: str) -> dict[str, dict[str, int]]:
    """Documents and bytes of text by source or language."""
    result: dict[str, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: row[key]):
        entry = result.setdefault(row[key], {"documents": 0, "bytes": 0})
        entry["documents"] += row["bytes_count"]
        entry["bytes"] += row["bytes_sum"]
    return result


def reading_facts(units: Sequence[Unit], work: WorkDirectory, decisions: str) -> dict[str, Any]:
    """What was malformed, and how much time and memory the steps took."""
    noted = [facts for unit in units if (facts := work.facts(unit.key))]
    seconds = Counter[str]()
    for facts in noted:
        seconds.update(facts["seconds"])
    num_bytes, total = sum(facts["bytes"] for facts in noted), sum(seconds.values())
    return {
        "bad_lines": sum(facts["bad"] for facts in noted),
        "bad_line_examples": [example for facts in noted for example in facts["bad_examples"]][:_BAD_SHOWN],
        "measured": {
            "processor_seconds": {step: round(value, 3) for step, value in seconds.items()},
            "text_mb_per_processor_second": round(num_bytes / 1e6 / total, 2) if total else None,
            **(work.facts(decisions) or {}),
        },
    }
