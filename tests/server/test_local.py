"""The backend on this machine, with a real engine in its process: text is what the tokens say, to the last byte."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from bise.engine.sampling import SamplingParams
from bise.errors import InputError, NotFoundError, UnavailableError
from bise.messages import Conversation, Message, Tool
from bise.runs import Manifest, hash_outputs, write_manifest
from bise.server.backend import (
    ChatRequest,
    CompletionRequest,
    ContextOverflowError,
    EmbeddingRequest,
    Finished,
    PromptTokens,
    ResponseFormat,
    Sampling,
    TextDelta,
    ToolChoice,
)
from bise.server.local import LocalBackend
from bise.weights.adapters import adapters_directory
from bise.weights.spec import read_spec
from tests.random_adapters import write_adapter
from tests.scripted_backend import until
from tests.speaking_model import write_speaking_model

pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG = Conversation((Message("user", "wind " * 600),))
PLAIN = tuple((token, -100.0) for token in range(32) if token != 2)  # no control token but the end
SAMPLING = Sampling(seed=3, max_tokens=60, logit_bias=PLAIN)
ASK = ChatRequest("tiny", Conversation((Message("user", "Where is the wind?"),)), SAMPLING)


def asking(**changes: object) -> ChatRequest:
    return replace(ASK, sampling=replace(SAMPLING, **changes))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(write_speaking_model(tmp_path_factory.mktemp("models") / "tiny", context_length=512))
    assert not backend.ready
    await backend.start()
    yield backend
    await backend.close()
    assert not backend.ready


async def answer(backend: LocalBackend, request: ChatRequest) -> tuple[list[str], Finished]:
    events = [event async for event in await backend.chat(request)]
    end = events.pop()
    assert isinstance(end, Finished)
    assert all(isinstance(event, TextDelta) for event in events)
    return [event.text for event in events], end


async def test_text_is_what_the_tokens_of_the_engine_say(backend: LocalBackend) -> None:
    pieces, end = await answer(backend, ASK)
    tokenizer, engine = backend._tokenizer, backend._engine
    prompt = tokenizer.render(ASK.conversation, for_completion=True).ids
    params = SamplingParams(SAMPLING.temperature, SAMPLING.top_p, 60, 3, (tokenizer.eos_id,), logit_bias=PLAIN)
    ids = [token async for output in engine.generate(prompt, params) for token in output.token_ids]
    assert "".join(pieces) == tokenizer.decode(ids)
    assert (end.num_prompt_tokens, end.num_completion_tokens) == (len(prompt), len(ids))
    assert end.num_prompt_tokens == await backend.count_tokens("tiny", ASK.conversation)
    assert len(pieces) > 1


async def test_a_stop_string_ends_the_same_text_earlier(backend: LocalBackend) -> None:
    whole = "".join((await answer(backend, ASK))[0])
    stop = whole[8:11]
    pieces, end = await answer(backend, asking(stop=(stop,)))
    assert "".join(pieces) == whole[: whole.index(stop)]
    assert end.finish_reason == "stop"


async def test_max_tokens_and_the_end_of_the_context_are_the_length(backend: LocalBackend) -> None:
    _, end = await answer(backend, asking(max_tokens=3, temperature=0))
    assert (end.finish_reason, end.num_completion_tokens) == ("length", 3)
    room = 512 - end.num_prompt_tokens
    await answer(backend, asking(max_tokens=room))
    with pytest.raises(ContextOverflowError, match=rf"{end.num_prompt_tokens} tokens .* at most {room} tokens"):
        await backend.chat(asking(max_tokens=room + 1))


async def test_what_cannot_be_answered_is_refused_before_the_first_token(backend: LocalBackend) -> None:
    with pytest.raises(ContextOverflowError, match="holds 512"):
        await backend.chat(replace(asking(max_tokens=None), conversation=LONG))
    with pytest.raises(NotFoundError, match="Models on offer: tiny"):
        await backend.chat(replace(ASK, model="other"))


async def test_adapters_come_and_go_while_the_server_runs(backend: LocalBackend, tmp_path: Path) -> None:
    spec, plain = read_spec(backend._directory), await answer(backend, ASK)
    polite = replace(ASK, model="tiny:polite")
    with pytest.raises(NotFoundError, match="Models on offer: tiny\\."):
        await backend.chat(polite)
    for seed in (1, 2):  # the second replaces the first under its name
        install_as("tiny", "polite", write_adapter(tmp_path / f"{seed}", spec, seed=seed))
        (base, adapter) = backend.models()
        assert (adapter.id, adapter.parent, base.parent) == ("tiny:polite", "tiny", None)
        adapted = await answer(backend, polite)
        assert adapted[0] != plain[0]
        assert await answer(backend, polite) == adapted
        assert await answer(backend, ASK) == plain
        shutil.rmtree(adapters_directory("tiny") / "polite")
        assert [model.id for model in backend.models()] == ["tiny"]
        with pytest.raises(NotFoundError, match="Models on offer: tiny\\."):
            await backend.count_tokens("tiny:polite", ASK.conversation)
    await answer(backend, ASK)
    await until(lambda: backend._engine.stats.num_adapters == 0)


async def test_an_adapter_that_breaks_after_its_installation_fails_its_requests_alone(
    backend: LocalBackend, tmp_path: Path
) -> None:
    plain = await answer(backend, ASK)
    directory = install_as("tiny", "broken", write_adapter(tmp_path / "a", read_spec(backend._directory)))
    (directory / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        await answer(backend, replace(ASK, model="tiny:broken"))
    assert await answer(backend, ASK) == plain
    shutil.rmtree(directory)


def install_as(model: str, name: str, source: Path) -> Path:
    """Put an adapter where installing puts it; the model is not in the store."""
    target = adapters_directory(model) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(source, Manifest("adapter", f"{model}:{name}", outputs=hash_outputs(source)))
    return source.rename(target)


async def test_closing_an_answer_frees_the_engine_for_the_next(backend: LocalBackend) -> None:
    async with aclosing(await backend.chat(asking(max_tokens=200))) as begun:
        await anext(begun)
    assert backend._engine._requests == {}
    assert await answer(backend, ASK) == await answer(backend, ASK)


async def test_an_engine_that_is_killed_fails_its_answers_and_comes_back(backend: LocalBackend) -> None:
    before = await answer(backend, ASK)
    begun = await backend.chat(asking(max_tokens=200, seed=5))
    await anext(begun)
    os.kill(backend._engine.process_id, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="ask again"):
        async for _ in begun:
            pass
    assert not backend.ready
    async with asyncio.timeout(60):
        assert await answer(backend, ASK) == before
    assert backend.ready


async def test_a_damaged_model_is_a_sentence_and_waiting_requests_end(tmp_path: Path) -> None:
    directory = write_speaking_model(tmp_path / "tiny")
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    backend = LocalBackend(directory)
    waiting = asyncio.create_task(backend.chat(ASK))
    with pytest.raises(InputError, match=r"model\.safetensors"):
        await backend.start()
    with pytest.raises(UnavailableError):
        await waiting
    await until(waiting.done)
    await backend.close()


async def test_a_directory_without_a_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a Bise model"):
        LocalBackend(tmp_path)


AT = {
    "type": "object",
    "properties": {"at": {"enum": ["Rome", "Lima"]}},
    "required": ["at"],
    "additionalProperties": False,
}
TOOLS = (Tool("clock", "", AT), Tool("sun", "", AT))


async def events_of(backend: LocalBackend, request: ChatRequest) -> list[object]:
    return [event async for event in await backend.chat(request)]


async def test_several_answers_are_those_of_their_seeds(backend: LocalBackend) -> None:
    events = await events_of(backend, asking(n=3, max_tokens=12))
    texts = ["".join(e.text for e in events if isinstance(e, TextDelta) and e.index == i) for i in range(3)]
    assert len(set(texts)) == 3
    assert "".join((await answer(backend, asking(max_tokens=12)))[0]) == texts[0]
    assert sorted(e.index for e in events if isinstance(e, Finished)) == [0, 1, 2]


async def test_one_answers_stop_string_lets_the_others_go_on(backend: LocalBackend) -> None:
    events = await events_of(backend, asking(n=2, max_tokens=40))
    texts = ["".join(e.text for e in events if isinstance(e, TextDelta) and e.index == i) for i in range(2)]
    stop = next(texts[0][i : i + 3] for i in range(3, 30) if texts[0][i : i + 3] not in texts[1])
    events = await events_of(backend, asking(n=2, max_tokens=40, stop=(stop,)))
    again = ["".join(e.text for e in events if isinstance(e, TextDelta) and e.index == i) for i in range(2)]
    assert again == [texts[0][: texts[0].index(stop)], texts[1]]
    ends = {e.index: e.stop for e in events if isinstance(e, Finished)}
    assert ends == {0: stop, 1: None}


async def test_log_probabilities_are_those_of_the_text(backend: LocalBackend) -> None:
    events = await events_of(backend, asking(logprobs=2, max_tokens=20))
    tokens = [token for e in events if isinstance(e, TextDelta) for token in e.tokens]
    text = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert b"".join(token.data for token in tokens).decode(errors="replace") == text
    assert all(token.logprob < 0 and len(token.top) == 2 for token in tokens)


@pytest.mark.parametrize("name", ["sun", None])
async def test_a_demanded_call_is_one_whatever_the_model_would_say(backend: LocalBackend, name: str | None) -> None:
    conversation, choice = replace(ASK.conversation, tools=TOOLS), ToolChoice("required", name, parallel=False)
    request = replace(ASK, conversation=conversation, tool_choice=choice, sampling=Sampling(seed=1, max_tokens=60))
    first, *pieces, end = await events_of(backend, request)
    assert (first.position, len(first.id)) == (0, 9)
    assert first.name in ([name] if name else ["clock", "sun"])
    assert json.loads("".join(piece.arguments for piece in pieces))["at"] in ("Rome", "Lima")
    assert end.finish_reason == "tool_calls"


async def test_an_answer_keeps_to_its_format(backend: LocalBackend) -> None:
    request = replace(ASK, response_format=ResponseFormat("json_schema", AT, "at"), sampling=Sampling(max_tokens=60))
    assert json.loads("".join((await answer(backend, request))[0]))["at"] in ("Rome", "Lima")
    anything = replace(request, response_format=ResponseFormat("json_object"))
    assert "".join((await answer(backend, anything))[0]).startswith("{")
    with pytest.raises(InputError, match="JSON schema"):
        await answer(backend, replace(request, response_format=ResponseFormat("json_schema", {"type": "no such"})))


async def test_a_call_of_nothing_on_offer_is_refused(backend: LocalBackend) -> None:
    for tools, choice in (((), ToolChoice("required")), (TOOLS, ToolChoice("required", "moon"))):
        with pytest.raises(InputError, match="tool_choice demands"):
            await backend.chat(replace(ASK, conversation=replace(ASK.conversation, tools=tools), tool_choice=choice))


async def test_what_cannot_be_drawn_is_refused_before_the_first_token(backend: LocalBackend) -> None:
    with pytest.raises(InputError, match="outside the vocabulary"):
        await backend.chat(asking(logit_bias=((10**6, 1.0),)))
    with pytest.raises(InputError, match="min_tokens"):
        await backend.chat(asking(min_tokens=9, max_tokens=8))


async def complete(backend: LocalBackend, request: CompletionRequest) -> list[object]:
    return [event async for event in await backend.complete(request)]


async def test_an_echo_tells_every_token_of_prompt_and_answer(backend: LocalBackend) -> None:
    tokenizer = await backend.tokenizer("tiny")
    ids = (tokenizer.bos_id, *tokenizer.encode("The wind over the lake"))
    sampling = Sampling(temperature=0, max_tokens=1, logprobs=1)
    prompt, *rest, end = await complete(backend, CompletionRequest("tiny", ids, sampling, echo=True))
    assert len(prompt.tokens) == len(ids)
    assert prompt.tokens[0].logprob is None
    assert prompt.text == "The wind over the lake"
    assert sum(len(event.tokens) for event in rest) == 1
    assert all(token.top[0].logprob >= token.logprob for token in prompt.tokens[1:])
    assert end.num_completion_tokens == 1
    only = await complete(backend, CompletionRequest("tiny", ids, replace(sampling, max_tokens=0), echo=True))
    assert only == [prompt, Finished("length", len(ids), 0)]


async def test_an_echo_may_begin_anywhere_in_the_prompt(backend: LocalBackend) -> None:
    tokenizer = await backend.tokenizer("tiny")
    ids = (tokenizer.bos_id, *tokenizer.encode("The wind over the lake, où le vent naît"))
    scores, silent = Sampling(temperature=0, max_tokens=1, logprobs=1), Sampling(temperature=0, max_tokens=1)
    whole, *_ = await complete(backend, CompletionRequest("tiny", ids, scores, echo=True))
    for start in range(1, len(ids)):
        for sampling in (scores, silent):
            part, *_ = await complete(backend, CompletionRequest("tiny", ids, sampling, echo=True, echo_from=start))
            before = b"".join(map(tokenizer.token_bytes, ids[:start]))
            assert part.text == whole.text.encode()[len(before) :].decode(errors="replace")
            assert part.tokens == (whole.tokens[start:] if sampling is scores else ())
    with pytest.raises(InputError, match=f"echo_from is {len(ids)}, but the prompt has {len(ids)} tokens"):
        await complete(backend, CompletionRequest("tiny", ids, scores, echo=True, echo_from=len(ids)))


async def test_a_prompt_scored_to_its_end_is_scored_with_the_token_that_ends_it(backend: LocalBackend) -> None:
    """Also when that is the end of the text: who cuts the last score off, as lm-eval does, loses none that counts."""
    tokenizer = await backend.tokenizer("tiny")
    end_only = ((tokenizer.eos_id, 100.0),)
    sampling = Sampling(temperature=0, max_tokens=1, logprobs=1, logit_bias=end_only)
    events = await complete(backend, CompletionRequest("tiny", (5, 6, 7), sampling, echo=True))
    assert [type(event) for event in events] == [PromptTokens, TextDelta, Finished]
    assert (events[1].text, len(events[1].tokens), events[1].tokens[0].text) == ("", 1, "</s>")
    assert (events[2].finish_reason, events[2].num_completion_tokens) == ("stop", 0)


async def test_the_middle_is_asked_for_with_the_vocabularys_own_tokens(backend: LocalBackend) -> None:
    request = CompletionRequest("tiny", "def f(", Sampling(max_tokens=4), suffix="return a")
    *_, end = await complete(backend, request)
    tokenizer = await backend.tokenizer("tiny")
    assert end.num_prompt_tokens == 3 + len(tokenizer.encode("def f(")) + len(tokenizer.encode("return a"))


async def test_texts_have_vectors(backend: LocalBackend) -> None:
    tokenizer = await backend.tokenizer("tiny")
    texts = ("The wind", "The lake", (tokenizer.bos_id, *tokenizer.encode("The wind")))
    made = await backend.embed(EmbeddingRequest("tiny", texts))
    assert made.vectors[0] == made.vectors[2] != made.vectors[1]
    assert sum(value * value for value in made.vectors[0]) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ContextOverflowError):
        await backend.embed(EmbeddingRequest("tiny", ("wind " * 600,)))
    with pytest.raises(InputError, match="holds the token"):
        await backend.embed(EmbeddingRequest("tiny", ((10**6,),)))
