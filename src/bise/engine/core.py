"""The engine: requests of token ids in, tokens out, step by step.

One step is a plan (a pure function of what is running), a run of the model, and a draw for every sequence whose prompt
is done. Running sequences get their next token first; what remains of the step's budget goes to prompts in order of
arrival, in chunks, so that a long prompt never freezes the others. A request is admitted when the cache can hold its
prompt and its longest answer, so nothing admitted ever has to be thrown out; until then it waits in order.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bise.engine.blocks import BlockPool, blocks_for
from bise.engine.cache import KVCache, bytes_per_block
from bise.engine.forward import Batch, Model
from bise.engine.kernels.table import BLOCK, Floats
from bise.engine.machine import memory_bytes
from bise.engine.sampling import Sampler, SamplingParams
from bise.errors import InputError
from bise.weights.spec import ModelSpec

FinishReason = Literal["stop", "length", "failed"]


@dataclass(frozen=True)
class EngineConfig:
    """The engine's limits."""

    step_tokens: int = 128  # most tokens in one step: the size of a prompt's chunks
    max_sequences: int = 32  # most sequences that run at once; more wait
    cache_bytes: int | None = None  # most memory for keys and values; None: a quarter of the machine's

    def __post_init__(self) -> None:
        """Every running sequence must fit into a step, or some would never get a token."""
        if not 1 <= self.max_sequences <= self.step_tokens:
            raise ValueError(
                f"max_sequences is {self.max_sequences}, but must be from 1 to step_tokens ({self.step_tokens})."
            )


@dataclass(frozen=True)
class StepOutput:
    """New tokens of one request; the last output of a request has a finish reason."""

    request_id: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None = None  # "failed": the model computed values that are not numbers


@dataclass
class SequenceState:
    """A request that has its place in the cache."""

    request_id: str
    token_ids: list[int]  # prompt and answer
    max_length: int  # tokens, prompt included
    blocks: list[int]
    sampler: Sampler
    stop_ids: frozenset[int]
    num_cached: int = 0  # leading tokens whose keys and values are in the cache

    @property
    def num_waiting(self) -> int:
        """Tokens to run before the next can be drawn: the rest of the prompt, then always one."""
        return len(self.token_ids) - self.num_cached


@dataclass(frozen=True)
class PlannedSlice:
    """`count` tokens of the sequence at `index`, from its first uncached one."""

    index: int
    count: int


@dataclass(frozen=True)
class _Request:
    request_id: str
    prompt_ids: list[int]
    params: SamplingParams


def plan_step(waiting_counts: Sequence[int], step_tokens: int) -> list[PlannedSlice]:
    """Divide a step's tokens: one to each sequence that needs just one, the rest to prompts in order of arrival."""
    decoding = [PlannedSlice(i, 1) for i, count in enumerate(waiting_counts) if count == 1]
    plan = decoding[:step_tokens]
    left = step_tokens - len(plan)
    for index, count in enumerate(waiting_counts):
        if count > 1 and left > 0:
            plan.append(PlannedSlice(index, min(count, left)))
            left -= plan[-1].count
    return plan


