"""The backend on this machine, with a real engine in its process: text is what the tokens say, to the last byte."""

import asyncio
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
from bise.messages import Conversation, Message
from bise.runs import Manifest, hash_outputs, write_manifest
from bise.server.backend import ChatRequest, ContextOverflowError, Finished
from bise.server.local import LocalBackend
from bise.weights.adapters import adapters_directory
from bise.weights.spec import read_spec
from tests.random_adapters import write_adapter
from tests.scripted_backend import until
from tests.speaking_model import write_speaking_model

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASK = ChatRequest("tiny", Conversation((Message("user", "Where is the wind?"),)), seed=3, max_tokens=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(write_speaking_model(tmp_path_factory.mktemp("models") / "tiny"))
    assert not backend.ready
    await backend.start()
    yield backend
    await backend.close()
    assert not backend.ready


async def answer(backend: LocalBackend, request: ChatRequest) -> tuple[list[str], Finished]:
    events = [event async for event in await backend.chat(request)]
    end = events.pop()
    assert isinstance(end, Finished)
    return [event.text for event in events], end


async def test_text_is_what_the_tokens_of_the_engine_say(backend: LocalBackend) -> None:
    pieces, end = await answer(backend, ASK)
    tokenizer, engine = backend._tokenizer, backend._engine
    prompt = tokenizer.render(ASK.conversation, for_completion=True).ids
    params = SamplingParams(ASK.temperature, ASK.top_p, ASK.max_tokens, ASK.seed, (tokenizer.eos_id,))
    ids = [token async for output in engine.generate(prompt, params) for token in output.token_ids]
    assert "".join(pieces) == tokenizer.decode(ids)
    assert (end.num_prompt_tokens, end.num_completion_tokens) == (len(prompt), len(ids))
    assert end.num_prompt_tokens == await backend.count_tokens("tiny", ASK.conversation)
    assert len(pieces) > 1


async def test_a_stop_string_ends_the_same_text_earlier(backend: LocalBackend) -> None:
    whole = "".join((await answer(backend, ASK))[0])
    stop = whole[8:11]
    pieces, end = await answer(backend, replace(ASK, stop=(stop,)))
    assert "".join(pieces) == whole[: whole.index(stop)]
    assert end.finish_reason == "stop"


async def test_max_tokens_and_the_end_of_the_context_are_the_length(backend: LocalBackend) -> None:
    _, end = await answer(backend, replace(ASK, max_tokens=3, temperature=0))
    assert (end.finish_reason, end.num_completion_tokens) == ("length", 3)
    room = 256 - end.num_prompt_tokens
    await answer(backend, replace(ASK, max_tokens=room))
    with pytest.raises(ContextOverflowError, match=rf"{end.num_prompt_tokens} tokens .* at most {room} tokens"):
        await backend.chat(replace(ASK, max_tokens=room + 1))


async def test_what_cannot_be_answered_is_refused_before_the_first_token(backend: LocalBackend) -> None:
    with pytest.raises(ContextOverflowError, match="holds 256"):
        await backend.chat(replace(ASK, conversation=Conversation((Message("user", "wind " * 300),)), max_tokens=None))
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
    async with aclosing(await backend.chat(replace(ASK, max_tokens=200))) as begun:
        await anext(begun)
    assert backend._engine._requests == {}
    assert await answer(backend, ASK) == await answer(backend, ASK)


async def test_an_engine_that_is_killed_fails_its_answers_and_comes_back(backend: LocalBackend) -> None:
    before = await answer(backend, ASK)
    begun = await backend.chat(replace(ASK, max_tokens=200, seed=5))
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
