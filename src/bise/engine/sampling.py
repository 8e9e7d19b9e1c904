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
        probabilities = softmax(logits_V / np.float32(self._params.temperature))
        tokens = nucleus(probabilities, self._params.top_p)
        held = np.cumsum(probabilities[tokens])
        chosen = int(np.searchsorted(held, self._random.random() * held[-1], side="right"))
        return int(tokens[min(chosen, len(tokens) - 1)])


def softmax(logits_V: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities of the tokens."""
    weights: NDArray[np.float64] = np.exp((logits_V - logits_V.max()).astype(np.float64))
    weights /= weights.sum()
    return weights


def nucleus(probabilities_V: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """The fewest tokens that together hold `top_p`, most likely first; all, in their own order, when it is 1."""
    if top_p == 1:
        return np.arange(len(probabilities_V))
    # All tokens below this together hold less than 1 - top_p, so none of them can be needed. It spares the long sort.
    candidates = np.flatnonzero(probabilities_V >= (1 - top_p) / len(probabilities_V))
    order = candidates[np.argsort(-probabilities_V[candidates], kind="stable")]
    return order[: int(np.searchsorted(np.cumsum(probabilities_V[order]), top_p)) + 1]