class Engine:
    """Continuous batching over one model; not thread-safe, one thread calls `step` in a loop."""

    def __init__(self, model: Model, config: EngineConfig | None = None) -> None:
        self.model = model
        self.config = config or EngineConfig()
        self.blocks = BlockPool(num_cache_blocks(model.spec, self.config))
        self.cache = KVCache(model.spec, self.blocks.num_blocks)
        self.max_length = min(model.spec.context_length, self.blocks.num_blocks * BLOCK)  # tokens, answer included
        self._waiting: deque[_Request] = deque()
        self._running: list[SequenceState] = []

    @property
    def is_idle(self) -> bool:
        """Whether a step would have nothing to do."""
        return not self._waiting and not self._running

    def add_request(self, request_id: str, prompt_ids: Sequence[int], params: SamplingParams) -> None:
        """Queue a request; its outputs come from `step`.

        Raises:
            InputError: the prompt is empty, holds ids outside the vocabulary, or leaves no room for an answer; or the
                sampling parameters name such ids.
        """
        assert all(r.request_id != request_id for r in self._waiting), f"{request_id} is in use"
        assert all(s.request_id != request_id for s in self._running), f"{request_id} is in use"
        check_prompt(prompt_ids, self.model.spec, self.max_length)
        params.check_vocabulary(self.model.spec.vocab_size)
        self._waiting.append(_Request(request_id, list(prompt_ids), params))

    def cancel(self, request_id: str) -> None:
        """Forget a request and free its cache; nothing happens when it has already ended."""
        self._waiting = deque(r for r in self._waiting if r.request_id != request_id)
        for sequence in [s for s in self._running if s.request_id == request_id]:
            self._release(sequence)

    def step(self) -> list[StepOutput]:
        """Run one step; returns the new tokens of every request that got one."""
        self._admit()
        plan = plan_step([s.num_waiting for s in self._running], self.config.step_tokens)
        if not plan:
            return []
        logits = self.model.forward(make_batch(self._running, plan), self.cache)
        drawing = []
        for planned in plan:
            sequence = self._running[planned.index]
            sequence.num_cached += planned.count
            if sequence.num_waiting == 0:
                drawing.append(sequence)
        return [self._draw(sequence, row) for sequence, row in zip(drawing, logits, strict=True)]

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self.config.max_sequences:
            request = self._waiting[0]
            max_length = self.max_length
            if request.params.max_tokens is not None:
                max_length = min(max_length, len(request.prompt_ids) + request.params.max_tokens)
            if blocks_for(max_length) > self.blocks.num_available:
                return
            self._waiting.popleft()
            self._running.append(
                SequenceState(
                    request_id=request.request_id,
                    token_ids=request.prompt_ids,
                    max_length=max_length,
                    blocks=self.blocks.take(blocks_for(max_length)),
                    sampler=Sampler(request.params, request.prompt_ids),
                    stop_ids=request.params.ending_ids,
                )
            )

    def _draw(self, sequence: SequenceState, logits_V: Floats) -> StepOutput:
        if not np.isfinite(logits_V.sum(dtype=np.float64)):
            self._release(sequence)
            return StepOutput(sequence.request_id, (), "failed")
        token = sequence.sampler.draw(logits_V).token_id
        if token in sequence.stop_ids:
            self._release(sequence)
            return StepOutput(sequence.request_id, (), "stop")
        sequence.token_ids.append(token)
        if len(sequence.token_ids) == sequence.max_length:
            self._release(sequence)
            return StepOutput(sequence.request_id, (token,), "length")
        return StepOutput(sequence.request_id, (token,))

    def _release(self, sequence: SequenceState) -> None:
        self.blocks.give_back(sequence.blocks)
        self._running.remove(sequence)


def num_cache_blocks(spec: ModelSpec, config: EngineConfig) -> int:
    """Blocks for every sequence's full context, as far as the memory that may be used allows."""
    allowed = memory_bytes() // 4 if config.cache_bytes is None else config.cache_bytes
    return max(1, min(allowed // bytes_per_block(spec), blocks_for(spec.context_length) * config.max_sequences))


def check_prompt(prompt_ids: Sequence[int], spec: ModelSpec, max_length: int) -> None:
    """Refuse a prompt that the model cannot take.

    Raises:
        InputError: it is empty, holds ids outside the vocabulary, or leaves no room for an answer.
    """
    if not prompt_ids:
        raise InputError("The prompt is empty. Send at least one token.")
    if len(prompt_ids) >= max_length:
        limit = "this model's context is" if max_length == spec.context_length else "the memory set aside here holds"
        raise InputError(
            f"The prompt has {len(prompt_ids)} tokens, but {limit} {max_length} tokens, answer included. Shorten the "
            "conversation or start a new one."
        )
    wrong = next((token for token in prompt_ids if not 0 <= token < spec.vocab_size), None)
    if wrong is not None:
        raise InputError(f"Token id {wrong} is outside the model's vocabulary of {spec.vocab_size}.")


def make_batch(running: Sequence[SequenceState], plan: Sequence[PlannedSlice]) -> Batch:
    """Lay out a plan's tokens for the model; logits are wanted where a sequence's tokens are all run."""
    token_ids: list[int] = []
    positions: list[int] = []
    sequences: list[int] = []
    slots: list[int] = []
    logit_rows: list[int] = []
    blocks = np.zeros((len(plan), max(len(running[p.index].blocks) for p in plan)), np.int32)
    for row, planned in enumerate(plan):
        sequence = running[planned.index]
        blocks[row, : len(sequence.blocks)] = sequence.blocks
        span = range(sequence.num_cached, sequence.num_cached + planned.count)
        token_ids += sequence.token_ids[span.start : span.stop]
        positions += span
        sequences += [row] * planned.count
        slots += [sequence.blocks[p // BLOCK] * BLOCK + p % BLOCK for p in span]
        if span.stop == len(sequence.token_ids):
            logit_rows.append(len(token_ids) - 1)
    as_ints = [np.array(values, np.int32) for values in (token_ids, positions, sequences, slots)]
    return Batch(as_ints[0], as_ints[1], as_ints[2], as_ints[3], blocks, np.array(logit_rows, np.intp))
