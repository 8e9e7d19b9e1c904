"""Which of the documents that are good alone are kept together: no repetitions, then the mix that was asked for.

Works on columns over all documents that passed, in reading order, so it can be done again without reading any text.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.corpus.duplicates import find_near_duplicates, shingles
from bise.corpus.fingerprints import Known
from bise.corpus.mix import choose_copies, within_caps
from bise.corpus.recipe import CurateRecipe
from bise.corpus.survivors import Decisions, Survivors
from bise.corpus.texts import pack


def compare(
    survivors: Survivors, known: Known, recipe: CurateRecipe, advance: Callable[[float], None]
) -> tuple[Decisions, dict[str, Any]]:
    """Decide which documents repeat others; also tell what that took. `advance` is told the share that is done.

    Twins are numbers of survivors or, from there on, of documents of earlier runs.
    """
    decisions, measured = Decisions(len(survivors)), dict[str, Any]()
    _drop_repeated_ids(survivors, decisions)
    if recipe.duplicates.exact:
        _drop_exact(survivors, known, decisions)
    if recipe.duplicates.near:
        measured |= _drop_near(survivors, known, decisions, recipe.duplicates.min_similarity, advance)
    return decisions, measured


def limit(survivors: Survivors, decisions: Decisions, cut_bytes: NDArray[np.int64], recipe: CurateRecipe) -> None:
    """Drop documents of which too much was cut, and decide how often each of the others is written."""
    decisions.cut_bytes = cut_bytes
    shares = cut_bytes / np.maximum(survivors.size_bytes, 1)
    rows = np.flatnonzero(decisions.kept & (shares > recipe.duplicates.max_cut))
    decisions.drop(rows, "max_cut", shares[rows], recipe.duplicates.max_cut)
    survivors = replace(survivors, size_bytes=survivors.size_bytes - cut_bytes)
    for source in recipe.sources.list:
        if source.max_bytes is not None:
            within_caps(survivors, decisions, source, recipe.seed)
    choose_copies(survivors, decisions, recipe.mix, recipe.seed)


def _drop_repeated_ids(survivors: Survivors, decisions: Decisions) -> None:
    """An id names one document of a run: the first that has it."""
    codes = survivors.ids.combine_chunks().dictionary_encode().indices.to_numpy()
    rows, first = _later_ones(codes)
    decisions.drop(rows, "repeated_id", 1.0, 0.0)
    decisions.twin[rows] = first


def _drop_exact(survivors: Survivors, known: Known, decisions: Decisions) -> None:
    kept = np.flatnonzero(decisions.kept)
    numbers = np.concatenate([len(survivors) + np.arange(len(known)), kept])  # earlier runs come first
    digests = np.concatenate([known.digests, survivors.digests[kept]])
    _, codes = np.unique(digests, axis=0, return_inverse=True)
    rows, first = _later_ones(codes.reshape(-1))
    rows, first = numbers[rows[rows >= len(known)]], numbers[first[rows >= len(known)]]
    decisions.drop(rows, "exact_duplicate", 1.0, 1.0)
    decisions.twin[rows] = first
    decisions.similarity[rows] = 1.0
    here = first < len(survivors)
    decisions.cluster[rows[here]] = decisions.cluster[first[here]] = first[here]


def _drop_near(
    survivors: Survivors,
    known: Known,
    decisions: Decisions,
    min_similarity: float,
    advance: Callable[[float], None],
) -> dict[str, Any]:
    """Drop near copies of an earlier document; candidates alone are read again, to compare them exactly."""
    kept = np.flatnonzero(decisions.kept)
    numbers = np.concatenate([len(survivors) + np.arange(len(known)), kept])  # earlier runs come first

    def read_shingles(documents: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        earlier = np.searchsorted(documents, len(known))
        hashes, sizes = [np.empty(0, np.uint64)], [np.zeros(1, np.int64)]
        texts = itertools.chain([known.texts(documents[:earlier])], survivors.texts(numbers[documents[earlier:]]))
        for some in texts:
            found, offsets = shingles(*pack(some))
            hashes.append(found)
            sizes.append(np.diff(offsets))
        return np.concatenate(hashes), np.cumsum(np.concatenate(sizes))

    bands = np.concatenate([known.bands, survivors.bands[kept]])
    found = find_near_duplicates(bands, read_shingles, min_similarity, advance=advance)
    rows = np.flatnonzero(found.removed)
    rows = rows[rows >= len(known)]
    decisions.drop(numbers[rows], "near_duplicate", found.similarity[rows], min_similarity)
    decisions.twin[numbers[rows]] = numbers[found.keeper[rows]]
    decisions.similarity[numbers[rows]] = found.similarity[rows]
    _join_clusters(decisions, numbers, found.cluster, len(known))
    return {
        "near_duplicate_candidates": found.num_candidates,
        "near_duplicate_comparisons": found.num_compared,
        "near_duplicate_peak_mb": round(found.peak_bytes / 1e6, 1),
        "near_duplicate_mb_per_million_documents": round(found.peak_bytes / max(1, len(numbers)), 1),
    }


def _join_clusters(
    decisions: Decisions, numbers: NDArray[np.int64], cluster: NDArray[np.int64], num_known: int
) -> None:
    """Number the clusters of near copies; an exact copy of a near copy belongs to it, and has the same kept twin."""
    members = num_known + np.flatnonzero(cluster[num_known:] >= 0)
    decisions.cluster[numbers[members]] = numbers[cluster[members]]
    copies = np.flatnonzero(decisions.is_for("exact_duplicate") & (decisions.twin < len(decisions.twin)))
    first = decisions.twin[copies]
    decisions.cluster[copies] = decisions.cluster[first]
    moved = decisions.twin[first] >= 0
    decisions.similarity[copies[moved]] = decisions.similarity[first[moved]]
    decisions.twin[copies[moved]] = decisions.twin[first[moved]]


def _later_ones(codes: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows whose code an earlier row has, and for each of them the first row that has it."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    firsts = first[inverse]
    rows = np.flatnonzero(firsts < np.arange(len(codes)))
    return rows, firsts[rows]
