"""Which documents repeat others: exact copies by digest, near copies by MinHash and exact comparison.

A signature (MinHash, Broder 1997, by fast similarity sketching, arXiv 1704.04370) of 120 hashes is cut into 20 bands of
6; documents with an equal band are candidates. At a Jaccard similarity s of their word 5-grams, a pair becomes one with probability 1 - (1 - s^6)^20: 0.998 at 0.8.
Candidates are then compared by the exact similarity of their shingles, so that no pair below the threshold counts as a
copy; that is what estimates from signatures get wrong. Sets of copies are the same for any order of the documents.
"""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bise.corpus import characters
from bise.corpus.texts import Data, Offsets, pack, read_only

BANDS, ROWS = 20, 6
NUM_HASHES = BANDS * ROWS
THRESHOLD = 0.75  # Jaccard similarity of near copies

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
ReadShingles = Callable[[Indices], tuple[Hashes, Offsets]]  # of documents in ascending order, as `shingles` gives them


def text_digests(data: Data, offsets: Offsets) -> Hashes:
    """128-bit digest of each text [n, 2], equal for texts that differ only in case, white space and composition.

    Texts are compared in canonical decomposition, case folded, with white space collapsed. The hash is fast and not
    meant to withstand somebody who builds collisions.
    """
    digests, unordered = _digests(data, offsets)
    for row in np.flatnonzero(unordered):
        text = data[offsets[row] : offsets[row + 1]].tobytes().decode("utf-8")
        digests[row] = _digests(*pack([unicodedata.normalize("NFD", text)]))[0][0]
    return digests


def _digests(data: Data, offsets: Offsets) -> tuple[Hashes, NDArray[np.bool_]]:
    from bise.corpus.kernels.digest import FOLDED_MORE, FOLDED_PER_BYTE, digest_batch

    digests = np.empty((len(offsets) - 1, 2), np.uint64)
    unordered = np.empty(len(digests), np.bool_)
    tables = characters.kinds(), *characters.folds(), characters.combining_classes()
    folded = np.empty(FOLDED_PER_BYTE * longest(offsets) + FOLDED_MORE, np.uint8)
    digest_batch(read_only(data), read_only(offsets), *tables, folded, digests, unordered)
    return digests, unordered


def signatures(data: Data, offsets: Offsets) -> NDArray[np.uint32]:
    """MinHash signature of the word 5-grams of each text [n, NUM_HASHES]; of all words where there are fewer."""
    from bise.corpus.kernels.minhash import sign_batch

    result = np.empty((len(offsets) - 1, NUM_HASHES), np.uint32)
    tables, rounds = (characters.kinds(), characters.letters()), np.empty(NUM_HASHES, np.int16)
    sign_batch(read_only(data), read_only(offsets), *tables, word_scratch(offsets), rounds, result)
    return result


def band_keys(signatures: NDArray[np.uint32]) -> Hashes:
    """A key for each band [n, BANDS]: all that finding candidates needs, a third of the signature's size."""
    from bise.corpus.kernels.minhash import band_batch

    keys = np.empty((len(signatures), BANDS), np.uint64)
    band_batch(signatures, ROWS, keys)
    return keys


