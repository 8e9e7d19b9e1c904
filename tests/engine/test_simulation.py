"""The engine over a pretended model that checks every block it reads, under random arrivals, cancellations and pressure.

The pretended model keeps in each slot the whole text up to there, and its logits are a function of that text. So
whatever is written over, shared wrongly, left out or computed in the wrong place changes an answer or fails at once.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.engine.blocks import blocks_for
from bise.engine.cache import bytes_per_block
from bise.engine.core import Engine, EngineConfig, Request, StepOutput
from bise.engine.forward import Batch
from bise.engine.kernels.table import BLOCK
from bise.engine.sampling import Sampler, SamplingParams, token_logprob
from bise.weights.spec import ModelSpec
from tests.random_models import TINY

SPEC = replace(TINY, vocab_size=5, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=2, context_length=120)
BAD = 4  # from this token on, logits are not numbers
Text = tuple[int, ...]


def logits_after(text: Text) -> np.ndarray:
    if BAD in text:
        return np.full(SPEC.vocab_size, np.nan, np.float32)
    logits = np.frombuffer(blake2b(bytes(text), digest_size=SPEC.vocab_size).digest(), np.uint8) / np.float32(64)
    logits[BAD] = -1000  # never drawn
    return logits


@dataclass
class PretendedModel:
    """Stands where the real model does."""

    spec: ModelSpec = SPEC
    slots: dict[int, Text] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)

    def forward(self, batch: Batch, _cache: object) -> np.ndarray:
        assert len(set(batch.slots_T.tolist())) == len(batch.slots_T), "two tokens are written to one slot"
        self.batches.append(batch)
        texts: list[Text] = []
        for token, position, row, slot in zip(
            batch.token_ids_T.tolist(),
            batch.positions_T.tolist(),
            batch.sequences_T.tolist(),
            batch.slots_T.tolist(),
            strict=True,
        ):
            blocks = batch.blocks[row].tolist()
            assert slot == blocks[position // BLOCK] * BLOCK + position % BLOCK
            before = self.slots[blocks[(position - 1) // BLOCK] * BLOCK + (position - 1) % BLOCK] if position else ()
            assert len(before) == position
            self.slots[slot] = (*before, token)
            texts.append(self.slots[slot])
        for row, text in dict(zip(batch.sequences_T.tolist(), texts, strict=True)).items():
            blocks = batch.blocks[row].tolist()
            for position in range(len(text)):
                seen = self.slots[blocks[position // BLOCK] * BLOCK + position % BLOCK]
                assert seen == text[: position + 1], "a block in use was written over"
        logits = [logits_after(texts[row]) for row in batch.logit_rows]
        return np.array(logits, np.float32).reshape(-1, SPEC.vocab_size)


def expected(request: Request, index: int, max_length: int) -> tuple[list[int], str]:
    """The answer, computed without an engine."""
    params, text = request.params, list(request.prompt_ids)
    sampler, limit = Sampler(params, text, index), min(max_length, len(text) + (params.max_tokens or max_length))
    if BAD in text:
        return [], "failed"
    while len(text) < limit:
        token = sampler.draw(logits_after(tuple(text))).token_id
        if token in params.ending_ids:
            return text[len(request.prompt_ids) :], "stop"
        text.append(token)
    return text[len(request.prompt_ids) :], "length"


@dataclass
class Client:
    """A request with the steps at which it arrives and goes."""

    request: Request
    arrives: int
    cancelled: int | None
    outputs: dict[int, list[StepOutput]] = field(default_factory=lambda: defaultdict(list))


def random_clients(random: Random) -> list[Client]:
    """Prompts that often begin alike, within a tenant and across."""
    # Where all blocks hold the same tokens, one in a wrong place of the tree would be found.
    texts = [np.random.default_rng(0).integers(0, 3, 90).tolist(), 90 * [2]]
    made = []
    for number in range(random.randint(2, 10)):
        length = random.choice([random.randint(1, 90), BLOCK, 2 * BLOCK, 5 * BLOCK])
        tail = random.choice([[], [], [1], [3, 3], [BAD], [BAD] + 40 * [1]])
        params = SamplingParams(
            temperature=random.choice([0, 1]),
            seed=number,
            max_tokens=random.choice([1, 5, 30, 30, None]),
            n=random.choice([1, 1, 1, 3]),
            stop_ids=random.choice([(), (), (3,)]),
            logprobs=random.choice([None, 2]),
            prompt_logprobs=random.choice([None, None, 1]),
            scored_from=random.choice([1, 1, 20, 60, 111]),
        )
        prompt = (random.choice(texts)[:length] + tail)[:110]
        request = Request(str(number), prompt, params, random.choice("ab"), random.choice(["interactive", "batch"]))
        arrives = random.randint(0, 20)
        stays = random.choice([None, None, None, 0, 1, 5, 20])
        made.append(Client(request, arrives, None if stays is None else arrives + stays))
    return made


def random_config(random: Random) -> EngineConfig:
    max_sequences = random.randint(1, 6)
    return EngineConfig(
        step_tokens=max_sequences + random.randint(0, 40),
        max_sequences=max_sequences,
        cache_bytes=random.randint(blocks_for(SPEC.context_length), 20) * bytes_per_block(SPEC),
        prefix_sharing=random.random() < 0.8,
    )


def simulate(engine: Engine, clients: list[Client]) -> int:
    """Run to the end; returns the steps it took."""
    gone: set[str] = set()
    by_id = {client.request.request_id: client for client in clients}
    step = 0
    while step <= 20 or not engine.is_idle:
        for client in clients:
            if client.arrives == step:
                engine.add_request(client.request)
            if client.cancelled == step:
                engine.cancel(client.request.request_id)
                gone.add(client.request.request_id)
        for output in engine.step():
            assert output.request_id not in gone
            outputs = by_id[output.request_id].outputs[output.index]
            assert not outputs or outputs[-1].finish_reason is None, "nothing comes after the end"
            outputs.append(output)
        stats = engine.stats()
        assert stats.num_running <= engine.config.max_sequences
        assert stats.num_used_blocks + stats.num_cached_blocks <= stats.num_blocks
        step += 1
        assert step < 20_000, "not every request ends"
    assert engine.blocks.num_used == 0, "blocks leaked"
    assert len(engine._service) == 0, "tenants are remembered"
    return step


@settings(max_examples=80, deadline=None)
@given(st.integers(0))
def test_every_answer_is_the_one_it_would_be_alone(seed: int) -> None:
    random = Random(seed)
    clients, config = random_clients(random), random_config(random)
    model = PretendedModel()
    engine = Engine(model, config)
    simulate(engine, clients)
    assert all(len(batch.token_ids_T) <= config.step_tokens for batch in model.batches)
    for client in clients:
        request = client.request
        for index in range(request.params.n):
            outputs = client.outputs[index]
            tokens = [token for output in outputs for token in output.token_ids]
            wanted, reason = expected(request, index, engine.max_length)
            if client.cancelled is not None and not (outputs and outputs[-1].finish_reason):
                assert tokens == wanted[: len(tokens)]
                continue
            assert (tokens, outputs[-1].finish_reason) == (wanted, reason)
            check_logprobs(request, index, outputs, tokens)


def check_logprobs(request: Request, index: int, outputs: list[StepOutput], tokens: list[int]) -> None:
    logprobs = [logprob for output in outputs for logprob in output.logprobs]
    if request.params.logprobs is None:
        assert logprobs == []
    else:
        text = tuple(request.prompt_ids)
        ended_by = [logprob.token_id for logprob in logprobs[len(tokens) :]]  # the stop token has its own
        is_stopped = bool(outputs) and outputs[-1].finish_reason == "stop"
        assert len(ended_by) == is_stopped
        assert set(ended_by) <= request.params.ending_ids
        drawn = [*tokens, *ended_by]
        wanted = [token_logprob(logits_after((*text, *drawn[:i])), token, 2) for i, token in enumerate(drawn)]
        assert logprobs == wanted
    if index == 0 and request.params.prompt_logprobs is not None and outputs[0].finish_reason != "failed":
        text = tuple(request.prompt_ids)
        start = min(request.params.scored_from, len(text))
        wanted = [token_logprob(logits_after(text[:i]), text[i], 1) for i in range(start, len(text))]
        assert outputs[0].prompt_logprobs == (*[None] * start, *wanted)
    assert all(output.prompt_logprobs is None for output in outputs[1:])


@settings(max_examples=60, deadline=None)
@given(st.integers(0))
def test_only_what_the_same_tenant_had_computed_is_shared(seed: int) -> None:
    random = Random(seed)
    clients, config = random_clients(random), random_config(random)
    simulate(Engine(PretendedModel(), config), clients)
    for client in clients:
        others = [
            other.request.prompt_ids
            for other in clients
            if other is not client and other.request.tenant == client.request.tenant
        ]
        for index, outputs in client.outputs.items():
            cached = max((output.num_cached_tokens for output in outputs), default=0)
            prompt = client.request.prompt_ids
            sources = others + [prompt] * (client.request.params.n > 1)
            assert cached < len(prompt)
            assert cached == 0 or config.prefix_sharing
            if index == 0 and client.request.params.prompt_logprobs is not None:
                assert cached < client.request.params.scored_from
            assert cached == 0 or any(source[:cached] == prompt[:cached] for source in sources)


def answer(n: int, *, length: int = 20, tenant: str = "", priority: str = "interactive", seed: int = 0) -> Client:
    prompt = np.random.default_rng(n + 1000 * seed).integers(0, 3, length).tolist()
    return Client(Request(str(n), prompt, SamplingParams(seed=n, max_tokens=10), tenant, priority), 0, None)


def first_steps(clients: list[Client], config: EngineConfig) -> dict[str, int]:
    """The step in which each client got its first token."""
    engine = Engine(PretendedModel(), config)
    for client in clients:
        engine.add_request(client.request)
    first: dict[str, int] = {}
    step = 0
    while not engine.is_idle:
        for output in engine.step():
            first.setdefault(output.request_id, step)
        step += 1
    return first


def test_a_tenant_that_floods_does_not_keep_another_waiting() -> None:
    flood = [answer(n, tenant="many") for n in range(40)]
    first = first_steps([*flood, answer(99, tenant="one")], EngineConfig(max_sequences=2))
    assert sum(first[client.request.request_id] < first["99"] for client in flood) <= 3


def test_a_tenant_whose_answers_fill_all_places_gives_some_up() -> None:
    engine = Engine(PretendedModel(), EngineConfig(max_sequences=4))
    clients = [answer(n, tenant="many") for n in range(8)] + [answer(9, tenant="one")]
    for client in clients[:8]:
        client.request = replace(client.request, params=replace(client.request.params, max_tokens=90))
    clients[8].arrives = 10
    simulate(engine, clients)
    assert engine.stats().num_preemptions == 1
    for client in clients:
        tokens = [token for output in client.outputs[0] for token in output.token_ids]
        assert tokens == expected(client.request, 0, engine.max_length)[0]


def test_tenants_are_compared_by_tokens_not_by_requests() -> None:
    clients = [answer(n, tenant="long" if n % 2 else "short") for n in range(60)]
    for client in clients[1::2]:
        client.request = replace(client.request, params=replace(client.request.params, max_tokens=100))
    order = list(first_steps(clients, EngineConfig(max_sequences=1)))
    assert 4 <= sum(int(n) % 2 for n in order[:30]) <= 8, "120 + 20 tokens at a time against 20 + 20"


def test_batch_requests_wait_for_interactive_ones_but_not_for_ever() -> None:
    config = EngineConfig(max_sequences=1)
    batch = [answer(n, priority="batch") for n in range(3)]
    flood = [answer(n) for n in range(10, 60)]
    order = list(first_steps([*batch, *flood], config))
    assert [order.index(str(n)) for n in range(3)] == [16, 33, 50], "after 8 for each of two lanes"


def test_an_interactive_request_interrupts_batch_ones_whose_answers_stay_the_same() -> None:
    engine = Engine(PretendedModel(), EngineConfig(max_sequences=2))
    batch = [answer(n, priority="batch") for n in range(2)]
    for client in batch:
        client.request = replace(client.request, params=replace(client.request.params, max_tokens=50))
    urgent = replace(answer(7), arrives=10)
    simulate(engine, [*batch, urgent])
    assert engine.stats().num_preemptions == 1
    for client in [*batch, urgent]:
        tokens = [token for output in client.outputs[0] for token in output.token_ids]
        assert tokens == expected(client.request, 0, engine.max_length)[0]


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("same_tokens", [True, False])
def test_answers_that_outgrow_the_cache_are_preempted_and_stay_the_same(sharing: bool, same_tokens: bool) -> None:
    config = EngineConfig(cache_bytes=10 * bytes_per_block(SPEC), prefix_sharing=sharing)
    engine = Engine(PretendedModel(), config)
    clients = [answer(n, length=10) for n in range(6)]
    for client in clients:
        prompt = 40 * [2] if same_tokens else client.request.prompt_ids
        params = replace(client.request.params, max_tokens=None)
        client.request = replace(client.request, prompt_ids=prompt, params=params)
    simulate(engine, clients)
    assert engine.stats().num_preemptions > 0
    for client in clients:
        tokens = [token for output in client.outputs[0] for token in output.token_ids]
        assert (tokens, "length") == expected(client.request, 0, engine.max_length)


def test_what_was_computed_along_with_what_is_not_a_number_is_not_shared() -> None:
    engine = Engine(PretendedModel(), EngineConfig())
    for n in range(2):
        client = answer(n)
        client.request = replace(client.request, prompt_ids=[*range(4), BAD, *(40 * [1])])
        simulate(engine, [client])
        assert client.outputs[0] == [StepOutput(str(n), (), "failed")]
        assert engine.stats().num_cached_blocks == 0


def test_equal_prompts_that_arrive_together_are_computed_once() -> None:
    model = PretendedModel()
    engine = Engine(model, EngineConfig(step_tokens=40))
    same = [replace(answer(0, length=100).request, request_id=str(n)) for n in range(8)]
    for request in same:
        engine.add_request(request)
    while not engine.is_idle:
        engine.step()
    prompts = sum(len(batch.token_ids_T) for batch in model.batches) - 8 * 9
    assert prompts <= 100 + 7 * (4 + BLOCK) + 40
    assert engine.stats().num_cached_tokens >= 7 * 80


def test_answers_of_one_request_share_its_prompt() -> None:
    model = PretendedModel()
    engine = Engine(model, EngineConfig())
    request = answer(0, length=100).request
    engine.add_request(replace(request, params=replace(request.params, n=4)))
    engine.step()
    engine.step()
    assert engine.stats().num_used_blocks == 6 + 4, "six full blocks for all, and each its last"
    assert len(model.batches[1].token_ids_T) == 1 + 3 * 4, "four tokens of the last block for each"


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("num_steps", [0, 1, 3, 6])
def test_one_of_several_answers_can_be_given_up(index: int, num_steps: int) -> None:
    engine = Engine(PretendedModel(), EngineConfig(max_sequences=2, step_tokens=16))
    request = answer(0, length=40).request
    request = replace(request, params=replace(request.params, n=3))
    engine.add_request(request)
    outputs = [output for _ in range(num_steps) for output in engine.step()]
    engine.cancel("0", index)
    rest = []
    while not engine.is_idle:
        rest += engine.step()
    assert index not in {output.index for output in rest}
    assert engine.blocks.num_used == 0
    for other in {0, 1, 2} - {index}:
        tokens = [token for output in outputs + rest if output.index == other for token in output.token_ids]
        assert tokens == expected(request, other, engine.max_length)[0]
