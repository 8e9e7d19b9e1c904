"""The official clients of OpenAI and Mistral, unmodified, against a real server."""

import openai
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

from bise.errors import UnavailableError
from tests.scripted_backend import WORDS
from tests.server.conftest import Served

pytestmark = pytest.mark.slow

ANSWER = "".join(WORDS)
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


async def test_openai_whole_and_streamed_say_the_same(gpt: openai.AsyncOpenAI) -> None:
    whole = await gpt.chat.completions.create(model="scripted", messages=MESSAGES)
    stream = await gpt.chat.completions.create(
        model="scripted", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert whole.choices[0].message.content == text == ANSWER
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert whole.choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens) == (5, 6, 11)


async def test_mistral_whole_and_streamed_say_the_same(mistral: Mistral) -> None:
    whole = await mistral.chat.complete_async(model="scripted", messages=MESSAGES)
    stream = await mistral.chat.stream_async(model="scripted", messages=MESSAGES)
    chunks = [event.data async for event in stream]
    assert whole.choices[0].message.content == "".join(c.choices[0].delta.content for c in chunks) == ANSWER
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens == 11


async def test_both_list_and_show_models(gpt: openai.AsyncOpenAI, mistral: Mistral) -> None:
    assert [model.id async for model in gpt.models.list()] == ["scripted"]
    assert (await gpt.models.retrieve("scripted")).id == "scripted"
    (card,) = (await mistral.models.list_async()).data
    assert (card.id, card.max_context_length, card.capabilities.completion_chat) == ("scripted", 64, True)
    assert (await mistral.models.retrieve_async(model_id="scripted")).id == "scripted"


async def test_every_field_arrives(gpt: openai.AsyncOpenAI, mistral: Mistral, served: Served) -> None:
    await gpt.chat.completions.create(
        model="scripted", messages=MESSAGES, temperature=0.1, top_p=0.2, max_completion_tokens=3, seed=4, stop="x"
    )
    await mistral.chat.complete_async(
        model="scripted", messages=MESSAGES, temperature=0.1, top_p=0.2, max_tokens=3, random_seed=4, stop=["x"]
    )
    first, second = served.backend.requests
    assert first == second
    asked = first.sampling
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.seed, asked.stop) == (0.1, 0.2, 3, 4, ("x",))
    assert [(m.role, m.content) for m in first.conversation.messages] == [("system", "Be brief."), ("user", "Hello")]


async def test_a_prefix_is_gone_on_with_and_is_part_of_the_answer(mistral: Mistral, served: Served) -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "Well: ", "prefix": True}]
    whole = await mistral.chat.complete_async(model="scripted", messages=messages)
    stream = await mistral.chat.stream_async(model="scripted", messages=messages)
    text = "".join([event.data.choices[0].delta.content async for event in stream])
    assert whole.choices[0].message.content == text == "Well: " + ANSWER
    assert served.backend.requests[0].conversation.messages[-1].role == "assistant"


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_reads_every_error(served: Served, gpt: openai.AsyncOpenAI, stream: bool) -> None:
    create = gpt.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="Models on offer: scripted"):
        await create(model="none", messages=MESSAGES, stream=stream)
    with pytest.raises(openai.BadRequestError, match=r"prompt has 71 tokens.* holds 64") as overflow:
        await create(model="scripted", messages=[{"role": "user", "content": "word " * 70}], stream=stream)
    assert overflow.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="at most 59 tokens"):
        await create(model="scripted", messages=MESSAGES, max_tokens=60, stream=stream)
    with pytest.raises(openai.BadRequestError, match="functions is not supported") as unsupported:
        await create(model="scripted", messages=MESSAGES, stream=stream, functions=[{"name": "clock"}])
    assert unsupported.value.param == "functions"
    stranger = gpt.with_options(api_key="bise_0000000000_wrong")
    with pytest.raises(openai.AuthenticationError, match="bise admin keys"):
        await stranger.chat.completions.create(model="scripted", messages=MESSAGES, stream=stream)
    served.backend.failure = UnavailableError("The engine died.")
    with pytest.raises(openai.InternalServerError, match="engine died") as away:
        await create(model="scripted", messages=MESSAGES, stream=stream)
    assert away.value.status_code == 503
    assert "retry-after" in away.value.response.headers


async def test_openai_learns_of_an_engine_that_dies_in_the_middle(served: Served, gpt: openai.AsyncOpenAI) -> None:
    served.backend.failure, served.backend.fail_after = UnavailableError("The engine died."), 2
    stream = await gpt.chat.completions.create(model="scripted", messages=MESSAGES, stream=True)
    pieces = []
    with pytest.raises(openai.APIError, match="engine died"):  # noqa: PT012
        async for chunk in stream:
            pieces.append(chunk.choices[0].delta.content)  # noqa: PERF401
    assert "".join(pieces) == "Bonjour"


@pytest.mark.parametrize(
    ("model", "content", "status", "words"),
    [("none", "Hello", 404, "Models on offer"), ("scripted", "word " * 70, 400, "71 tokens")],
)
async def test_mistral_reads_every_error(mistral: Mistral, model: str, content: str, status: int, words: str) -> None:
    messages = [{"role": "user", "content": content}]
    for ask in (mistral.chat.complete_async, mistral.chat.stream_async):
        with pytest.raises(SDKError, match=words) as error:
            await ask(model=model, messages=messages)
        assert error.value.status_code == status


async def test_mistral_reads_a_wrong_key(served: Served) -> None:
    async with Mistral(api_key="wrong", server_url=served.root) as stranger:
        with pytest.raises(SDKError, match="bise admin keys") as error:
            await stranger.models.list_async()
    assert error.value.status_code == 401
