"""Which of the documents that are good alone are kept together: no repetitions, then the mix that was asked for.

Works on columns over all documents that passed, in reading order, so it can be done again without reading any text.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.corpus.mix import choose_copies, within_caps
from bise.corpus.recipe import CurateRecipe
from bise.corpus.survivors import Decisions, Survivors


def select(survivors: Survivors, recipe: CurateRecipe) -> Decisions:
    """Decide which documents are kept, and how often each is written."""
    decisions = Decisions(len(survivors))
    _drop_repeated_ids(survivors, decisions)
    if recipe.duplicates.exact:
        _drop_exact(survivors, decisions)
    for source in recipe.sources.list:
        if source.max_bytes is not None:
            within_caps(survivors, decisions, source, recipe.seed)
    choose_copies(survivors, decisions, recipe.mix, recipe.seed)
    return decisions


def _drop_repeated_ids(survivors: Survivors, decisions: Decisions) -> None:
    """An id names one document of a run: the first that has it."""
    codes = survivors.ids.combine_chunks().dictionary_encode().indices.to_numpy()
    rows, first = _later_ones(codes)
    decisions.drop(rows, "repeated_id", 1.0, 0.0)
    decisions.twin[rows] = first


def _drop_exact(survivors: Survivors, decisions: Decisions) -> None:
    kept = np.flatnonzero(decisions.kept)
    _, codes = np.unique(survivors.digests[kept], axis=0, return_inverse=True)
    rows, first = _later_ones(codes.reshape(-1))
    rows, first = kept[rows], kept[first]
    decisions.drop(rows, "exact_duplicate", 1.0, 1.0)
    decisions.twin[rows] = first
    decisions.similarity[rows] = 1.0
    decisions.cluster[rows] = decisions.cluster[first] = first


def _later_ones(codes: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows whose code an earlier row has, and for each of them the first row that has it."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    firsts = first[inverse]
    rows = np.flatnonzero(firsts < np.arange(len(codes)))
    return rows, firsts[rows]
