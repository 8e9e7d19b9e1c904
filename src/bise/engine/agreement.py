"""How far a rounded model's answers are from the original's on a text: KL divergence and agreement of the best token.

Both models run through the engine, window by window, each with all of its tokens at once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
    check_memory(exact, "To be compared")
    models = Model(exact, kernels, activations="float32"), Model(rounded, kernels)
    divergences: list[NDArray[np.float64]] = []
    same: list[NDArray[np.bool_]] = []
    try:
        for start in range(0, len(ids), WINDOW):
            window = ids[start : start + WINDOW]
            for reference, other in zip(*(_log_probabilities(model, window) for model in models), strict=True):
                divergences.append((np.exp(reference) * (reference - other)).sum(axis=1))
                same.append(reference.argmax(axis=1) == other.argmax(axis=1))
            if progress is not None:
                progress(start + len(window), len(ids))
    finally:
        for model in models:
            model.close()
    return Agreement(float(np.concatenate(divergences).mean()), float(np.concatenate(same).mean()), len(ids))


def check_memory(exact: Weights, purpose: str) -> None:
    """Refuse a model that does not fit into this machine's memory in float32."""
    needed = 4 * exact.spec.num_parameters()
    if needed > memory_bytes():
        raise InputError(
            f"{purpose}, the original needs {needed / 1e9:.1f} GB of memory in float32, and this machine has "
            f"{memory_bytes() / 1e9:.1f} GB. Pull without that."
        )


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
