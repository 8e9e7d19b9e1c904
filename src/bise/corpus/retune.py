"""Try other thresholds on the statistics of a finished run, without reading any text.

Only what the rules decide can be tried: documents that later steps dropped count as having passed the rules.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from bise.corpus.rules import REASONS, Rules, judge
from bise.corpus.seen import Run
from bise.corpus.statistics import NAMES, Statistics

_ROWS_AT_ONCE = 1 << 16
_BEFORE_RULES = "min_contradiction"  # given before the rules are asked: what they say changes nothing


@dataclass(frozen=True)
class Change:
    """What other thresholds would do to the documents of one language."""

    lang: str
    reason: str  # that drops them now, or would
    newly_dropped: int
    newly_kept: int


def retune(run: Run, rules: Rules) -> list[Change]:
    """Compare a run's decisions with those of other rules, by language and reason."""
    dropped, kept = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for batch in run.batches(*("lang", "reason", "confidence"), *NAMES, num_rows=_ROWS_AT_ONCE):
        matrix = np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in NAMES])
        langs = batch.column("lang").to_pylist()
        confidences = batch.column("confidence").to_numpy(zero_copy_only=False)
        decisions = judge(Statistics(matrix), langs, rules, confidences)
        for lang, before, code in zip(
            langs, batch.column("reason").to_pylist(), decisions.reason.tolist(), strict=True
        ):
            if code >= 0 and before not in (*REASONS, _BEFORE_RULES):
                dropped[lang, REASONS[code]] += 1
            if code < 0 and before in REASONS:
                kept[lang, before] += 1
    return [
        Change(lang, reason, dropped[lang, reason], kept[lang, reason])
        for lang, reason in sorted(set(dropped) | set(kept))
    ]