def shingles(data: Data, offsets: Offsets) -> tuple[Hashes, Offsets]:
    """Hashes of the word 5-grams of each text, sorted, each once; and where each text's begin [n + 1]."""
    from bise.corpus.kernels.minhash import shingle_batch
    from bise.corpus.kernels.similar import drop_repeated

    hashes = np.empty(len(data) // 2 + len(offsets), np.uint64)
    starts, unique_starts = np.empty_like(offsets), np.empty_like(offsets)
    tables = characters.kinds(), characters.letters()
    shingle_batch(read_only(data), read_only(offsets), *tables, word_scratch(offsets), hashes, starts)
    for start, stop in pairwise(starts):
        hashes[start:stop].sort()
    drop_repeated(hashes, starts, unique_starts)
    return hashes[: unique_starts[-1]].copy(), unique_starts


def word_scratch(offsets: Offsets) -> tuple[Data, Hashes]:
    """Room to fold and to hash the words of any one text."""
    from bise.corpus.kernels.words import FOLDED_MORE, FOLDED_PER_BYTE

    capacity = longest(offsets)
    return np.empty(FOLDED_PER_BYTE * capacity + FOLDED_MORE, np.uint8), np.empty(capacity + 2, np.uint64)


def longest(offsets: Offsets) -> int:
    """Bytes of the longest text."""
    return int(np.diff(offsets).max(initial=0))


@dataclass(frozen=True)
class NearDuplicates:
    """Sets of documents that repeat each other, directly or through others."""

    cluster: Indices  # of each document the lowest one of its set, -1 if it repeats nothing [n]
    keeper: Indices  # of each document the one of its set to keep, -1 likewise [n]
    similarity: NDArray[np.float64]  # Jaccard, with the keeper; NaN likewise [n]
    num_candidates: int  # documents that share a band with another one
    num_compared: int  # pairs
    peak_bytes: int  # of arrays held at once, the band keys given included

    @property
    def removed(self) -> NDArray[np.bool_]:
        """Which documents repeat one that is kept."""
        removed: NDArray[np.bool_] = (self.keeper >= 0) & (self.keeper != np.arange(len(self.keeper)))
        return removed


def find_near_duplicates(
    keys: Hashes,
    read_shingles: ReadShingles,
    threshold: float = THRESHOLD,
    rank: NDArray[np.float64] | None = None,
    group_size: int = 20_000,
    advance: Callable[[float], None] = lambda _: None,
) -> NearDuplicates:
    """Find the sets of near copies, and which document of each to keep.

    Args:
        keys: band keys of every document [n, BANDS].
        read_shingles: gives the shingles of some documents, by ascending index, when candidates are compared.
        threshold: least Jaccard similarity of two copies.
        rank: the lowest is kept, and of equal ones the first document; all are equal when absent.
        group_size: candidates whose shingles are in memory together; a set of candidates is never divided.
        advance: told the share that is done, from 0 to 1.
    """
    from bise.corpus.kernels.similar import compare_pairs, settle

    num_documents = len(keys)
    loose = _candidate_sets(keys, advance)
    sizes = np.bincount(loose, minlength=num_documents)
    candidates = np.flatnonzero(sizes[loose] > 1)
    result = NearDuplicates(
        cluster=np.full(num_documents, -1, np.int64),
        keeper=np.full(num_documents, -1, np.int64),
        similarity=np.full(num_documents, np.nan),
        num_candidates=len(candidates),
        num_compared=0,
        peak_bytes=0,
    )
    compared, reached, peak = 0, 0, keys.nbytes + 8 * 4 * num_documents
    for documents in _groups(candidates, loose, group_size):
        hashes, offsets = read_shingles(documents)
        parents = np.arange(len(documents))
        compared += _join(keys[documents], hashes, offsets, threshold, parents)
        settle(parents)
        copies = np.flatnonzero(np.bincount(parents, minlength=len(parents))[parents] > 1)
        keepers = _keepers(parents, documents, rank)
        similarity = np.empty(len(copies))
        compare_pairs(copies, keepers[copies], hashes, offsets, similarity)
        result.cluster[documents[copies]] = documents[parents[copies]]
        result.keeper[documents[copies]] = documents[keepers[copies]]
        result.similarity[documents[copies]] = similarity
        reached += len(documents)
        advance(0.5 + 0.5 * reached / len(candidates))
        peak = max(peak, keys.nbytes + 8 * 5 * num_documents + hashes.nbytes + 8 * (BANDS + 4) * len(documents))
    return NearDuplicates(result.cluster, result.keeper, result.similarity, result.num_candidates, compared, peak)


def _candidate_sets(keys: Hashes, advance: Callable[[float], None]) -> Indices:
    """Of each document the lowest one that shares bands with it, directly or through others [n]."""
    from bise.corpus.kernels.similar import join_equal, settle

    parents = np.arange(len(keys))
    for band in range(keys.shape[1]):
        column = np.ascontiguousarray(keys[:, band])
        join_equal(np.argsort(column, kind="stable"), column, parents)
        advance(0.5 * (band + 1) / keys.shape[1])
    settle(parents)
    return parents


def _groups(candidates: Indices, loose: Indices, group_size: int) -> Iterator[Indices]:
    """Whole sets of candidates, some at a time, each group in ascending order."""
    by_set = candidates[np.argsort(loose[candidates], kind="stable")]
    ends = np.flatnonzero(np.diff(loose[by_set], append=-1)) + 1
    start = 0
    while start < len(by_set):
        later = ends[ends > start]
        full = later[later - start >= group_size]
        stop = int(full[0]) if len(full) else len(by_set)
        yield np.sort(by_set[start:stop])
        start = stop


def _join(keys: Hashes, hashes: Hashes, offsets: Offsets, threshold: float, parents: Indices) -> int:
    from bise.corpus.kernels.similar import join_similar

    compared = 0
    for band in range(keys.shape[1]):
        column = np.ascontiguousarray(keys[:, band])
        order = np.argsort(column, kind="stable")
        compared += join_similar(order, column, hashes, offsets, threshold, parents)
    return compared


def _keepers(parents: Indices, documents: Indices, rank: NDArray[np.float64] | None) -> Indices:
    """Of each document of a group the member of its set with the lowest rank, or else the first one."""
    ranks = np.zeros(len(parents)) if rank is None else rank[documents]
    order = np.lexsort((np.arange(len(parents)), ranks, parents))
    is_first = np.ones(len(parents), np.bool_)
    is_first[1:] = parents[order[1:]] != parents[order[:-1]]
    best = np.empty(len(parents), np.int64)
    best[parents[order[is_first]]] = order[is_first]
    return best[parents]
