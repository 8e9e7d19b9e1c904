"""How far a rounded model's answers are from the original's on a text: KL divergence and agreement of the best token.

Both models run through the engine, window by window, each with all of its tokens at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from bise.engine.batch import Batch
from bise.engine.cache import KVCache
from bise.engine.forward import Model
from bise.engine.kernels.table import BLOCK, Floats, Kernels
from bise.errors import InputError
from bise.hardware import memory_bytes
from bise.weights.files import Weights

WINDOW = 256  # tokens
_ROWS = 32  # of logits at once: a vocabulary of 131,072 in float64 takes a megabyte a row


@dataclass(frozen=True)
class Agreement:
    """Means over the tokens of a text."""

    kl_nats: float  # of the rounded model's distribution from the original's
    same_best: float  # share of places where both hold the same token the likeliest
    num_tokens: int


@dataclass(frozen=True)
class Places:
    """Two models after each token of a window."""

    kl_nats_T: NDArray[np.float64]  # of the second's distribution from the first's
    same_best_T: NDArray[np.bool_]
    surprise_nats_2T: NDArray[np.float64]  # of each model at the token that came next; one place less


def measure_agreement(
    exact: Weights,
    rounded: Weights,
    ids: Sequence[int],
    kernels: Kernels,
    progress: Callable[[int, int], None] | None = None,
) -> Agreement:
    """Compare two models of the same vocabulary on a text's ids.

    Raises:
        InputError: the text has fewer than two tokens, or the original does not fit into memory in float32.
    """
    if len(ids) < 2:
        raise InputError(f"The text to compare on has {len(ids)} tokens. Give a longer one.")
    check_memory("To be compared", exact)
    windows = [ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)]
    places: list[Places] = []
    with closing(Model(exact, kernels, activations="float32")) as first, closing(Model(rounded, kernels)) as second:
        for window in windows:
            places.append(compare_window(first, second, window))
            if progress is not None:
                progress(sum(len(each.kl_nats_T) for each in places), len(ids))
    divergences, same = (np.concatenate([getattr(p, name) for p in places]) for name in ("kl_nats_T", "same_best_T"))
    return Agreement(float(divergences.mean()), float(same.mean()), len(ids))


def compare_window(first: Model, second: Model, ids: Sequence[int]) -> Places:
    """Run two models of the same vocabulary on some tokens that are all there is."""
    divergences, same, surprises = [], [], []
    next_ids = np.array([*ids[1:], 0])
    for start, pair in zip(count(0, _ROWS), zip(*(_log_probabilities(m, ids) for m in (first, second)), strict=True)):
        one, other = pair
        divergences.append((np.exp(one) * (one - other)).sum(axis=1))
        same.append(one.argmax(axis=1) == other.argmax(axis=1))
        rows = np.arange(len(one))
        surprises.append([-logs[rows, next_ids[start : start + len(one)]] for logs in pair])
    return Places(np.concatenate(divergences), np.concatenate(same), np.concatenate(surprises, axis=1)[:, :-1])


def check_memory(purpose: str, *models: Weights) -> None:
    """Refuse models that do not fit into this machine's memory together, floats as float32."""
    needed = sum(_packed_bytes(weights) for weights in models)
    if needed > memory_bytes():
        raise InputError(
            f"{purpose}, the weights need {needed / 1e9:.1f} GB of memory, floats as float32, and this machine has "
            f"{memory_bytes() / 1e9:.1f} GB. Leave that out."
        )


def _packed_bytes(weights: Weights) -> float:
    quantisation = weights.spec.quantisation
    return weights.spec.num_parameters() * (4 if quantisation is None else quantisation.bits / 8)


def _log_probabilities(model: Model, ids: Sequence[int]) -> Iterator[NDArray[np.float64]]:
    """Log of the next token's distribution after each token, some rows at a time."""
    logits = whole_logits(model, ids)
    for start in range(0, len(logits), _ROWS):
        rows = logits[start : start + _ROWS].astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        yield rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def whole_logits(model: Model, ids: Sequence[int]) -> Floats:
    """The logits after each of some tokens that are all there is, [len(ids), vocab_size]."""
    positions = np.arange(len(ids), dtype=np.int32)
    num_blocks = -(-len(ids) // BLOCK)
    blocks = np.arange(num_blocks, dtype=np.int32)[None]
    batch = Batch(np.array(ids, np.int32), positions, np.zeros_like(positions), positions, blocks, np.arange(len(ids)))
    return model.forward(batch, KVCache(model.spec, num_blocks, "fp32"))
