"""What a smaller model guesses changes the time alone: every answer has the bits that it has without."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.draft import LONGEST, LONGEST_PAUSE, Costs, Drafting
from bise.engine.forward import Model
from bise.engine.kernels.table import choose_kernels
from bise.engine.sampling import SamplingParams
from bise.errors import InputError
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from tests.engine.test_lookup import SPEC, answers, prompt, requests_of
from tests.random_models import TINY, random_tensors, write_model

PLAIN = EngineConfig(speculation=False)
FOUR = replace(PLAIN, draft_tokens=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return made(tmp_path_factory.mktemp("model"), 0)


def made(directory: Path, seed: int) -> Model:
    quantise_directory(write_model(directory / "float", SPEC, random_tensors(SPEC, seed)), directory / "integers")
    return Model(open_weights(directory / "integers"), choose_kernels().kernels, num_threads=1)


@pytest.fixture(scope="module")
def drafts(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    short = replace(SPEC, context_length=70)
    directory = write_model(tmp_path_factory.mktemp("short"), short, random_tensors(SPEC, 0))
    return {
        "as good as the model": model,
        "with other weights": made(tmp_path_factory.mktemp("other"), 1),
        "of a shorter context, in floats": Model(open_weights(directory), choose_kernels().kernels, num_threads=1),
    }


def unbiased(max_tokens: int = 90) -> list[Request]:
    """Requests whose likeliest token is the draft's."""
    return [
        replace(request, params=replace(request.params, logit_bias=(), max_tokens=max_tokens))
        for request in requests_of()
    ]


@pytest.mark.parametrize("name", ["as good as the model", "with other weights", "of a shorter context, in floats"])
def test_every_answer_is_the_same_with_and_without(model: Model, drafts: dict[str, Model], name: str) -> None:
    held = proposed = 0
    for request in unbiased():
        expected = answers(Engine(model, PLAIN), request)
        for config in (FOUR, PLAIN):
            engine = Engine(model, config, drafts[name])
            assert answers(engine, request) == expected
            held += engine.stats().num_held_tokens
            proposed += engine.stats().num_proposed_tokens
    assert 0 < held < proposed
    if name == "as good as the model":
        assert held > proposed / 4


def test_company_and_want_of_memory_change_nothing(model: Model, drafts: dict[str, Model]) -> None:
    from bise.engine.cache import bytes_per_block

    requests = [
        *requests_of(),
        *(replace(request, request_id=f"{request.request_id}, unbiased") for request in unbiased()),
    ]
    expected = answers(Engine(model, PLAIN), *requests)
    for draft in drafts.values():
        for config in (
            replace(FOUR, max_sequences=3, step_tokens=12),
            EngineConfig(cache_bytes=20 * bytes_per_block(SPEC), max_sequences=4, draft_tokens=2),
        ):
            engine = Engine(model, config, draft)
            assert answers(engine, *requests) == expected
            assert engine.stats().num_held_tokens > 10


def test_greedy_guesses_of_the_model_itself_all_hold(model: Model) -> None:
    for length in (30, 300):  # the longer prompt is read in several steps
        engine = Engine(model, FOUR, model)
        request = Request("x", prompt(0) * (length // 30), SamplingParams(temperature=0, max_tokens=90))
        assert answers(engine, request) == answers(Engine(model, PLAIN), request)
        stats = engine.stats()
        assert stats.num_held_tokens == stats.num_proposed_tokens > 60


def test_places_of_the_draft_are_used_again(model: Model) -> None:
    engine = Engine(model, FOUR, model)
    for number in range(4):
        request = Request(f"{number}", prompt(number), SamplingParams(temperature=0, max_tokens=40))
        assert answers(engine, request) == answers(Engine(model, PLAIN), request)
        assert engine.stats().num_held_tokens == engine.stats().num_proposed_tokens


def test_another_vocabulary_is_refused(model: Model, tmp_path: Path) -> None:
    other = Model(open_weights(write_model(tmp_path, replace(TINY, vocab_size=50))), choose_kernels().kernels)
    with pytest.raises(InputError, match="vocabulary of 50 tokens, but the model one of 97"):
        Engine(model, None, other)


def test_the_best_length_follows_from_what_was_measured() -> None:
    cheap = Costs(plain=1.0, draft=0.05, extra=0.02)
    assert [cheap.best_length(holding) for holding in (0.0, 0.99)] == [0, LONGEST]
    assert 0 < cheap.best_length(0.5) < cheap.best_length(0.8) < LONGEST
    assert Costs(plain=1.0, draft=1.0, extra=0.2).best_length(0.99) == 0


@given(st.floats(0, 1), st.floats(0.01, 2), st.floats(0, 1))
def test_no_other_length_gives_more_tokens_a_second(holding: float, draft: float, extra: float) -> None:
    costs = Costs(1.0, draft, extra)

    def rate(count: int) -> float:
        return sum(holding**place for place in range(count + 1)) / (1 + count * (draft + extra))

    assert rate(costs.best_length(holding)) == max(map(rate, range(LONGEST + 1)))


def test_it_turns_itself_down_while_nothing_holds_and_up_again() -> None:
    drafting, costs, made = Drafting(), Costs(1.0, 0.1, 0.02), []
    for step in range(300):
        if drafting.length(costs):
            drafting.observe(1, 0)
            made.append(step)
    assert len(made) < 25
    assert made[-1] - made[-2] == LONGEST_PAUSE + 1
    for _ in range(40 * LONGEST_PAUSE):
        if drafting.length(costs):
            drafting.observe(1, 1)
    assert drafting.length(costs) > 1
