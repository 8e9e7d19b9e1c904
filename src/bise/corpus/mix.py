"""How often each good document is written, so that sources and languages have the shares that the recipe asks for.

Every source in every language is a group with one rate. A rate of 2.5 writes each document of the group twice, and
documents with half of its text once more; which ones, the seed decides by their ids.
"""

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bise.corpus.recipe import Mix, Source
from bise.corpus.survivors import Decisions, Survivors

Group = tuple[str, str]  # source and language
_HALVINGS = 60  # of the interval in which a rate is looked for: to the last bits of a float


def within_caps(survivors: Survivors, decisions: Decisions, source: Source, seed: int) -> None:
    """Drop what does not fit into the source's max_bytes, in an order drawn by the seed."""
    assert source.max_bytes is not None
    rows = np.flatnonzero(decisions.kept & _equal(survivors.sources, source.name))
    order = rows[np.argsort(_draw(survivors, rows, seed))]
    taken, totals = _fill(survivors.size_bytes[order], source.max_bytes)
    decisions.drop(order[~taken], "max_bytes", totals[~taken], source.max_bytes)


def choose_copies(survivors: Survivors, decisions: Decisions, mix: Mix, seed: int) -> None:
    """Set how often each kept document is written; those that are not are dropped for the reason "mix"."""
    if not (mix.weights or mix.languages or mix.budget_bytes):
        return
    kept = np.flatnonzero(decisions.kept)
    groups = _groups(survivors, kept)
    sizes = {group: int(survivors.size_bytes[rows].sum()) for group, rows in groups.items()}
    for group, rate in rates(sizes, mix).items():
        rows = groups[group]
        order = rows[np.argsort(_draw(survivors, rows, seed))]
        taken, _ = _fill(survivors.size_bytes[order], (rate - int(rate)) * sizes[group])
        decisions.copies[order] = int(rate) + taken
        left_out = order[decisions.copies[order] == 0]
        decisions.drop(left_out, "mix", 1.0, rate)


def rates(sizes: Mapping[Group, int], mix: Mix) -> dict[Group, float]:
    """How often the text of each group is written, from its size in bytes.

    Without a budget, the mix is the largest in which every share and weight holds and nothing goes beyond max_repeats.
    With one, what a language or source cannot give of it the others do.
    """
    weights = {group: mix.weights.get(group[0], 1.0) for group in sizes}
    pools: dict[str, dict[Group, int]] = {}  # what shares are given for: a language, or everything
    for group, size in sizes.items():
        if weights[group] and size:
            pools.setdefault(group[1] if mix.languages else "", {})[group] = size
    shares = {pool: mix.languages.get(pool, 0.0) if mix.languages else 1.0 for pool in pools}
    most = {pool: _most(groups, weights, mix) for pool, groups in pools.items()}
    found = dict.fromkeys(sizes, 0.0)
    for pool, target in _targets(most, shares, mix.budget_bytes).items():
        scale = _scale(pools[pool], weights, target, mix.max_repeats)
        found |= {group: min(mix.max_repeats, scale * weights[group]) for group in pools[pool]}
    return found


def _most(sizes: Mapping[Group, int], weights: Mapping[Group, float], mix: Mix) -> float:
    """Bytes that a pool can give at most; without a budget, those at which its weights hold."""
    heaviest = max(weights[group] for group in sizes)
    return sum(
        size * mix.max_repeats * (1.0 if mix.budget_bytes else weights[group] / heaviest)
        for group, size in sizes.items()
    )


def _targets(most: Mapping[str, float], shares: Mapping[str, float], budget: float | None) -> dict[str, float]:
    """Bytes of text that each pool is to give."""
    wanted = {pool: share for pool, share in shares.items() if share}
    if budget is None:
        level = min((most[pool] / share for pool, share in wanted.items()), default=0.0)
    else:
        level = _level(most, wanted, budget)
    return {pool: min(most[pool], level * share) for pool, share in wanted.items()}


def _level(most: Mapping[str, float], shares: Mapping[str, float], budget: float) -> float:
    """The bytes per share at which pools, each up to its most, fill the budget."""

    def filled(level: float) -> float:
        return sum(min(most[pool], level * share) for pool, share in shares.items())

    return _search(filled, budget, max((most[pool] / share for pool, share in shares.items()), default=0.0))


def _scale(sizes: Mapping[Group, int], weights: Mapping[Group, float], target: float, most: float) -> float:
    """The rate per weight at which groups, each up to the largest rate, give the target."""

    def given(scale: float) -> float:
        return sum(size * min(most, scale * weights[group]) for group, size in sizes.items())

    return _search(given, target, most / min(weights[group] for group in sizes))


def _search(rising: Callable[[float], float], target: float, high: float) -> float:
    """The smallest argument in 0..high at which a function that never falls reaches the target, or high."""
    if rising(high) <= target:
        return high
    low = 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) >= target else (middle, high)
    return low


def _groups(survivors: Survivors, kept: NDArray[np.int64]) -> dict[Group, NDArray[np.int64]]:
    sources, langs = survivors.sources.take(kept).to_pylist(), survivors.langs.take(kept).to_pylist()
    groups: dict[Group, list[int]] = {}
    for row, source, lang in zip(kept, sources, langs, strict=True):
        groups.setdefault((source, lang), []).append(row)
    return {group: np.array(groups[group]) for group in sorted(groups)}


def _equal(column: pa.ChunkedArray, value: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.equal(column, value).to_numpy()
    return found


def _draw(survivors: Survivors, rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A number for each document that looks random and hangs on the seed and the document's id alone."""
    ids = survivors.ids.take(rows).to_pylist()
    drawn = b"".join(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest() for name in ids)
    return np.frombuffer(drawn, dtype=np.dtype(">u8"))


def _fill(sizes: NDArray[np.int64], capacity: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of some sizes fit into a capacity when taken in order; and the total that each one made, or would have."""
    taken, totals, total = np.zeros(len(sizes), np.bool_), np.zeros(len(sizes)), 0
    for index, size in enumerate(sizes.tolist()):
        totals[index] = total + size
        if total + size <= capacity:
            taken[index] = True
            total += size
    return taken, totals
