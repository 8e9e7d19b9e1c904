"""Groups of documents that share a band of their signatures, and which of their pairs are alike indeed."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Hashes, Longs


@kernel
def join_equal(order: Longs, keys: Hashes, parents: Longs) -> None:
    """Unite documents whose keys are equal; `order` sorts the keys, and key 0 equals nothing."""
    for k in range(1, order.size):
        if keys[order[k]] != 0 and keys[order[k]] == keys[order[k - 1]]:
            unite(parents, order[k], order[k - 1])


@kernel
def join_similar(order: Longs, keys: Hashes, shingles: Hashes, offsets: Longs, threshold: float, parents: Longs) -> int:
    """Unite documents that share a key and whose Jaccard similarity reaches the threshold; returns pairs compared.

    A pair that is united already is not compared: the sets that result are the same for any order of the pairs.
    """
    compared, first = 0, 0
    while first < order.size:
        last = first + 1
        while last < order.size and keys[order[last]] == keys[order[first]]:
            last += 1
        if keys[order[first]] != 0:
            for i in range(first, last - 1):
                apart = False
                for j in range(i + 1, last):
                    a, b = order[i], order[j]
                    if find(parents, a) == find(parents, b):
                        continue
                    compared += 1
                    if jaccard(shingles, offsets, a, b, threshold) >= threshold:
                        unite(parents, a, b)
                    else:
                        apart = True
                if not apart:
                    break  # the rest is one set
        first = last
    return compared


@kernel
def settle(parents: Longs) -> None:
    """Let every document point at the first of its set."""
    for k in range(parents.size):
        parents[k] = find(parents, k)


@kernel
def compare_pairs(
    left: Longs, right: Longs, shingles: Hashes, offsets: Longs, similarities: NDArray[np.float64]
) -> None:
    """Fill the Jaccard similarity of each pair."""
    for k in range(left.size):
        similarities[k] = jaccard(shingles, offsets, left[k], right[k], 0.0)


@device
def find(parents: Longs, k: int) -> int:
    """The first document of the set of `k`."""
    while parents[k] != k:
        parents[k] = parents[parents[k]]
        k = parents[k]
    return k


@device
def unite(parents: Longs, a: int, b: int) -> None:
    """Make one set of two."""
    a, b = find(parents, a), find(parents, b)
    parents[max(a, b)] = min(a, b)


@device
def jaccard(shingles: Hashes, offsets: Longs, a: int, b: int, threshold: float) -> float:
    """Shared shingles by all shingles, of two sorted sets; 0 where their sizes alone keep it below the threshold."""
    i, i_stop = offsets[a], offsets[a + 1]
    j, j_stop = offsets[b], offsets[b + 1]
    size_a, size_b = i_stop - i, j_stop - j
    if min(size_a, size_b) < threshold * max(size_a, size_b) or min(size_a, size_b) == 0:
        return 0.0
    shared = 0
    while i < i_stop and j < j_stop:
        x, y = shingles[i], shingles[j]
        shared += x == y
        i += x <= y
        j += y <= x
    return shared / (size_a + size_b - shared)


@kernel
def drop_repeated(hashes: Hashes, offsets: Longs, unique_offsets: Longs) -> None:
    """Leave each hash of a text once, in place; the hashes of each text are sorted."""
    total = 0
    for document in range(offsets.size - 1):
        unique_offsets[document] = total
        for k in range(offsets[document], offsets[document + 1]):
            if k == offsets[document] or hashes[k] != hashes[k - 1]:
                hashes[total] = hashes[k]
                total += 1
    unique_offsets[offsets.size - 1] = total
