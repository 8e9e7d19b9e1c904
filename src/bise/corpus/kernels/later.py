"""Which of many hashes stand further left already: parted into buckets that fit the processor's cache, then looked up."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import kernel
from bise.corpus.kernels.text import Hashes, Longs

_BUCKET_SHIFT, _SLOT_SHIFT = np.uint64(40), np.uint64(16)  # which bits of a hash say where it goes


@kernel
def count_buckets(hashes: Hashes, part: int, part_mask: int, counts: Longs) -> None:
    """Add up how many hashes of a part go into each bucket; buckets are a power of two."""
    bucket_mask = np.uint64(counts.size - 1)
    for k in range(hashes.size):
        if np.int64(hashes[k] & np.uint64(part_mask)) == part:
            counts[np.int64((hashes[k] >> _BUCKET_SHIFT) & bucket_mask)] += 1


@kernel
def mark_later(
    hashes: Hashes,
    part: int,
    part_mask: int,
    starts: Longs,
    stops: Longs,
    values: Hashes,
    places: Longs,
    slots: NDArray[np.int32],
    also_first: bool,
    marks: NDArray[np.bool_],
) -> None:
    """Mark the hashes of a part that equal one further left, and maybe also that one.

    `starts` and `stops` are the buckets' first place in `values` and `places`, which have room for the part; `stops`
    begins as a copy of `starts`. `slots` is a power of two, more than any bucket holds.
    """
    bucket_mask, slot_mask = np.uint64(starts.size - 1), np.uint64(slots.size - 1)
    for k in range(hashes.size):
        if np.int64(hashes[k] & np.uint64(part_mask)) == part:
            bucket = np.int64((hashes[k] >> _BUCKET_SHIFT) & bucket_mask)
            values[stops[bucket]], places[stops[bucket]] = hashes[k], k
            stops[bucket] += 1
    for bucket in range(starts.size):
        slots[:] = 0
        for k in range(starts[bucket], stops[bucket]):
            slot = np.int64((values[k] >> _SLOT_SHIFT) & slot_mask)
            while slots[slot] != 0 and values[starts[bucket] + slots[slot] - 1] != values[k]:
                slot = (slot + 1) & np.int64(slot_mask)
            if slots[slot] != 0:
                marks[places[k]] = True
                if also_first:
                    marks[places[starts[bucket] + slots[slot] - 1]] = True
            else:
                slots[slot] = k - starts[bucket] + 1
