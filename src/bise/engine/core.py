"""The engine: requests of token ids in, tokens out, step by step.

One step is a plan (pure functions, in `scheduler.py`), a run of the model, and a draw for every sequence whose tokens
are all computed. Full blocks enter the tree of shared blocks when the logits after them have proved to be numbers, so
that another sequence with the same beginning holds them instead of computing them; their bits are the same, because a
token's keys and values do not depend on what runs beside it nor on how a prompt is cut into chunks.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bise.engine.adapters import AdapterPool, HeldAdapter
from bise.engine.blocks import BlockPool, Node, blocks_for
from bise.engine.cache import KVCache, bytes_per_block
from bise.engine.draft import Draft
from bise.engine.forward import Adapted, Batch, Model
from bise.engine.guessing import Guessing
from bise.engine.kernels.table import BLOCK, Floats
from bise.engine.requests import Constraint, FinishReason, SequenceState, check_prompt
from bise.engine.requests import Request as Request
from bise.engine.requests import StepOutput as StepOutput
from bise.engine.sampling import Sampler, token_logprob
from bise.engine.scheduler import RESERVE, Running, Slice, StepCost, View, choose_running, divide_step, num_pairs
from bise.engine.settings import EngineConfig as EngineConfig
from bise.engine.settings import EngineStats as EngineStats
from bise.engine.waiting import Service, WaitingLanes
from bise.hardware import memory_bytes
from bise.weights.spec import ModelSpec

DRAWN_WEIGHT = 2  # what a drawn token counts beside a prompt's in what a tenant was served (arXiv 2401.00588)


class Engine:
    """Continuous batching over one model; not thread-safe, one thread calls `step` in a loop."""

    def __init__(self, model: Model, config: EngineConfig | None = None, draft: Model | None = None) -> None:
        """Make an engine of a model, and of a smaller one that guesses for it.

        Raises:
            InputError: the smaller one has another vocabulary.
        """
        self.model = model
        self.config = config or EngineConfig()
        self.blocks = BlockPool(num_cache_blocks(model.spec, self.config))
        self.cache = KVCache(model.spec, self.blocks.num_blocks, self.config.kv_precision)
        self.max_length = min(model.spec.context_length, self.blocks.num_blocks * BLOCK)  # tokens, answer included
        most_bytes = memory_bytes() // 16 if self.config.adapter_bytes is None else self.config.adapter_bytes
        self.adapters = AdapterPool(most_bytes)
        self._requests: dict[str, list[SequenceState]] = {}  # every answer that has not ended
        self._waiting = WaitingLanes()
        self._running: list[SequenceState] = []
        self._service = Service()
        self._cost = StepCost()
        self._num_arrived = 0
        # The blocks of running sequences, a row each, so that no step has to copy them together.
        self._table = np.zeros((self.config.max_sequences, blocks_for(self.max_length)), np.int32)
        self._free_rows = list(range(self.config.max_sequences))[::-1]
        self._num_prompt_tokens = self._num_cached_tokens = self._num_drawn_tokens = self._num_preemptions = 0
        sizes = (self.config.max_sequences, self.max_length, self.config.kv_precision)
        guide = Draft(draft, model.spec, *sizes) if draft is not None else None
        self._guessing = Guessing(self.config, guide)

    @property
    def is_idle(self) -> bool:
        """Whether a step would have nothing to do."""
        return not self._requests

    def stats(self) -> EngineStats:
        """Figures for metrics; costs next to nothing."""
        return EngineStats(
            num_running=len(self._running),
            num_waiting=sum(map(len, self._requests.values())) - len(self._running),
            num_blocks=self.blocks.num_blocks,
            num_used_blocks=self.blocks.num_used,
            num_cached_blocks=self.blocks.num_cached,
            num_prompt_tokens=self._num_prompt_tokens,
            num_cached_tokens=self._num_cached_tokens,
            num_drawn_tokens=self._num_drawn_tokens,
            num_proposed_tokens=self._guessing.num_proposed,
            num_held_tokens=self._guessing.num_held,
            num_preemptions=self._num_preemptions,
            num_evictions=self.blocks.num_evictions,
            num_adapters=len(self.adapters),
            adapter_bytes=self.adapters.size_bytes,
        )

    def waiting(self) -> tuple[str, ...]:
        """The requests that wait for a place, in order of arrival."""
        ordered = sorted(self._waiting, key=lambda sequence: sequence.number)
        return tuple(dict.fromkeys(sequence.request.request_id for sequence in ordered))

    def add_request(self, request: Request, constraint: Constraint | None = None) -> None:
        """Queue a request, whose adapter is in `adapters` and whose grammar begins at `constraint`.

        Its outputs come from `step`.

        Raises:
            InputError: the prompt is empty, holds ids outside the vocabulary, or leaves no room for an answer; or the
                sampling parameters name such ids.
        """
        assert request.request_id not in self._requests, f"{request.request_id} is in use"
        check_prompt(request.prompt_ids, self.model.spec, self.max_length)
        request.params.check_vocabulary(self.model.spec.vocab_size)
        sequences = [self._make_sequence(request, index, constraint) for index in range(request.params.n)]
        self._requests[request.request_id] = sequences
        self._waiting.add(sequences[0])  # the others follow when its prompt is computed, and share that

    def cancel(self, request_id: str, index: int | None = None) -> None:
        """Forget a request, or one of its answers, and free its blocks; nothing happens when it has already ended."""
        for sequence in list(self._requests.get(request_id, ())):
            if index in (None, sequence.index):
                self._end(sequence)

    def step(self) -> list[StepOutput]:
        """Run one step; returns the new tokens of every answer that got one."""
        self._change_running()
        running = [self._view_running(sequence) for sequence in self._running]
        slices = divide_step(running, self._cost, self.config.step_tokens, self.config.step_s)
        if not slices:
            return []
        proposals = self._propose(slices)
        batch, num_rows = self._lay_out(slices, proposals)
        started = time.perf_counter()
        logits = self.model.forward(batch, self.cache)
        seconds = time.perf_counter() - started
        if any(running[index].num_left > 1 for index, _ in slices):
            pairs = sum(num_pairs(running[index].num_computed, count) for index, count in slices)
            self._cost = self._cost.after(len(batch.token_ids_T), pairs, seconds)
        else:
            self._guessing.note_step(len(batch.token_ids_T) / len(slices), seconds)
        return self._take_logits(
            [(self._running[index], count, proposals.get(index, [])) for index, count in slices], num_rows, logits
        )

    def _make_sequence(self, request: Request, index: int, constraint: Constraint | None) -> SequenceState:
        self._num_arrived += 1
        self._service.begin(request.tenant)
        params = request.params
        num_prompt = len(request.prompt_ids)
        max_length = self.max_length if params.max_tokens is None else num_prompt + params.max_tokens
        wants_prompt = params.prompt_logprobs is not None and index == 0
        sequence = SequenceState(
            request=request,
            index=index,
            number=self._num_arrived,
            token_ids=list(request.prompt_ids),
            max_length=min(max_length, self.max_length),
            sampler=Sampler(params, request.prompt_ids, index),
            ending_ids=params.ending_ids,
            node=self.blocks.root(request.namespace),
            adapter=self.adapters.hold(request.adapter.key) if request.adapter else None,
            prompt_logprobs=[None] * min(params.scored_from, num_prompt) if wants_prompt else None,
            embedding=self.model.mean_state() if request.embeds else None,
            has_to_follow=index > 0,
            constraint=constraint.copy() if constraint else None,
        )
        self._guessing.begin(sequence)
        sequence.unsent = self._jump(sequence)
        return sequence

    def _change_running(self) -> None:
        """Preempt, grow, admit, and share what others have published meanwhile."""
        for sequence in self._running:
            if sequence.num_left > 1:
                self._share(sequence)
        changes = choose_running(self._view())
        running = {sequence.number: sequence for sequence in self._running}
        for number in changes.preempted:
            self._preempt(running[number])
        for sequence in self._running:
            if len(sequence.blocks) < blocks_for(len(sequence.token_ids)):
                self._hold(sequence, self.blocks.take(blocks_for(len(sequence.token_ids)) - len(sequence.blocks)))
        if changes.admitted:
            waiting = {sequence.number: sequence for sequence in self._waiting}
            admitted = [waiting[number] for number in changes.admitted]
            self._waiting.overtake([sequence for sequence in admitted if self._admit(sequence)])

    def _view(self) -> View:
        num_running = len(self._running)
        num_places = self.config.max_sequences - sum(not sequence.is_batch for sequence in self._running)
        lanes = self._waiting.view(num_places + 1, self._service, self._num_to_take)
        most_wanted = max((waiting.num_blocks for lane in lanes for waiting in lane.waiting), default=0)
        # Only then does it matter what preempting a sequence would free, which takes as long as it has blocks.
        is_tight = self.blocks.num_available < num_running + most_wanted + RESERVE * (num_running + 1)
        return View(
            running=tuple(self._view_running(sequence, counts_alone=is_tight) for sequence in self._running),
            lanes=lanes,
            num_available=self.blocks.num_available,
            max_sequences=self.config.max_sequences,
        )

    def _view_running(self, sequence: SequenceState, *, counts_alone: bool = False) -> Running:
        return Running(
            number=sequence.number,
            num_computed=sequence.num_computed,
            num_left=sequence.num_left,
            num_wanted=blocks_for(len(sequence.token_ids)) - len(sequence.blocks),
            num_alone=self.blocks.num_held_alone(sequence.blocks) if counts_alone else 0,
            tenant=sequence.request.tenant,
            is_batch=sequence.is_batch,
            is_promoted=sequence.is_promoted,
        )

    def _num_to_take(self, sequence: SequenceState, is_first: bool) -> int:
        """Blocks that admitting a sequence takes; looked up in the tree only where it may decide."""
        count = blocks_for(len(sequence.token_ids))
        if is_first and count + RESERVE * (len(self._running) + 1) > self.blocks.num_available:
            may_share = sequence.token_ids[: max(0, sequence.num_to_share - 1)]
            count -= self.blocks.num_held_prefix(sequence.request.namespace, may_share)
        return count

    def _admit(self, sequence: SequenceState) -> bool:
        """Give a sequence its row and blocks; False when what it was to share has gone in the same step."""
        sequence.row = self._free_rows.pop()
        self._share(sequence)
        num_lacking = blocks_for(len(sequence.token_ids)) - len(sequence.blocks)
        if num_lacking > self.blocks.num_available:
            self._give_up_place(sequence)
            return False
        self._hold(sequence, self.blocks.take(num_lacking))
        self._waiting.remove(sequence)
        self._running.append(sequence)
        if not sequence.num_preemptions:
            self._num_prompt_tokens += len(sequence.token_ids)
            self._service.charge(sequence.request.tenant, len(sequence.token_ids) - sequence.num_computed)
        return True

    def _preempt(self, sequence: SequenceState) -> None:
        self._running.remove(sequence)
        self._give_up_place(sequence)
        self._waiting.add(sequence)
        sequence.num_preemptions += 1
        self._num_preemptions += 1

    def _give_up_place(self, sequence: SequenceState) -> None:
        self.blocks.give_back(sequence.blocks)
        self._free_rows.append(sequence.row)
        sequence.row, sequence.blocks = -1, []
        sequence.num_computed = sequence.num_shared = 0
        if sequence.embedding is not None:  # all of it is computed again
            sequence.embedding = self.model.mean_state()
        sequence.node = self.blocks.root(sequence.request.namespace)

    def _end(self, sequence: SequenceState) -> None:
        """Forget an answer, wherever it is."""
        request_id = sequence.request.request_id
        if sequence in self._running:
            self._running.remove(sequence)
            self._give_up_place(sequence)
        elif sequence in self._waiting:
            self._waiting.remove(sequence)
        self._service.end(sequence.request.tenant)
        if sequence.adapter is not None:
            self.adapters.release(sequence.adapter)
        self._requests[request_id].remove(sequence)
        if self._requests[request_id]:
            self._let_follow(request_id)
        else:
            del self._requests[request_id]

    def _let_follow(self, request_id: str) -> None:
        """Queue the answers of a request that have waited for the first one's prompt."""
        for sequence in self._requests[request_id]:
            if sequence.has_to_follow:
                sequence.has_to_follow = False
                self._waiting.add(sequence)

    def _hold(self, sequence: SequenceState, blocks: list[int]) -> None:
        held = len(sequence.blocks)
        self._table[sequence.row, held : held + len(blocks)] = blocks
        sequence.blocks += blocks

    def _share(self, sequence: SequenceState) -> None:
        """Hold published blocks of the tokens to compute, in place of one's own; what is drawn or scored from is computed."""
        if not self.config.prefix_sharing:
            return
        while (end := (sequence.num_shared + 1) * BLOCK) < sequence.num_to_share:
            node = self.blocks.share(sequence.node, sequence.token_ids[end - BLOCK : end])
            if node is None:
                return
            if sequence.num_shared < len(sequence.blocks):
                self.blocks.give_back([sequence.blocks[sequence.num_shared]])
            self._follow_tree(sequence, node)
            if not sequence.num_preemptions:
                num_spared = min(BLOCK, max(0, end - sequence.num_computed))
                sequence.num_cached_tokens += num_spared
                self._num_cached_tokens += num_spared
            sequence.num_computed = max(sequence.num_computed, end)

    def _publish(self, sequence: SequenceState) -> None:
        """Let others share the full blocks that were computed since."""
        if not self.config.prefix_sharing:
            return
        while (end := (sequence.num_shared + 1) * BLOCK) <= sequence.num_computed:
            tokens, block = sequence.token_ids[end - BLOCK : end], sequence.blocks[sequence.num_shared]
            self._follow_tree(sequence, self.blocks.publish(sequence.node, tokens, block))

    def _follow_tree(self, sequence: SequenceState, node: Node) -> None:
        self._table[sequence.row, sequence.num_shared] = node.block
        sequence.blocks[sequence.num_shared : sequence.num_shared + 1] = [node.block]
        sequence.num_shared += 1
        sequence.node = node

    def _propose(self, slices: Sequence[Slice]) -> dict[int, list[int]]:
        """Tokens that may follow, by place among the running; they have room in the blocks that the sequence holds."""
        if any(count > 1 for _, count in slices):
            return {}
        running = {index: self._running[index] for index, _ in slices}
        drawn = {index: one for index, one in running.items() if one.num_left == 1 and not one.wants_prompt_rows}
        return self._guessing.propose(drawn, len(slices))

    def _lay_out(self, slices: Sequence[Slice], proposals: dict[int, list[int]]) -> tuple[Batch, list[int]]:
        """A batch for the model, and how many rows of logits each slice gets."""
        token_ids: list[int] = []
        sizes: list[int] = []
        logit_rows: list[int] = []
        num_rows = []
        for index, count in slices:
            sequence = self._running[index]
            stop = sequence.num_computed + count
            proposed = proposals.get(index, [])
            token_ids += sequence.token_ids[sequence.num_computed : stop] + proposed
            sizes.append(count + len(proposed))
            num_rows.append(sequence.num_logit_rows(count) + len(proposed))
            logit_rows += range(len(token_ids) - num_rows[-1], len(token_ids))
        counts = np.array(sizes)
        places = np.array([(self._running[i].row, self._running[i].num_computed) for i, _ in slices], np.int32)
        rows_T = np.repeat(places[:, 0], counts)
        before_T = np.repeat((places[:, 1] - np.cumsum(counts) + counts).astype(np.int32), counts)
        positions_T = before_T + np.arange(len(token_ids), dtype=np.int32)
        slots_T = self._table[rows_T, positions_T // BLOCK] * BLOCK + positions_T % BLOCK
        tokens_T = np.array(token_ids, np.int32)
        rows = np.array(logit_rows, np.intp)
        adapted = self._adapted([(self._running[i], n) for (i, _), n in zip(slices, sizes, strict=True)])
        return Batch(tokens_T, positions_T, rows_T, slots_T, self._table, rows, adapted), num_rows

    def _adapted(self, slices: Sequence[tuple[SequenceState, int]]) -> tuple[Adapted, ...]:
        """Which of a step's tokens each adapter is for."""
        tokens: dict[HeldAdapter, list[int]] = {}
        end = 0
        for sequence, count in slices:
            end += count
            if sequence.adapter is not None:
                tokens.setdefault(sequence.adapter, []).extend(range(end - count, end))
        return tuple(Adapted(held.packed, np.array(places, np.intp)) for held, places in tokens.items())

    def _take_logits(
        self, slices: Sequence[tuple[SequenceState, int, list[int]]], num_rows: Sequence[int], logits: Floats
    ) -> list[StepOutput]:
        with np.errstate(over="ignore", invalid="ignore"):  # infinities of both signs add up to what is not a number
            are_numbers = np.isfinite(logits.sum(axis=1)).tolist()
        outputs: list[StepOutput] = []
        first = first_token = 0
        for (sequence, count, proposed), rows in zip(slices, num_rows, strict=True):
            last = first + rows
            sequence.num_computed += count
            if sequence.embedding is not None:
                sequence.embedding.add(self.model.states(first_token, first_token + count))
            first_token += count + len(proposed)
            if not all(are_numbers[first : last - len(proposed)]):  # what follows from a wrong guess fails nothing
                outputs += self._fail(sequence)
            else:
                if sequence.wants_prompt_rows:
                    _score_prompt(sequence, logits[first:last])
                if proposed:
                    outputs.append(self._draw_proposed(sequence, proposed, logits[first:last], are_numbers[first:last]))
                elif sequence.num_left == 0:
                    outputs.append(self._answer(sequence, logits[last - 1]))
            first = last
        return outputs

    def _fail(self, sequence: SequenceState) -> list[StepOutput]:
        """End an answer, and those that wait for its prompt; what was computed since the last draw is not shared."""
        request_id = sequence.request.request_id
        failed = [sequence, *(other for other in self._requests[request_id] if other.has_to_follow)]
        for other in reversed(failed):
            self._end(other)
        return [StepOutput(request_id, (), "failed", other.index) for other in failed]

    def _jump(self, sequence: SequenceState) -> tuple[int, ...]:
        """Append the tokens that the grammar forces, but for one that is drawn; none have a probability to be told."""
        params, constraint = sequence.request.params, sequence.constraint
        if constraint is None or params.logprobs is not None or params.prompt_logprobs is not None:
            return ()
        forced = tuple(constraint.jump(sequence.max_length - len(sequence.token_ids) - 1))
        sequence.token_ids += forced
        for token in forced:
            sequence.sampler.take(token)
        return forced

    def _answer(self, sequence: SequenceState, logits_V: Floats) -> StepOutput:
        """What a sequence gets when all its tokens are computed: the next one, or its vector."""
        if sequence.embedding is None:
            return self._draw(sequence, logits_V)
        self._publish(sequence)
        vector = sequence.embedding.vector()
        self._end(sequence)
        return StepOutput(sequence.request.request_id, (), "stop", embedding=vector)

    def _draw_proposed(
        self, sequence: SequenceState, proposed: list[int], logits: Floats, are_numbers: Sequence[bool]
    ) -> StepOutput:
        """Draw the next token, and those after it as long as what was computed for them is what was drawn."""
        outputs = [self._draw(sequence, logits[0])]
        for token, logits_V, is_number in zip(proposed, logits[1:], are_numbers[1:], strict=True):
            has_jumped = sequence.num_left > 1
            if outputs[-1].finish_reason or has_jumped or sequence.token_ids[-1] != token or not is_number:
                break
            sequence.num_computed += 1
            outputs.append(self._draw(sequence, logits_V))
        num_held = len(outputs) - 1
        self._guessing.observe(sequence, len(proposed), num_held)
        return replace(
            outputs[-1],
            token_ids=tuple(token for output in outputs for token in output.token_ids),
            logprobs=tuple(logprob for output in outputs for logprob in output.logprobs),
            prompt_logprobs=outputs[0].prompt_logprobs,
        )

    def _draw(self, sequence: SequenceState, logits_V: Floats) -> StepOutput:
        self._publish(sequence)
        self._let_follow(sequence.request.request_id)
        constraint = sequence.constraint
        allowed_V = constraint.allowed() if constraint else None
        if constraint is not None and constraint.problem is not None:
            self._end(sequence)
            return StepOutput(sequence.request.request_id, (), "grammar", sequence.index)
        draw = sequence.sampler.draw(logits_V, allowed_V)
        prompt_logprobs, sequence.prompt_logprobs = sequence.prompt_logprobs, None
        self._num_drawn_tokens += 1
        self._service.charge(sequence.request.tenant, DRAWN_WEIGHT)
        is_stop = draw.token_id in sequence.ending_ids
        reason: FinishReason | None = "stop" if is_stop else None
        token_ids, sequence.unsent = sequence.unsent, ()
        if not is_stop:
            sequence.token_ids.append(draw.token_id)
            token_ids += (draw.token_id,)
            if constraint is not None:
                constraint.take(draw.token_id)
                token_ids += self._jump(sequence)
            if constraint is not None and constraint.is_finished:
                reason = "stop"
            elif len(sequence.token_ids) == sequence.max_length:
                reason = "length"
        if reason is not None:
            self._end(sequence)
        return StepOutput(
            request_id=sequence.request.request_id,
            token_ids=token_ids,
            finish_reason=reason,
            index=sequence.index,
            logprobs=() if draw.logprob is None else (draw.logprob,),
            prompt_logprobs=None if prompt_logprobs is None else tuple(prompt_logprobs),
            num_cached_tokens=sequence.num_cached_tokens,
        )


def num_cache_blocks(spec: ModelSpec, config: EngineConfig) -> int:
    """Blocks for every sequence's full context, as far as the memory that may be used allows."""
    allowed = memory_bytes() // 4 if config.cache_bytes is None else config.cache_bytes
    affordable = allowed // bytes_per_block(spec, config.kv_precision)
    return max(1, min(affordable, blocks_for(spec.context_length) * config.max_sequences))


def _score_prompt(sequence: SequenceState, logits: Floats) -> None:
    """Note how likely each next token of the prompt was; a row too many belongs to the answer's first token."""
    num_alternatives = sequence.request.params.prompt_logprobs
    assert sequence.prompt_logprobs is not None
    assert num_alternatives is not None
    first = len(sequence.prompt_logprobs)
    for logits_V, token in zip(logits, sequence.request.prompt_ids[first:], strict=False):
        sequence.prompt_logprobs.append(token_logprob(logits_V, token, num_alternatives))
