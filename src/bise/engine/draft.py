"""Guessing an answer's next tokens with a smaller model: speculative decoding, after Leviathan et al. (arXiv 2211.17192).

The smaller model, the draft, writes a few tokens greedily, one step each; the engine's step computes them beside the token
that it has to compute. Each next token is drawn as always, and the guesses hold as far as they are what was drawn. That is
stricter than the paper's rejection sampling, and gives every answer the very bits that it has without a draft.

How many tokens are worth guessing follows from what was measured here: of each answer the share of guesses that held, and
of the engine how long a step takes, one of the draft, and one more token in a step.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bise.engine.batch import Batch
from bise.engine.blocks import blocks_for
from bise.engine.cache import KVCache
from bise.engine.forward import Model
from bise.engine.kernels.cells import KVPrecision
from bise.engine.kernels.table import BLOCK
from bise.errors import InputError
from bise.weights.spec import ModelSpec

LONGEST = 8  # guesses in a step
LONGEST_PAUSE = 32  # steps without guesses where they would not pay
CATCH_UP = 256  # tokens of a text that the draft reads in a step
_MEMORY = 0.8  # of an average, in what is measured next


@dataclass(frozen=True)
class Costs:
    """Seconds as they were measured; zero before."""

    plain: float = 0.0  # a step of one token for each answer
    draft: float = 0.0  # a step of the draft
    extra: float = 0.0  # what one more token for each answer adds to a step

    def after_step(self, num_tokens: float, seconds: float) -> "Costs":
        """With a step of so many tokens for each answer."""
        if num_tokens == 1:
            return replace(self, plain=_average(self.plain, seconds))
        if not self.plain:
            return self
        return replace(self, extra=_average(self.extra, max(0.0, seconds - self.plain) / (num_tokens - 1)))

    def after_draft(self, seconds: float) -> "Costs":
        """With a step of the draft."""
        return replace(self, draft=_average(self.draft, seconds))

    def best_length(self, holding: float) -> int:
        """How many tokens to guess for the most tokens a second, where that share of guesses holds; 0 for none.

        Of k guesses, h + h^2 + ... + h^k hold on average, and a step always gives one token more.
        """
        if not self.plain or not self.draft:
            return LONGEST // 2
        rates = [
            sum(holding**place for place in range(count + 1)) / (self.plain + count * (self.draft + self.extra))
            for count in range(LONGEST + 1)
        ]
        return int(np.argmax(rates))


def _average(before: float, value: float) -> float:
    return value if not before else _MEMORY * before + (1 - _MEMORY) * value


class Drafting:
    """How well the guesses for one answer hold."""

    def __init__(self) -> None:
        self._holding = 0.7
        self._pause = 0

    def length(self, costs: Costs) -> int:
        """How many tokens to guess in this step."""
        if self._pause:
            self._pause -= 1
            return 0
        best = costs.best_length(self._holding)
        if best == 0:
            self._pause = LONGEST_PAUSE
            return 1  # one more look, so that it can come back
        return best

    def observe(self, num_proposed: int, num_held: int) -> None:
        """Note how many of the guesses held; those after the first that did not say nothing."""
        tried = min(num_proposed, num_held + 1)
        for place in range(tried):
            self._holding = _MEMORY * self._holding + (1 - _MEMORY) * (place < num_held)


@dataclass(frozen=True)
class Wanted:
    """An answer whose next tokens are to be guessed."""

    row: int  # of the engine's places for running answers
    number: int  # of the answer: another one in the same row begins anew
    token_ids: Sequence[int]
    length: int


class Draft:
    """The smaller model, with keys and values of its own for every running answer.

    Raises:
        InputError: its vocabulary has another size than the model's.
    """

    def __init__(
        self, model: Model, main: ModelSpec, max_sequences: int, max_length: int, precision: KVPrecision
    ) -> None:
        if model.spec.vocab_size != main.vocab_size:
            raise InputError(
                f"The draft has a vocabulary of {model.spec.vocab_size} tokens, but the model one of {main.vocab_size}. "
                "Choose a draft of the same family."
            )
        self._model = model
        self.max_length = min(max_length, model.spec.context_length)
        each = blocks_for(self.max_length)
        self._cache = KVCache(model.spec, max_sequences * each, precision)
        self._table = np.arange(max_sequences * each, dtype=np.int32).reshape(max_sequences, each)
        self._known = [(0, 0)] * max_sequences  # of each row: the answer's number, and its tokens in the cache
        self.costs = Costs()

    def propose(self, wanted: Sequence[Wanted]) -> dict[int, list[int]]:
        """The likeliest next tokens by row; none yet for a text that is still being read."""
        texts = {one.row: list(one.token_ids) for one in wanted if len(one.token_ids) + one.length <= self.max_length}
        active = [one for one in wanted if one.row in texts and self._catch_up(one)]
        proposals: dict[int, list[int]] = {one.row: [] for one in active}
        for place in range(max((one.length for one in active), default=0)):
            active = [one for one in active if one.length > place]
            started = time.perf_counter()
            logits = self._run([(one.row, texts[one.row][-1:], len(texts[one.row]) - 1) for one in active])
            self.costs = self.costs.after_draft(time.perf_counter() - started)
            for one, token in zip(active, logits.argmax(axis=1).tolist(), strict=True):
                texts[one.row].append(token)
                proposals[one.row].append(token)
        for one in wanted:
            if one.row in proposals:
                self._known[one.row] = (one.number, len(texts[one.row]) - 1)
        return {row: proposed for row, proposed in proposals.items() if proposed}

    def observe(self, row: int, num_tokens: int) -> None:
        """Note that of an answer's text only so many tokens are what was guessed."""
        number, known = self._known[row]
        self._known[row] = (number, min(known, num_tokens))

    def _catch_up(self, one: Wanted) -> bool:
        """Read on in a text; True when nothing but its last token is left."""
        number, known = self._known[one.row]
        first = known if number == one.number else 0
        last = min(len(one.token_ids) - 1, first + CATCH_UP)
        if last > first:
            self._run([(one.row, one.token_ids[first:last], first)])
        self._known[one.row] = (one.number, last)
        return last == len(one.token_ids) - 1

    def _run(
        self, pieces: Sequence[tuple[int, Sequence[int], int]]
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Compute tokens of (row, tokens, how many are before them); logits of the last of each piece."""
        counts = [len(tokens) for _, tokens, _ in pieces]
        rows_T = np.repeat(np.array([row for row, _, _ in pieces], np.int32), counts)
        positions_T = np.concatenate([np.arange(n, n + len(tokens), dtype=np.int32) for _, tokens, n in pieces])
        tokens_T = np.array([token for _, tokens, _ in pieces for token in tokens], np.int32)
        slots_T = self._table[rows_T, positions_T // BLOCK] * BLOCK + positions_T % BLOCK
        last = np.cumsum(counts) - 1
        return self._model.forward(Batch(tokens_T, positions_T, rows_T, slots_T, self._table, last), self._cache)
