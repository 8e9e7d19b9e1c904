"""How the next token is chosen from the logits; each request has random numbers and a history of its own.

The order of operations is vLLM's: logit bias, minimum length, penalties (repetition, then frequency and presence),
temperature, min-p, top-k, top-p, draw. Filters keep the likeliest tokens; of equal ones, those with the lower ids.
"""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError

Floats = NDArray[np.float32]
Ids = NDArray[np.intp]

GREEDY_BELOW = 1e-5  # a lower temperature would divide the logits out of float32's range
MAX_ANSWERS = 128
MAX_ALTERNATIVES = 20
MAX_BIASES = 1024


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
    top_k: int = 0  # sample from so many of the most likely tokens; 0: from all
    min_p: float = 0.0  # 0 to 1: leave out tokens less likely than this share of the likeliest one (2407.01082)
    repetition_penalty: float = 1.0  # 0.01 to 10: divides positive logits of tokens seen (1909.05858); 1: off
    presence_penalty: float = 0.0  # -2 to 2: subtracted from the logit of each token that the answer holds
    frequency_penalty: float = 0.0  # -2 to 2: the same, times how often the answer holds it
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, -100 to 100, or -inf to forbid it), each id once
    n: int = 1  # 1 to 128 answers, each with a random stream of its own
    min_tokens: int = 0  # stop ids cannot be drawn before the answer has so many tokens
    ignore_eos: bool = False  # stop ids end nothing: the answer runs to max_tokens, for benchmarks
    logprobs: int | None = None  # 0 to 20 alternatives to report with each token; None: no log probabilities
    prompt_logprobs: int | None = None  # the same for each token of the prompt but the first
    scored_from: int = 1  # the first token of the prompt that `prompt_logprobs` is about, from 1

    def __post_init__(self) -> None:
        """Check every range."""
        _check("temperature", self.temperature, 0, 5)
        _check("top_p", self.top_p, 0, 1, excluding_low=True)
        _check("min_p", self.min_p, 0, 1)
        _check("repetition_penalty", self.repetition_penalty, 0.01, 10)
        _check("presence_penalty", self.presence_penalty, -2, 2)
        _check("frequency_penalty", self.frequency_penalty, -2, 2)
        _check("n", self.n, 1, MAX_ANSWERS)
        for name in ("logprobs", "prompt_logprobs"):
            if (value := getattr(self, name)) is not None:
                _check(name, value, 0, MAX_ALTERNATIVES)
        for name, least in (("top_k", 0), ("min_tokens", 0), ("max_tokens", 1), ("scored_from", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise InputError(f"{name} is {value}, but must be at least {least}.")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise InputError(f"min_tokens is {self.min_tokens}, but must be at most max_tokens ({self.max_tokens}).")
        if self.seed is not None and not -(2**63) <= self.seed < 2**64:
            raise InputError(f"seed is {self.seed}, but must fit in 64 bits.")
        _check_biases(self.logit_bias)

    @property
    def ending_ids(self) -> frozenset[int]:
        """The tokens that end the answer when they are drawn."""
        return frozenset() if self.ignore_eos else frozenset(self.stop_ids)

    def check_vocabulary(self, vocab_size: int) -> None:
        """Check what depends on the model.

        Raises:
            InputError: a biased token is not in the vocabulary, or no token is left that could be drawn.
        """
        for token, _ in self.logit_bias:
            if not 0 <= token < vocab_size:
                raise InputError(f"logit_bias names token {token}, which is outside the vocabulary of {vocab_size}.")
        forbidden = {token for token, bias in self.logit_bias if bias == -math.inf}
        if self.min_tokens:
            forbidden |= {token for token in self.ending_ids if 0 <= token < vocab_size}
        if len(forbidden) == vocab_size:
            raise InputError(f"logit_bias and min_tokens forbid all {vocab_size} tokens. Leave at least one.")


@dataclass(frozen=True)
class TokenLogprob:
    """How likely the model held one token to be, as natural logarithms.

    The distribution is the model's own: the softmax of the logits before temperature, penalties, bias and filters, so
    that the figure says something about the model and not about the request. OpenAI-compatible servers report the same.
    """

    token_id: int
    logprob: float
    top: tuple[
        tuple[int, float], ...
    ] = ()  # the likeliest tokens, most likely first; the chosen one only if among them


@dataclass(frozen=True)
class Draw:
    """One chosen token."""

    token_id: int
    logprob: TokenLogprob | None = None  # when the request asked for it


class Sampler:
    """Draws the tokens of one answer: its random numbers and its history touch no other answer's.

    `index` is which of a request's `n` answers this is. A seed and an index together name a stream of random numbers.
    """

    def __init__(self, params: SamplingParams, prompt_ids: Sequence[int], index: int = 0) -> None:
        self._params = params
        seed = secrets.randbits(64) if params.seed is None else params.seed % 2**64
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
        self._history = History(params, prompt_ids)
        self._bias_ids = np.array([token for token, _ in params.logit_bias], np.intp)
        self._biases = np.array([bias for _, bias in params.logit_bias], np.float32)
        self._ending_ids = np.array(sorted(params.ending_ids), np.intp)
        self._num_drawn = 0

    def draw(self, logits_V: Floats, allowed_V: NDArray[np.bool_] | None = None) -> Draw:
        """Choose a token from finite logits, and from the allowed ones; they are left as they are.

        Exactly one random number is used for each sampled token, and none for a greedy one. Where bias or minimum
        length forbid all that is allowed, they do not count.
        """
        adjusted = self._adjust(logits_V)
        if allowed_V is not None:
            masked = np.where(allowed_V, adjusted, np.float32(-np.inf))
            adjusted = masked if masked.max() > -np.inf else np.where(allowed_V, logits_V, np.float32(-np.inf))
        if self._params.temperature < GREEDY_BELOW:
            token = int(adjusted.argmax())
        else:
            token = sample(adjusted, self._params, self._random.random())
        self.take(token)
        alternatives = self._params.logprobs
        return Draw(token, None if alternatives is None else token_logprob(logits_V, token, alternatives))

    def take(self, token: int) -> None:
        """Take in a token of the answer that was not drawn."""
        self._history.add(token)
        self._num_drawn += 1

    def _adjust(self, logits_V: Floats) -> Floats:
        is_too_short = self._num_drawn < self._params.min_tokens and self._ending_ids.size > 0
        if not (self._bias_ids.size or is_too_short or self._history.matters):
            return logits_V
        adjusted = logits_V.copy()
        adjusted[self._bias_ids] += self._biases
        if is_too_short:
            adjusted[self._ending_ids[self._ending_ids < len(adjusted)]] = -np.inf
        self._history.penalise(adjusted)
        return adjusted


class History:
    """The tokens seen so far, for the penalties; kept only if there are any.

    The repetition penalty counts the prompt and the answer, as CTRL and transformers do; presence and frequency count
    the answer alone, as OpenAI's API defines them.
    """

    def __init__(self, params: SamplingParams, prompt_ids: Sequence[int]) -> None:
        self._params = params
        self.matters = (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) != (1, 0, 0)
        seen = np.unique(np.array(prompt_ids, np.intp)) if self.matters else np.empty(0, np.intp)
        self._size = len(seen)
        self._places = {token: place for place, token in enumerate(seen.tolist())}
        # Room to grow, doubled when full: a step costs as much as there are different tokens, not as the vocabulary.
        self._ids = np.concatenate((seen, np.zeros(64, np.intp)))
        self._counts = np.zeros(len(self._ids), np.float32)  # in the answer; 0 for tokens of the prompt only

    def add(self, token: int) -> None:
        """Take in a drawn token."""
        if not self.matters:
            return
        place = self._places.setdefault(token, self._size)
        if place == self._size:
            if place == len(self._ids):
                self._ids = np.concatenate((self._ids, np.zeros_like(self._ids)))
                self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
            self._ids[place] = token
            self._size += 1
        self._counts[place] += 1

    def penalise(self, logits_V: Floats) -> None:
        """Apply the penalties in place."""
        if not self.matters:
            return
        params, ids, counts = self._params, self._ids[: self._size], self._counts[: self._size]
        values = logits_V[ids]
        factor = np.float32(params.repetition_penalty)
        values = np.where(values > 0, values / factor, values * factor)
        values -= counts * np.float32(params.frequency_penalty)
        values -= (counts > 0) * np.float32(params.presence_penalty)
        logits_V[ids] = values


def sample(logits_V: Floats, params: SamplingParams, uniform: float) -> int:
    """Choose the token at `uniform` (0 up to 1) of the distribution that temperature, min-p, top-k and top-p leave."""
    values = logits_V - logits_V.max()
    values *= np.float32(1 / params.temperature)
    tokens: Ids | None = None  # None: all, in order
    if params.min_p > 0:
        tokens = np.flatnonzero(values >= np.float32(math.log(params.min_p)))
        values = values[tokens]
    if 0 < params.top_k < len(values):
        kept = largest(values, params.top_k)
        tokens, values = kept if tokens is None else tokens[kept], values[kept]
    weights: Floats = np.exp(values, out=values)
    if params.top_p < 1:
        keep_nucleus(weights, params.top_p)
    place = place_at(weights, uniform)
    return place if tokens is None else int(tokens[place])


def largest(values_N: Floats, count: int) -> Ids:
    """Places of the `count` largest values, those of equal ones that come first; in no order."""
    if count == 1:
        return np.array([values_N.argmax()], np.intp)
    if count >= len(values_N):
        return np.arange(len(values_N))
    threshold = np.partition(values_N, len(values_N) - count)[len(values_N) - count]
    above = np.flatnonzero(values_N > threshold)
    equal = np.flatnonzero(values_N == threshold)
    return np.concatenate((above, equal[: count - len(above)]))


def keep_nucleus(weights_N: Floats, top_p: float) -> None:
    """Set to 0, in place, all but the fewest weights, largest first, whose sum is at least `top_p` of all."""
    falling = -weights_N
    falling.sort()
    np.negative(falling, out=falling)
    place = min(_reaching(falling, top_p, "left"), len(falling) - 1)  # rounding may leave the sum just short
    least = falling[place]
    num_equal = int(np.count_nonzero(falling[: place + 1] == least))
    weights_N *= weights_N >= least
    weights_N[np.flatnonzero(weights_N == least)[num_equal:]] = 0


def place_at(weights_N: Floats, uniform: float) -> int:
    """The place where the running sum of the weights passes `uniform` (0 up to 1) of their total; its weight is not 0."""
    place = _reaching(weights_N, uniform, "right")
    return place if place < len(weights_N) else int(np.flatnonzero(weights_N)[-1])  # a `uniform` that rounds to 1


def token_logprob(logits_V: Floats, token_id: int, num_alternatives: int) -> TokenLogprob:
    """The log-softmax of a token and of the likeliest ones."""
    highest = logits_V.max()
    normaliser = float(highest) + math.log(np.exp(logits_V - highest).sum(dtype=np.float64))
    top = largest(logits_V, num_alternatives) if num_alternatives else np.empty(0, np.intp)
    ordered = top[np.lexsort((top, -logits_V[top]))]
    return TokenLogprob(
        token_id=token_id,
        logprob=float(logits_V[token_id]) - normaliser,
        top=tuple((int(other), float(logits_V[other]) - normaliser) for other in ordered),
    )


def _reaching(weights_N: Floats, share: float, side: Literal["left", "right"]) -> int:
    """The first place whose running sum reaches a share of the total ("left") or passes it ("right"); N when none does.

    Sums over runs of 256 lead to the right run: a running sum over a vocabulary costs more than all the rest.
    """
    run = 256
    whole = len(weights_N) // run * run
    sums = weights_N[:whole].reshape(-1, run).sum(axis=1, dtype=np.float64)
    held = np.cumsum(np.append(sums, weights_N[whole:].sum(dtype=np.float64)))
    wanted = share * float(held[-1])
    row = int(np.searchsorted(held, wanted, side))
    if row == len(held):
        return len(weights_N)
    before = float(held[row - 1]) if row else 0.0
    inside = np.cumsum(weights_N[row * run : (row + 1) * run], dtype=np.float64)
    # The run's own sum is rounded otherwise than `held`: its last weight above 0 is reached in any case.
    last = float(inside[-1]) if side == "left" else float(np.nextafter(inside[-1], 0))
    return row * run + int(np.searchsorted(inside, min(wanted - before, last), side))


def _check(name: str, value: float, low: float, high: float, *, excluding_low: bool = False) -> None:
    if math.isfinite(value) and low <= value <= high and not (excluding_low and value == low):
        return
    allowed = f"above {low} and at most {high}" if excluding_low else f"from {low} to {high}"
    raise InputError(f"{name} is {value}, but must be {allowed}.")


def _check_biases(biases: Sequence[tuple[int, float]]) -> None:
    if len(biases) > MAX_BIASES:
        raise InputError(f"logit_bias has {len(biases)} entries, but may have at most {MAX_BIASES}.")
    if len({token for token, _ in biases}) < len(biases):
        raise InputError("logit_bias names a token twice. Give each token one bias.")
    for token, bias in biases:
        if not (-100 <= bias <= 100 or bias == -math.inf):
            raise InputError(
                f"logit_bias of token {token} is {bias}, but must be from -100 to 100, or -inf to forbid the token."
            )
