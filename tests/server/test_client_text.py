"""Completions, filling in, vectors, Azure's paths and tokens, as the official clients see them."""

import base64
import struct

import openai
import pytest
from mistralai.client import Mistral

from bise.server.backend import Finished, PromptTokens, ScoredToken, TextDelta
from tests.scripted_backend import WORDS
from tests.server.conftest import Served

pytestmark = pytest.mark.slow

ANSWER = "".join(WORDS)
BEST = ScoredToken("b", b"b", -0.5)
SCORED = (
    PromptTokens("ac", (ScoredToken("a", b"a", None), ScoredToken("c", b"c", -2.0, (BEST,)))),
    TextDelta("b", tokens=(ScoredToken("b", b"b", -0.5, (BEST,)),)),
    Finished("length", 2, 1),
)


async def test_a_completion_whole_and_streamed(gpt: openai.AsyncOpenAI, served: Served) -> None:
    whole = await gpt.completions.create(model="scripted", prompt="Say:", max_tokens=20, seed=1)
    stream = await gpt.completions.create(
        model="scripted", prompt="Say:", max_tokens=20, seed=1, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert whole.choices[0].text == "".join(c.text for chunk in chunks for c in chunk.choices) == ANSWER
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens == len(WORDS)
    first, second = served.backend.completions
    assert first == second
    assert (first.prompt, first.sampling.max_tokens, first.echo, first.suffix) == ("Say:", 20, False, None)


async def test_several_prompts_are_answered_in_order(gpt: openai.AsyncOpenAI, served: Served) -> None:
    whole = await gpt.completions.create(model="scripted", prompt=[[1, 2], [3]], max_tokens=2)
    assert [(choice.index, choice.text) for choice in whole.choices] == [(0, "Bonjour"), (1, "Bonjour")]
    assert [request.prompt for request in served.backend.completions] == [(1, 2), (3,)]
    assert whole.usage.completion_tokens == 4
    stream = await gpt.completions.create(model="scripted", prompt=["a", "b"], max_tokens=2, stream=True)
    texts = ["", ""]
    async for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == ["Bonjour", "Bonjour"]
    assert served.backend.num_running == 0


async def test_an_echo_scores_prompt_and_answer(gpt: openai.AsyncOpenAI, served: Served) -> None:
    served.backend.events = SCORED
    whole = await gpt.completions.create(model="scripted", prompt=[1, 2], max_tokens=1, logprobs=1, echo=True)
    choice = whole.choices[0]
    assert choice.text == "acb"
    assert choice.logprobs.tokens == ["a", "c", "b"]
    assert choice.logprobs.token_logprobs == [None, -2.0, -0.5]
    assert choice.logprobs.top_logprobs == [None, {"b": -0.5, "c": -2.0}, {"b": -0.5}]
    assert choice.logprobs.text_offset == [0, 1, 2]
    request = served.backend.completions[-1]
    assert (request.echo, request.sampling.logprobs) == (True, 1)


async def test_the_middle_is_filled_in(mistral: Mistral, served: Served) -> None:
    whole = await mistral.fim.complete_async(model="scripted", prompt="def f(", suffix="return a", max_tokens=9)
    stream = await mistral.fim.stream_async(model="scripted", prompt="def f(", suffix="return a", max_tokens=9)
    text = "".join([event.data.choices[0].delta.content async for event in stream])
    assert whole.choices[0].message.content == text == ANSWER
    first, second = served.backend.completions
    assert first == second
    assert (first.prompt, first.suffix, first.sampling.max_tokens) == ("def f(", "return a", 9)


async def test_vectors_come_as_numbers_and_as_base64(gpt: openai.AsyncOpenAI, mistral: Mistral, served: Served) -> None:
    texts = ["Hello", "Ciao"]
    packed = await gpt.embeddings.create(model="scripted", input=texts)  # asks for base64 and unpacks it
    plain = await gpt.embeddings.create(model="scripted", input=texts, encoding_format="float")
    theirs = await mistral.embeddings.create_async(model="scripted", inputs=texts)
    for made in (packed, plain, theirs):
        assert [each.embedding for each in made.data] == [
            pytest.approx([0.6, 0.0]),
            pytest.approx([0.6, 1.0]),
        ]
        assert made.usage.prompt_tokens == 2
    body = {"model": "scripted", "input": [1, 2], "encoding_format": "base64"}
    raw = (await served.client.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(raw)) == pytest.approx((0.6, 0.0))
    assert [request.inputs for request in served.backend.embeddings] == [tuple(texts)] * 3 + [((1, 2),)]


async def test_azures_client_finds_its_paths(served: Served) -> None:
    client = openai.AsyncAzureOpenAI(
        azure_endpoint=served.root,
        api_key=served.key,
        api_version="2024-10-21",
        azure_deployment="scripted",
        max_retries=0,
    )
    async with client:
        chat = await client.chat.completions.create(model="whatever", messages=[{"role": "user", "content": "Hello"}])
        text = await client.completions.create(model="whatever", prompt="Say:")
        vectors = await client.embeddings.create(model="whatever", input="Hello")
        stream = await client.chat.completions.create(
            model="whatever", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        streamed = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert chat.choices[0].message.content == text.choices[0].text == streamed == ANSWER
    assert vectors.data[0].embedding == pytest.approx([0.6, 0.0])
    assert {request.model for request in served.backend.requests} == {"scripted"}
    missing = openai.AsyncAzureOpenAI(
        azure_endpoint=served.root, api_key=served.key, api_version="2024-10-21", azure_deployment="none"
    )
    async with missing:
        with pytest.raises(openai.NotFoundError, match="Models on offer"):
            await missing.chat.completions.create(model="x", messages=[{"role": "user", "content": "Hello"}])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/completions", {"prompt": []}, "at least 1"),
        ("/v1/completions", {"prompt": [-1]}, "greater than or equal to 0"),
        ("/v1/completions", {"prompt": "x", "max_tokens": 0}, "asks for nothing"),
        ("/v1/completions", {"prompt": "x", "logprobs": 6}, "less than or equal to 5"),
        ("/v1/completions", {"prompt": ["x"] * 129}, "at most 128"),
        ("/v1/completions", {"prompt": ["x"] * 60, "n": 3}, "prompts times n"),
        ("/v1/completions", {"prompt": "x", "suffix": "y", "echo": True}, "exclude each other"),
        ("/v1/completions", {"prompt": "x", "echo_from": 1}, "echo_from needs echo"),
        ("/v1/completions", {"prompt": [1], "suffix": "y"}, "prompt of text"),
        ("/v1/fim/completions", {"suffix": "y"}, "Field required"),
        ("/v1/embeddings", {"input": []}, "at least 1"),
        ("/v1/embeddings", {"input": ""}, "at least 1"),
        ("/v1/embeddings", {"input": "x", "dimensions": 3}, "dimensions is not supported"),
        ("/v1/embeddings", {"input": "x", "encoding_format": "hex"}, "'base64'"),
        ("/tokenize", {}, "either prompt"),
        ("/tokenize", {"prompt": "x"}, "no tokenizer"),
        ("/detokenize", {"tokens": ["x"]}, "valid integer"),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}]}, "Field required"),
        ("/v1/messages", {"messages": [], "max_tokens": 1}, "at least 1"),
        ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "image"}]}], "max_tokens": 1}, "'text'"),
        ("/v1/messages/count_tokens", {"messages": [{"role": "king", "content": "x"}]}, "'user'"),
        ("/openai/deployments/scripted/chat/completions", [], "Input should be an object"),
        ("/openai/deployments/scripted/chat/completions", {"messages": "x"}, "valid array"),
    ],
)
async def test_what_is_wrong_is_named(direct: Served, path: str, body: object, words: str) -> None:
    content = {"model": "scripted"} | body if isinstance(body, dict) else body
    response = await direct.client.post(path, json=content)
    assert response.status_code == 400, response.text
    assert words in response.json()["error"]["message"]
    assert (await direct.client.post(path, content="{")).status_code == 400
