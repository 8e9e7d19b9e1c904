"""How the next token is chosen from the logits; each request has random numbers of its own."""

import math
import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError


@dataclass(frozen=True)
class SamplingParams:
    """What a request says about its sampling.

    Raises:
        InputError: a value is out of its range.
    """

    temperature: float = 0.7  # 0 to 5; 0 takes the most likely token
    top_p: float = 1.0  # above 0, up to 1: sample from the fewest tokens that hold this much probability (1904.09751)
    max_tokens: int | None = None  # at least 1; None: until the context is full
    seed: int | None = None  # 64-bit; the same seed gives the same text, whatever else runs; None: random
    stop_ids: tuple[int, ...] = ()  # tokens that end the answer; they are not part of it

    def __post_init__(self) -> None:
        """Check every range."""
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 5):
            raise InputError(f"temperature is {self.temperature}, but must be from 0 to 5.")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, but must be above 0 and at most 1.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"max_tokens is {self.max_tokens}, but must be at least 1.")
        if self.seed is not None and not -(2**63) <= self.seed < 2**64:
            raise InputError(f"seed is {self.seed}, but must fit in 64 bits.")


class Sampler:
    """Draws one request's tokens, with a random generator that no other request touches."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        seed = secrets.randbits(64) if params.seed is None else params.seed % 2**64
        self._random = np.random.Generator(np.random.PCG64(seed))

    def draw(self, logits_V: NDArray[np.float32]) -> int:
        """Choose a token. Exactly one random number is used for each sampled token."""
        if self._params.temperature == 0:
            return int(logits_V.argmax())
        tokens, probabilities = nucleus(logits_V / np.float32(self._params.temperature), self._params.top_p)
        chosen = np.searchsorted(np.cumsum(probabilities), self._random.random() * probabilities.sum(), side="right")
        return int(tokens[min(int(chosen), len(tokens) - 1)])


def nucleus(logits_V: NDArray[np.float32], top_p: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The most likely tokens that together hold `top_p`, most likely first, with their probabilities (not rescaled)."""
    probabilities = np.exp((logits_V - logits_V.max()).astype(np.float64))
    probabilities /= probabilities.sum()
    # All tokens below this together hold less than 1 - top_p, so none of them can be needed. It spares the long sort.
    candidates = np.flatnonzero(probabilities >= (1 - top_p) / len(probabilities))
    order = candidates[np.argsort(-probabilities[candidates], kind="stable")]
    held = np.cumsum(probabilities[order])
    count = int(np.searchsorted(held, top_p)) + 1
    return order[:count], probabilities[order[:count]]
